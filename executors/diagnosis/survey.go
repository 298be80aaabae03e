package diagnosis

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"sync"
	"time"

	"devserver-agent/executors"
	"devserver-agent/executors/ascend"
)

// Host is what a diagnosis needs of executors.Host. Query must be safe for
// concurrent use.
type Host interface {
	Query(ctx context.Context, argv ...string) (executors.Reply, error)
	Files() fs.FS
}

// survey asks a host, each thing once whoever wants to know it.
type survey struct {
	ctx  context.Context // of the whole diagnosis: what is shared must not end with one check
	host Host
	node ascend.Node
	root string
	busy time.Duration // the pause before a busy hccn_tool is asked again

	list     func() (ascend.CardList, error)
	summary  func() (ascend.Summary, error)
	mapping  func() ([]ascend.MappedChip, error)
	boards   func() []answer[ascend.Board]
	healths  func() []answer[ascend.Health]
	commons  func() []answer[[]ascend.Reading]
	programs func() []answer[[]ascend.Process]
}

// answer is what the driver says of one card, or why it says nothing.
type answer[T any] struct {
	card  int
	value T
	err   error
}

func newSurvey(ctx context.Context, host Host, d Diagnosis) *survey {
	careful := &carefulHost{Host: host, free: make(chan struct{}, atOnce), hung: map[string]bool{}}
	s := &survey{ctx: ctx, host: careful, node: ascend.NewNode(careful), root: cmp.Or(d.Root, "/"), busy: cmp.Or(d.BusyPause, busyPause)}
	s.list = sync.OnceValues(func() (ascend.CardList, error) { return s.node.Cards(ctx) })
	s.summary = sync.OnceValues(func() (ascend.Summary, error) { return s.node.Summary(ctx) })
	s.mapping = sync.OnceValues(func() ([]ascend.MappedChip, error) { return s.node.Mapping(ctx) })
	s.boards = sync.OnceValue(func() []answer[ascend.Board] { return each(s, s.node.Board) })
	s.healths = sync.OnceValue(func() []answer[ascend.Health] { return each(s, s.node.Health) })
	s.commons = sync.OnceValue(func() []answer[[]ascend.Reading] {
		return each(s, func(ctx context.Context, card int) ([]ascend.Reading, error) {
			return s.node.Readings(ctx, ascend.TopicCommon, card)
		})
	})
	s.programs = sync.OnceValue(func() []answer[[]ascend.Process] { return each(s, s.node.Processes) })
	return s
}

// cards are the cards that the driver lists, none when it does not answer.
func (s *survey) cards() []ascend.Card {
	list, err := s.list()
	if err != nil {
		return nil
	}
	return list.Cards
}

// silent is the finding of a check that asks cards when the driver lists none.
func (s *survey) silent() []Finding {
	_, err := s.list()
	if err == nil {
		return nil
	}
	return []Finding{{Grade: Skip, What: ascend.Why(err)}}
}

// family is the chip family of the host's first card that tells one, "" if none
// does.
func (s *survey) family() ascend.Chip {
	devices, err := s.node.Devices()
	if err != nil {
		return ""
	}
	for _, d := range devices {
		if d.Chip != "" {
			return d.Chip
		}
	}
	return ""
}

// each asks all cards at once.
func each[T any](s *survey, ask func(context.Context, int) (T, error)) []answer[T] {
	list := s.cards()
	answers := make([]answer[T], len(list))
	var all sync.WaitGroup
	for i, c := range list {
		all.Go(func() {
			answers[i].card = c.ID
			answers[i].value, answers[i].err = ask(s.ctx, c.ID)
		})
	}
	all.Wait()
	return answers
}

// atOnce is how many tools run at a time: one for each card of the usual server.
const atOnce = 8

// carefulHost runs few tools at a time, and none a second time that hung once: it
// would hang as often as there are cards.
type carefulHost struct {
	Host
	free chan struct{}
	mu   sync.Mutex
	hung map[string]bool
}

// Query implements Host.
func (c *carefulHost) Query(ctx context.Context, argv ...string) (executors.Reply, error) {
	select {
	case c.free <- struct{}{}:
	case <-ctx.Done():
		return executors.Reply{}, context.Cause(ctx)
	}
	defer func() { <-c.free }()
	if c.hangs(argv[0], false) {
		return executors.Reply{}, errNotAsked
	}
	reply, err := c.Host.Query(ctx, argv...)
	c.hangs(argv[0], errors.Is(err, executors.ErrTimeout))
	return reply, err
}

func (c *carefulHost) hangs(tool string, now bool) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.hung[tool] = c.hung[tool] || now
	return c.hung[tool]
}

// unanswered grades why the host did not tell something. What another check reports,
// or what this host cannot tell, is no trouble of its own.
func unanswered(err error) Finding {
	f := Finding{Grade: Warn, What: ascend.Why(err), Do: "Run the tool by hand on the host."}
	for _, known := range []error{
		ascend.ErrUnsupported, ascend.ErrDriverDown, ascend.ErrInUse, ascend.ErrNoCards,
		executors.ErrNotFound, errNotAsked, errNoTime,
	} {
		if errors.Is(err, known) {
			return Finding{Grade: Skip, What: f.What}
		}
	}
	return f
}

// tally says what several cards have in common once. The zero value has nothing.
type tally struct {
	order []Finding
	cards map[Finding][]int
}

// add takes in a finding about a card.
func (t *tally) add(card int, f Finding) {
	if t.cards == nil {
		t.cards = map[Finding][]int{}
	}
	if t.cards[f] == nil {
		t.order = append(t.order, f)
	}
	if !slices.Contains(t.cards[f], card) {
		t.cards[f] = append(t.cards[f], card)
	}
}

// findings name the cards that each is about.
func (t *tally) findings() []Finding {
	var all []Finding
	for _, f := range t.order {
		about := ascend.NameCards(t.cards[f]...)
		f.What = about + ": " + f.What
		all = append(all, f)
	}
	return all
}

// judge judges each chip by what npu-smi tells of it on a topic.
func (s *survey) judge(cards []answer[[]ascend.Reading], judge func(ascend.Reading) []Finding) []Finding {
	var t tally
	for _, a := range cards {
		if a.err != nil {
			t.add(a.card, unanswered(a.err))
			continue
		}
		for _, chip := range a.value {
			for _, f := range judge(chip) {
				f.What = chipName(chip.Chip, len(a.value)) + f.What
				t.add(a.card, f)
			}
		}
	}
	return append(t.findings(), s.silent()...)
}

// chipName is a chip's name after its card's, "" where a card has one chip.
func chipName(chip, chips int) string {
	if chips < 2 {
		return ""
	}
	return fmt.Sprintf("chip %d: ", chip)
}

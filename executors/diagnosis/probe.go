package diagnosis

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
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

// probe asks a host. What several checks need is asked once.
type probe struct {
	ctx  context.Context // of the whole diagnosis: what is shared must not end with one check
	host Host
	node ascend.Node
	root string
	busy time.Duration // the pause before a busy hccn_tool is asked again
	// explained says that the check named driver runs: it reports why no card is
	// listed, and the others refer to it.
	explained bool

	inventory ascend.Inventory

	summary  func() (ascend.Summary, error)
	mapping  func() ([]ascend.MappedChip, error)
	holders  func() []ascend.Holder
	commons  func() []answer[ascend.Readings]
	programs func() []answer[ascend.ProcessList]
	given    func() ([]ascend.Container, error)
}

// answer is what the driver says of one card, or why it says nothing.
type answer[T any] struct {
	card  int
	value T
	err   error
}

// newProbe asks the host for its inventory; the rest is asked when a check needs it.
func newProbe(ctx context.Context, host Host, d Diagnosis) *probe {
	limited := ascend.Limit(host, d.AtOnce)
	p := &probe{ctx: ctx, host: limited, node: ascend.NewNode(limited), root: cmp.Or(d.Root, "/"), busy: cmp.Or(d.BusyPause, busyPause)}
	// Its error is that time is up: what was not asked until then says so itself.
	p.inventory, _ = p.node.Inventory(ctx, ascend.InventoryOptions{Health: true, AtOnce: d.AtOnce, Patience: d.Patience / 2})
	p.summary = sync.OnceValues(func() (ascend.Summary, error) { return p.node.Summary(ctx) })
	p.mapping = sync.OnceValues(func() ([]ascend.MappedChip, error) { return p.node.Mapping(ctx) })
	p.holders = sync.OnceValue(func() []ascend.Holder { return ascend.Holders(host.Files()) })
	p.given = sync.OnceValues(func() ([]ascend.Container, error) { return p.node.Containers(ctx) })
	p.commons = sync.OnceValue(func() []answer[ascend.Readings] {
		return each(p, func(ctx context.Context, card ascend.CardReport) (ascend.Readings, error) {
			return p.node.Readings(ctx, ascend.TopicCommon, card.ID)
		})
	})
	p.programs = sync.OnceValue(func() []answer[ascend.ProcessList] {
		return each(p, func(ctx context.Context, card ascend.CardReport) (ascend.ProcessList, error) {
			return p.node.Processes(ctx, card.ID)
		})
	})
	return p
}

// cards are the cards that the driver lists, none when it does not answer.
func (p *probe) cards() []ascend.CardReport { return p.inventory.Cards }

// examinedCards says how many cards and chips a check examines.
func (p *probe) examinedCards() string {
	cards, chips := len(p.cards()), p.inventory.ChipCount()
	if chips == cards {
		return count(cards, "card")
	}
	return count(cards, "card") + ", " + count(chips, "chip")
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// noCards is the finding of a check that asks cards when the driver lists none. The
// reason is given once, by the check of the driver.
func (p *probe) noCards() []Finding {
	switch {
	case p.inventory.Err == nil:
		return nil
	case p.explained:
		return []Finding{{Grade: Skip, What: "the driver lists no card, see the check driver"}}
	}
	return []Finding{{Grade: Skip, What: ascend.Reason(p.inventory.Err)}}
}

// each asks all cards, as many at a time as the host is asked.
func each[T any](p *probe, ask func(context.Context, ascend.CardReport) (T, error)) []answer[T] {
	cards := p.cards()
	answers := make([]answer[T], len(cards))
	var all sync.WaitGroup
	for i, card := range cards {
		all.Go(func() {
			answers[i].card = card.ID
			answers[i].value, answers[i].err = ask(p.ctx, card)
		})
	}
	all.Wait()
	return answers
}

// unanswered grades why the host did not answer. What another check reports, or what
// this host does not tell, is no trouble of its own.
func unanswered(err error) Finding {
	f := Finding{Grade: Warn, What: ascend.Reason(err), Do: "Run the tool by hand on the host."}
	for _, known := range []error{
		ascend.ErrUnsupported, ascend.ErrDriverDown, ascend.ErrNotLoaded, ascend.ErrInUse, ascend.ErrNoCards,
		executors.ErrNotFound, ascend.ErrNotAsked, ascend.ErrTooSlow, errNoTime,
	} {
		if errors.Is(err, known) {
			return Finding{Grade: Skip, What: f.What}
		}
	}
	return f
}

// unanswered is the same for a question that families ask in ways of their own: where this
// version does not know the family, it may be the question that is wrong.
func (p *probe) unanswered(err error) Finding {
	f := unanswered(err)
	if p.inventory.Family() == "" && errors.Is(err, ascend.ErrFailed) {
		return Finding{Grade: Skip, What: "this version does not know how chips of this family are asked: " + f.What}
	}
	return f
}

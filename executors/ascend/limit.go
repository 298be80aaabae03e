package ascend

import (
	"context"
	"errors"
	"sync"

	"devserver-agent/executors"
)

// CardsAtOnce is how many calls of a tool run at a time where nothing else is
// configured. No source says that npu-smi serves calls one after the other; a host on
// which it does is configured with 1 (hdk.cards_at_once).
const CardsAtOnce = 4

// ErrNotAsked is why a tool is not called: a call of it hung before, and it would
// hang as often as there are cards.
var ErrNotAsked = errors.New("not asked: an earlier call of the tool timed out")

// limitedHost calls each tool a few times at a time, and a tool that hung not at all.
type limitedHost struct {
	Host
	atOnce int

	mu    sync.Mutex
	tools map[string]*limitedTool
}

type limitedTool struct {
	free chan struct{}
	hung bool
}

// Limit returns a host that calls each tool at most atOnce times at a time and, once
// a call of it did not end in time, not any more: ErrNotAsked. atOnce below 1 is
// CardsAtOnce. A host that is limited already is returned as it is.
func Limit(host Host, atOnce int) Host {
	if limited, ok := host.(*limitedHost); ok {
		return limited
	}
	if atOnce < 1 {
		atOnce = CardsAtOnce
	}
	return &limitedHost{Host: host, atOnce: atOnce, tools: map[string]*limitedTool{}}
}

// Query implements Host.
func (l *limitedHost) Query(ctx context.Context, argv ...string) (executors.Reply, error) {
	tool := l.tool(argv[0])
	select {
	case tool.free <- struct{}{}:
	case <-ctx.Done():
		return executors.Reply{}, context.Cause(ctx)
	}
	defer func() { <-tool.free }()
	if l.hasHung(tool) {
		return executors.Reply{}, ErrNotAsked
	}
	reply, err := l.Host.Query(ctx, argv...)
	if errors.Is(err, executors.ErrTimeout) {
		l.markHung(tool)
	}
	return reply, err
}

func (l *limitedHost) tool(name string) *limitedTool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.tools[name] == nil {
		l.tools[name] = &limitedTool{free: make(chan struct{}, l.atOnce)}
	}
	return l.tools[name]
}

func (l *limitedHost) markHung(tool *limitedTool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	tool.hung = true
}

func (l *limitedHost) hasHung(tool *limitedTool) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return tool.hung
}

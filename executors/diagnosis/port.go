package diagnosis

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"devserver-agent/executors/ascend"
)

// port is one port and what was found of it.
type port struct {
	card    int
	link    ascend.Port
	pause   time.Duration // before a busy hccn_tool is asked again
	down    bool
	tls     string // its switch, "" if not reported
	refused error  // why it cannot be asked at all
	absent  bool   // there is no such port on this product
	found   []Finding
}

const (
	dim     = 0.1 // mW of a lane, where the module has no limit; this project's own, -10 dBm
	recable = "Check cable, transceiver and switch port."
)

func (p *port) say(g Grade, do, format string, args ...any) {
	p.found = append(p.found, Finding{g, fmt.Sprintf(format, args...), do})
}

// ask asks until the port does not answer. A port that does not know the first question
// cannot be asked at all.
func (p *port) ask(s *probe) {
	p.pause = s.busy
	for i, question := range []func(context.Context, ascend.Node) error{
		p.askLink, p.askHealth, p.askAddress, p.askLight, p.askTLS, p.askCounters, p.askHistory,
	} {
		err := question(s.ctx, s.node)
		switch {
		case err == nil:
		case errors.Is(err, ascend.ErrNoCard) && i == 0 && p.link.Die > 0:
			p.absent = true
			return
		case errors.Is(err, ascend.ErrUnsupported) && i == 0:
			p.refused = err
			return
		case errors.Is(err, ascend.ErrUnsupported):
			// Older releases do not know every item.
		default:
			f := s.unanswered(err)
			p.say(f.Grade, f.Do, "%s", f.What)
			return
		}
	}
}

const (
	attempts  = 5
	busyPause = 200 * time.Millisecond
)

// patiently asks hccn_tool again while another program asks the same. It is one question
// that is asked again, never one after another, as some change what is asked.
func patiently[T any](ctx context.Context, pause time.Duration, ask func() (T, error)) (T, error) {
	var answer T
	var err error
	for range attempts {
		if answer, err = ask(); !errors.Is(err, ascend.ErrBusy) {
			return answer, err
		}
		select {
		case <-ctx.Done():
			return answer, context.Cause(ctx)
		case <-time.After(pause):
		}
	}
	return answer, err
}

func (p *port) askLink(ctx context.Context, node ascend.Node) error {
	up, err := patiently(ctx, p.pause, func() (bool, error) { return node.LinkUp(ctx, p.link) })
	if err == nil && !up {
		p.down = true
		p.say(Fail, recable, "no link")
	}
	return err
}

func (p *port) askHealth(ctx context.Context, node ascend.Node) error {
	word, err := patiently(ctx, p.pause, func() (ascend.NetHealth, error) { return node.NetHealth(ctx, p.link) })
	switch {
	case err != nil:
		return err
	case word == ascend.NetUnwatched:
		p.say(Info, "", "watches no address")
	case word != ascend.NetHealthy && !p.down:
		p.say(Warn, "Check the address that it watches (hccn_tool -netdetect) and the network between.", "does not reach what it watches: %s", word)
	}
	return nil
}

func (p *port) askAddress(ctx context.Context, node ascend.Node) error {
	address, err := patiently(ctx, p.pause, func() (netip.Prefix, error) { return node.Address(ctx, p.link) })
	if err == nil && address == (netip.Prefix{}) {
		p.say(Warn, "Set one (hccn_tool -ip -s) if jobs use more than this server.", "has no address")
	}
	return err
}

// item is what hccn_tool says of the port on an item.
func (p *port) item(ctx context.Context, node ascend.Node, item ascend.PortItem) (ascend.PortReading, error) {
	return patiently(ctx, p.pause, func() (ascend.PortReading, error) { return node.Port(ctx, item, p.link) })
}

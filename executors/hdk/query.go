// Package hdk holds the executors of the HDK, Ascend's driver and firmware.
//
// Query says which HDK runs and which is installed. It acts on nothing and
// records nothing: replayed, it looks again.
package hdk

import (
	"context"
	"time"

	"devserver-agent/executors"
	"devserver-agent/executors/ascend"
	"devserver-agent/protocol"
)

// Query is HDK_QUERY. It asks the driver about every card and reads what is
// installed. Its message is
//
//	Driver: 24.1.0.3 | Firmware: 7.5.0.5.220
//
// when all cards run what is installed; otherwise that line for what is
// installed, and then what differs. It succeeds when either source answered,
// with the code TOOL_TIMEOUT when npu-smi did not answer in time, and fails with
// HDK_UNREADABLE when neither did. Its output has every card. A card that the
// driver does not list is not missed: nothing on the host tells of it.
type Query struct {
	// Patience is how long cards are asked one after the other, before those
	// that are left are not asked; 0: 90 s, so that with the last one's
	// executors.QueryTimeout the item stays below its two minutes.
	Patience time.Duration
}

const defaultPatience = 90 * time.Second

// Execute looks and reports.
func (q Query) Execute(ctx context.Context, host executors.Host, _ executors.Spec) (executors.Result, error) {
	patience := q.Patience
	if patience == 0 {
		patience = defaultPatience
	}
	seen, err := look(ctx, host, patience)
	if err != nil {
		return executors.Result{}, err
	}
	host.Progress(100, "looked")
	host.Printf("%s", report(seen))
	if !seen.answered() {
		return executors.Result{}, executors.Fail(protocol.HDKUnreadable, "%s", seen.despair())
	}
	result := executors.Result{Message: seen.message()}
	if seen.timedOut() {
		result.Code = protocol.ToolTimeout
	}
	return result, nil
}

// look asks first what runs and then reads what is installed. Its error is the
// cause of ctx, which ended; all that cannot be read is part of the view.
func look(ctx context.Context, host executors.Host, patience time.Duration) (view, error) {
	node := ascend.NewNode(host)
	seen, err := lookAtCards(ctx, host, node, patience)
	if err != nil {
		return view{}, err
	}
	seen.driver = installed(node.InstalledDriver())
	seen.firmware = installed(node.InstalledFirmware())
	seen.notes = append(seen.notes, lookAround(node, seen.list)...)
	return seen, nil
}

// lookAtCards asks the driver for its cards and then about each. A tool that
// hangs once is not asked again: it would hang as often as there are cards.
func lookAtCards(ctx context.Context, host executors.Host, node ascend.Node, patience time.Duration) (view, error) {
	var seen view
	began := time.Now()
	host.Progress(0, "cards")
	seen.list, seen.err = node.Cards(ctx)
	if ctx.Err() != nil {
		return view{}, context.Cause(ctx)
	}
	var giveUp error
	for i, c := range seen.list.Cards {
		if giveUp == nil && time.Since(began) >= patience {
			giveUp = errTooSlow
		}
		if giveUp != nil {
			seen.cards = append(seen.cards, card{id: c.ID, err: giveUp})
			continue
		}
		host.Progress(100*(i+1)/(len(seen.list.Cards)+2), ascend.NameCards(c.ID))
		board, err := node.Board(ctx, c.ID)
		if ctx.Err() != nil {
			return view{}, context.Cause(ctx)
		}
		if isTimeout(err) {
			giveUp = errNotAsked
		}
		seen.cards = append(seen.cards, card{id: c.ID, board: board, err: err})
	}
	return seen, nil
}

func installed(info ascend.VersionInfo, err error) part {
	return part{version: info.Version, err: err}
}

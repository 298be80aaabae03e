// Package hdk holds the executors of the HDK, Ascend's driver and firmware.
//
// Query says which HDK runs and which is installed. It acts on nothing and
// records nothing: replayed, it asks again.
package hdk

import (
	"cmp"
	"context"
	"fmt"
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
// HDK_UNREADABLE when neither did. Its output has every card, and notes a chip that the
// bus has and the driver does not list. It asks for versions only: health takes a second
// call for each card, and DIAGNOSIS has it.
type Query struct {
	// AtOnce is how many cards are asked at a time; 0: ascend.CardsAtOnce.
	AtOnce int
	// Patience is how long cards are begun to be asked, before those that are left
	// are not asked; 0: 90 s, so that with the last one's executors.QueryTimeout the
	// item stays below its two minutes.
	Patience time.Duration
}

const defaultPatience = 90 * time.Second

// Execute takes the inventory and reports it.
func (q Query) Execute(ctx context.Context, host executors.Host, _ executors.Spec) (executors.Result, error) {
	options := ascend.InventoryOptions{AtOnce: q.AtOnce, Patience: cmp.Or(q.Patience, defaultPatience)}
	options.OnProgress = func(done, of int) {
		host.Progress(100*(done+1)/(of+2), fmt.Sprintf("%d of %d cards", done, of))
	}
	host.Progress(0, "cards")
	inv, err := ascend.NewNode(host).Inventory(ctx, options)
	if err != nil {
		return executors.Result{}, err
	}
	host.Progress(100, "asked")
	host.Printf("%s", report(inv))
	if !answered(inv) {
		return executors.Result{}, executors.Fail(protocol.HDKUnreadable, "%s", noVersionMessage(inv))
	}
	result := executors.Result{Message: message(inv)}
	if timedOut(inv) {
		result.Code = protocol.ToolTimeout
	}
	return result, nil
}

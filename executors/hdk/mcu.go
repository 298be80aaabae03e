package hdk

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"devserver-agent/executors"
	"devserver-agent/executors/ascend"
	"devserver-agent/executors/hdk/repository"
	"devserver-agent/protocol"
)

// The management controllers of the cards get their image from npu-smi, through a
// driver that answers, one card after the other: first it is written, then made to
// run, which restarts the controller and not the host. It is done before firmware
// and driver, while the driver is one that is known to run.
//
// Writing that was cut must rest for ten minutes before it is begun again, says
// Huawei's manual of npu-smi; there is one more, numbered attempt.

// controllers is what is to be done to them, as the plan remembers it.
type controllers struct {
	Version ascend.Version     `json:"version"`
	Cards   []int              `json:"cards,omitempty"` // those that do not run it, in this order
	Package repository.Package `json:"package,omitzero"`
}

// findControllers finds which cards need the image, and the image.
func (r *run) findControllers(ctx context.Context, p *plan, index repository.Index, noIndex error) {
	if r.order.mcu == "" {
		return
	}
	p.MCU = controllers{Version: r.order.mcu}
	if p.Before.Down != "" {
		p.block(protocol.HDKDriverDown, "MCUs are reached through a driver that answers, and this one does not: %s; upgrade without mcu_version first", p.Before.Down)
		return
	}
	var silent ascend.GroupedCards
	for _, mcu := range r.mcus(ctx, p.Before) {
		switch {
		case mcu.Err != nil:
			silent.Add(mcu.Card, "its MCU gives no version: "+ascend.Reason(mcu.Err))
		case mcu.Version != r.order.mcu:
			p.MCU.Cards = append(p.MCU.Cards, mcu.Card)
		}
	}
	if ctx.Err() != nil {
		return
	}
	for _, words := range silent.List() {
		p.block(protocol.HDKMCUFailed, "%s", words)
	}
	if len(p.MCU.Cards) == 0 {
		return
	}
	if p.Strategy == strategyNone {
		p.Strategy = strategyMCU
	}
	if noIndex != nil {
		p.lacksIndex(noIndex)
		return
	}
	p.MCU.Package = repository.Package{Kind: repository.MCU, Version: r.order.mcu}
	r.choose(p, index, &p.MCU.Package)
}

// writeControllers brings the image to every card that needs it.
func (r *run) writeControllers(ctx context.Context, of int) error {
	if len(r.plan.MCU.Cards) == 0 {
		return nil
	}
	image, err := r.image(ctx)
	if err != nil {
		return err
	}
	for n, card := range r.plan.MCU.Cards {
		why, err := r.writeController(ctx, card, image, n, of)
		if err != nil {
			return err
		}
		if why != "" {
			return executors.Fail(protocol.HDKMCUFailed, "The MCU of card %d was not brought to %s: %s. Neither firmware nor driver was begun, the host was not restarted. MCUs: %s. Now: %s. %s",
				card, r.plan.MCU.Version, why, r.controllers(ctx), r.now(ctx), remedyFor(protocol.HDKMCUFailed))
		}
	}
	return nil
}

// image is the path of the image, verified and out of its zip.
func (r *run) image(ctx context.Context) (string, error) {
	path, err := r.ready(ctx, r.plan.MCU.Package, nil)
	if err == nil && strings.EqualFold(filepath.Ext(path), ".zip") {
		path, err = repository.Unzip(path, filepath.Join(filepath.Dir(path), "mcu"))
	}
	if err != nil && ctx.Err() == nil {
		err = executors.Fail(protocol.HDKPackageDamaged, "The image for the MCUs cannot be used: %w. Nothing was changed. Check the repository and the host's disk, then create the job again.", err)
	}
	return path, err
}

// writeController writes the image into one card and has it run. why says that it
// could not be done.
func (r *run) writeController(ctx context.Context, card int, image string, n, of int) (why string, err error) {
	id := strconv.Itoa(card)
	r.host.Progress(planShare+installShare*n/of, fmt.Sprintf("writing MCU %s into card %d", r.plan.MCU.Version, card))
	for _, call := range []struct {
		step string
		argv []string
		rest time.Duration // before it is begun again
	}{
		{"mcu-" + id, []string{"npu-smi", "upgrade", "-t", "mcu", "-i", id, "-f", image}, r.Rest},
		{"mcu-" + id + "-run", []string{"npu-smi", "upgrade", "-a", "mcu", "-i", id}, 0},
	} {
		reply, why, err := r.askController(ctx, call.step, call.argv, call.rest)
		if err != nil || why != "" {
			return why, err
		}
		if !reply.OK {
			return strings.TrimRight(append(reply.Messages, "npu-smi does not say OK")[0], "."), nil
		}
	}
	return executors.Memo(ctx, r.host, "mcu-"+id+"-seen", func(ctx context.Context) (string, error) { return r.awaitController(ctx, card) })
}

// askController runs one command of npu-smi that changes a controller.
func (r *run) askController(ctx context.Context, step string, argv []string, rest time.Duration) (reply ascend.MCUReply, why string, err error) {
	for range 2 {
		var printed bytes.Buffer
		exit, err := r.host.Command(ctx, executors.Command{
			Step: step, Argv: argv, Timeout: r.Limit, Kill: executors.KillNever,
			Watch: func(piece []byte) {
				printed.Write(piece[:min(len(piece), executors.QueryLimit-printed.Len())])
			},
		})
		switch {
		case errors.Is(err, executors.ErrInterrupted):
			_, err := executors.Memo(ctx, r.host, step+"-rested", func(ctx context.Context) (bool, error) {
				r.host.Printf("\n[%s was cut in the middle; it is begun again in %v]\n", strings.Join(argv[:6], " "), rest)
				return true, pause(ctx, rest)
			})
			if err != nil {
				return reply, "", err
			}
			continue
		case err != nil:
			return reply, "", err
		}
		reply = ascend.ParseMCUReply(printed.Bytes())
		if reply.OK && (exit.Code != 0 || exit.Signal != "") {
			return reply, fmt.Sprintf("npu-smi says OK and ends with exit code %d", exit.Code), nil
		}
		return reply, "", nil
	}
	return reply, "it was cut in the middle twice", nil
}

// awaitController waits until a card reports that it runs the image; why is "" then.
func (r *run) awaitController(ctx context.Context, card int) (why string, err error) {
	node := ascend.NewNode(r.host)
	for began := time.Now(); ; {
		version, err := node.MCU(ctx, card)
		switch {
		case ctx.Err() != nil:
			return "", context.Cause(ctx)
		case err == nil && version == r.plan.MCU.Version:
			return "", nil
		case err != nil:
			why = "the image was written and the MCU does not answer: " + ascend.Reason(err)
		default:
			why = fmt.Sprintf("the image was written and the MCU still runs %s", version)
		}
		if time.Since(began) >= r.Settle {
			return why, nil
		}
		if err := pause(ctx, r.Every); err != nil {
			return "", err
		}
	}
}

// controllers says what the cards' MCUs run now.
func (r *run) controllers(ctx context.Context) string {
	return versions(r.mcus(ctx, r.plan.Before))
}

func (r *run) mcus(ctx context.Context, inv inventory) []ascend.MCUReport {
	var cards []int
	for _, c := range inv.Cards {
		cards = append(cards, c.ID)
	}
	return ascend.NewNode(r.host).MCUs(ctx, cards, r.AtOnce)
}

// versions names what MCUs run, or why that is not known.
func versions(mcus []ascend.MCUReport) string {
	var runs ascend.GroupedCards
	for _, mcu := range mcus {
		if mcu.Err == nil {
			runs.Add(mcu.Card, string(mcu.Version))
		} else {
			runs.Add(mcu.Card, ascend.Reason(mcu.Err))
		}
	}
	return runs.String()
}

// withControllers adds to the message of a success what the MCUs run, and makes
// it a failure if one of them does not run the image after all.
func (r *run) withControllers(ctx context.Context, result executors.Result) (executors.Result, error) {
	if r.plan.MCU.Version == "" {
		return result, nil
	}
	mcus := r.mcus(ctx, r.plan.Before)
	if ctx.Err() != nil {
		return executors.Result{}, context.Cause(ctx)
	}
	if slices.ContainsFunc(mcus, func(mcu ascend.MCUReport) bool { return mcu.Err != nil || mcu.Version != r.plan.MCU.Version }) {
		return executors.Result{}, executors.Fail(protocol.HDKMCUFailed, "MCU %s was written into every card and does not run on each: %s. Now: %s. %s",
			r.plan.MCU.Version, versions(mcus), r.now(ctx), remedyFor(protocol.HDKMCUFailed))
	}
	result.Message = protocol.Clip(fmt.Sprintf("%s | MCU: %s", result.Message, r.plan.MCU.Version))
	return result, nil
}

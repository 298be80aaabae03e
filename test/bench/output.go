package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"devserver-agent/protocol"
	"devserver-agent/test/trial"
)

const outputBytes = 100 << 20

// output measures a step that writes 100 MB: how long until the broker has what
// is kept of it, and what the agent's memory does meanwhile. The floor is the
// same program writing to a file.
func output(ctx context.Context, b bench) ([]figure, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	broker, m, bootID, err := b.stage()
	if err != nil {
		return nil, err
	}
	defer broker.Stop()
	program := filepath.Join(b.bin, "e2e-agent")
	floor, err := b.writeAlone(ctx, program)
	if err != nil {
		return nil, err
	}
	p := &plane{nats: broker.ClientURL(), key: protocol.KeyOf(m.key).String()}
	cmd, err := b.startAgent(ctx, "e2e-agent", "output", p, b.dir, bootID, "")
	if err != nil {
		return nil, err
	}
	if err := until(ctx, "the agent", func() bool { return broker.NumClients() > 1 }); err != nil {
		return nil, err
	}
	said, err := m.nc.SubscribeSync(protocol.StatusSubject("output"))
	if err != nil {
		return nil, err
	}
	before, err := usage(cmd.Process.Pid)
	if err != nil {
		return nil, err
	}
	began := time.Now()
	err = m.deliver("output", "chatty", protocol.Item{Type: trial.Type, Spec: map[string]string{
		"program": program, "starts": filepath.Join(b.dir, "starts"), "steps": fmt.Sprintf("talk:chatty:%d", outputBytes),
	}})
	if err != nil {
		return nil, err
	}
	verdict, err := m.await(ctx, said, func(s protocol.Status) bool { return s.Status.Terminal() })
	if err != nil {
		return nil, err
	}
	took := time.Since(began)
	finished := func() bool {
		_, err := os.Stat(filepath.Join(b.dir, "output-state", "open", "chatty"))
		return os.IsNotExist(err)
	}
	if err := until(ctx, "all output at the broker", finished); err != nil {
		return nil, err
	}
	sent := time.Since(began)
	peak, err := fields(filepath.Join("/proc", fmt.Sprint(cmd.Process.Pid), "status"))
	if err != nil {
		return nil, err
	}
	grown := peak["VmHWM"]*1024 - before.rss
	return []figure{
		{what: "100 MB of step output, start to verdict", value: took.Round(time.Millisecond).String(), floor: floor.Round(time.Millisecond).String(), ratio: fmt.Sprintf("%.2f", float64(took)/float64(floor))},
		{what: fmt.Sprintf("  until the broker has all that is kept (%d MB dropped)", verdict.Items[0].Dropped>>20), value: sent.Round(time.Millisecond).String()},
		{what: "  growth of the agent's RSS, peak", value: mb(grown), limit: "8 MB", missed: grown > 8e6},
	}, nil
}

// writeAlone is the program without an agent.
func (b bench) writeAlone(ctx context.Context, program string) (time.Duration, error) {
	began := time.Now()
	cmd, err := b.program(ctx, "alone.out", program, trial.Arg, filepath.Join(b.dir, "alone.starts"), "talk", fmt.Sprintf("chatty:%d", outputBytes))
	if err != nil {
		return 0, err
	}
	err = cmd.Wait()
	return time.Since(began), err
}

package engine_test

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"devserver-agent/agent/engine"
	"devserver-agent/agent/step"
	"devserver-agent/executors"
	"devserver-agent/protocol"
	"devserver-agent/test/support/wait"
)

// away is a service manager that does not answer for a while: a number of
// questions and of starts.
type away struct {
	step.Process
	questions, starts atomic.Int32
}

func (a *away) Ready(context.Context) error {
	if a.questions.Add(-1) >= 0 {
		return fmt.Errorf("%w: connection refused", step.ErrUnreachable)
	}
	return nil
}

func (a *away) Start(dir string, spec step.Spec) (<-chan struct{}, error) {
	if a.starts.Add(-1) >= 0 {
		return nil, fmt.Errorf("start step: %w", step.ErrUnreachable)
	}
	return a.Process.Start(dir, spec)
}

// What cannot be started now is started later, once.
func TestAStepWaitsForTheServiceManager(t *testing.T) {
	t.Parallel()
	b := newBed(t, map[string]executors.Executor{})
	b.types["ONE"] = script{execute: b.steps(b.command("first", "ok"))}
	manager := &away{Process: step.Process{Shim: []string{b.self, "step"}}}
	manager.questions.Store(1)
	manager.starts.Store(1)
	b.change = func(o *engine.Options) { o.Surroundings = manager }
	b.run()
	b.submit("t1", "ONE")
	wantVerdict(t, b.verdict("t1"), protocol.Success, "")
	b.wantCount("first", 1)
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.progress) == 0 || !strings.Contains(b.progress[0].Message, "Step first waits to be started: systemd cannot be reached") {
		t.Errorf("an operator is told %+v", b.progress)
	}
}

func TestATaskThatIsCancelledDoesNotWaitForTheServiceManager(t *testing.T) {
	t.Parallel()
	b := newBed(t, map[string]executors.Executor{})
	b.types["ONE"] = script{execute: b.steps(b.command("first", "ok"))}
	manager := &away{}
	manager.questions.Store(1 << 30)
	b.change = func(o *engine.Options) { o.Surroundings, o.Retry = manager, time.Hour }
	b.run()
	task := b.submit("t1", "ONE")
	wait.For(b.t, "it waits", func() bool {
		b.mu.Lock()
		defer b.mu.Unlock()
		return len(b.progress) > 0
	})
	b.cancel(task)
	wantVerdict(t, b.verdict("t1"), protocol.Deleted, protocol.TaskCancelled)
	b.wantCount("first", 0)
}

package hosttest

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"devserver-agent/agent/step/launch"
	"devserver-agent/executors"
)

// Query runs a program and returns all it printed.
func (h *Host) Query(ctx context.Context, argv ...string) (executors.Reply, error) {
	path, err := h.find(argv[0])
	if err != nil {
		return executors.Reply{}, err
	}
	bounded, cancel := context.WithTimeoutCause(ctx, h.timeout(argv), executors.ErrTimeout)
	defer cancel()
	flooded, flood := context.WithCancelCause(bounded)
	defer flood(nil)
	out := &bounds{left: executors.QueryLimit, full: func() { flood(executors.ErrFlood) }}
	if h.Play != nil && flooded.Err() == nil {
		if code, played := h.Play(path, argv[1:], out); played && flooded.Err() == nil {
			return executors.Reply{Output: out.kept.Bytes(), Code: code}, nil
		} else if played {
			return executors.Reply{Output: out.kept.Bytes()}, fmt.Errorf("%s: %w", argv[0], context.Cause(flooded))
		}
	}
	code, _, err := run(func(int) {}, func() *exec.Cmd {
		cmd := h.program(flooded, path, argv, nil)
		cmd.Stdout, cmd.Stderr = out, out
		return cmd
	})
	if flooded.Err() != nil {
		return executors.Reply{Output: out.kept.Bytes()}, fmt.Errorf("%s: %w", argv[0], context.Cause(flooded))
	} else if err != nil {
		return executors.Reply{}, fmt.Errorf("%s: %w", argv[0], err)
	}
	return executors.Reply{Output: out.kept.Bytes(), Code: code}, nil
}

// timeout is how long a Query may take.
func (h *Host) timeout(argv []string) time.Duration {
	var own time.Duration
	if h.TimeoutOf != nil {
		own = h.TimeoutOf(argv)
	}
	return cmp.Or(own, h.QueryTimeout, executors.QueryTimeout)
}

// Command runs a step's program, or answers from what it left.
func (h *Host) Command(ctx context.Context, cmd executors.Command) (executors.Exit, error) {
	h.asked[cmd.Step]++
	number := h.asked[cmd.Step]
	for _, a := range h.steps {
		if a.Step != cmd.Step {
			continue
		}
		if !slices.Equal(a.Argv, cmd.Argv) {
			return executors.Exit{}, fmt.Errorf("step %s: %w: %q, not %q", cmd.Step, executors.ErrDiverged, cmd.Argv, a.Argv)
		}
		if a.number == number {
			again := &watched{watch: cmd.Watch}
			if _, err := again.Write(a.output); err != nil {
				return executors.Exit{}, err
			}
			again.rest()
			return a.exit, a.err
		}
		if !errors.Is(a.err, executors.ErrInterrupted) {
			return executors.Exit{}, fmt.Errorf("step %s: %w: it has ended", cmd.Step, executors.ErrDiverged)
		}
	}
	for _, a := range h.steps {
		if h.asked[a.Step] < a.number && ofVerify(a.Step) == ofVerify(cmd.Step) {
			return executors.Exit{}, fmt.Errorf("step %s: %w: step %s came first", cmd.Step, executors.ErrDiverged, a.Step)
		}
	}
	a := &attempt{Command: cmd, number: number}
	a.Argv = slices.Clone(cmd.Argv)
	if err := h.act(ctx, a); err != nil {
		return executors.Exit{}, err
	}
	h.steps = append(h.steps, a)
	return a.exit, a.err
}

func ofVerify(step string) bool { return strings.HasPrefix(step, executors.VerifyPrefix) }

// act runs the program of an attempt to its end. It returns an error only when
// nothing was started.
func (h *Host) act(ctx context.Context, a *attempt) error {
	path, err := h.find(a.Argv[0])
	if err != nil {
		return err
	}
	if a.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, a.Timeout, executors.ErrTimeout)
		defer cancel()
		if seen := h.hung[a.Step]; seen != nil {
			var stop func()
			ctx, stop = expireWhen(ctx, seen)
			defer stop()
		}
	}
	if a.Temp {
		temp := filepath.Join(h.scratch, fmt.Sprintf("tmp-%s-%d", a.Step, a.number))
		if err := os.Mkdir(temp, 0o700); err != nil {
			return err
		}
		a.Env = append(slices.Clone(a.Env), "TMPDIR="+temp)
	}
	printed := &watched{watch: a.Watch}
	givenUp := func() bool { return false }
	out := io.MultiWriter(&h.output, printed)
	began := time.Now()
	code, signal, err := run(func(pid int) { givenUp = printed.giveUp(a.GiveUp, pid) }, func() *exec.Cmd {
		cmd := h.program(ctx, path, a.Argv, a.Env)
		cmd.Stdout, cmd.Stderr = out, out
		cmd.Stdin = bytes.NewReader(a.Input)
		if a.Dir != "" {
			cmd.Dir = a.Dir
		}
		return cmd
	})
	hopeless := givenUp()
	printed.rest()
	if err != nil {
		return fmt.Errorf("step %s: %w", a.Step, cmp.Or(context.Cause(ctx), err))
	}
	a.exit = executors.Exit{Attempt: a.number, Began: began, Took: time.Since(began), Code: code, Signal: signal}
	a.output = printed.kept.Bytes()
	switch {
	case h.cut[a.Step] > 0:
		h.cut[a.Step]--
		a.exit, a.err = executors.Exit{}, fmt.Errorf("step %s: %w", a.Step, executors.ErrInterrupted)
	case hopeless:
		a.err = fmt.Errorf("step %s: %w", a.Step, executors.ErrGivenUp)
	case ctx.Err() != nil:
		a.err = fmt.Errorf("step %s: %w", a.Step, context.Cause(ctx))
	}
	return nil
}

// expireWhen ends the context as its timeout would, when seen is true.
func expireWhen(ctx context.Context, seen func() bool) (expiring context.Context, stop func()) {
	expiring, expire := context.WithCancelCause(ctx)
	looked := until(func() bool {
		over := seen()
		if over {
			expire(executors.ErrTimeout)
		}
		return over
	})
	return expiring, func() {
		looked()
		expire(nil)
	}
}

// until asks again and again, until the answer is yes or stop is called, which returns when
// nobody asks any more.
func until(done func() bool) (stop func()) {
	end, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		look := time.NewTicker(5 * time.Millisecond)
		defer look.Stop()
		for !done() {
			select {
			case <-end:
				return
			case <-look.C:
			}
		}
	}()
	return func() { close(end); <-ended }
}

// program is a command in a process group of its own, all of which is killed
// when ctx ends.
func (h *Host) program(ctx context.Context, path string, argv, env []string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, path, argv[1:]...)
	cmd.Dir, cmd.Env = h.root, append(h.environment(), env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 5 * time.Second
	return cmd
}

// run runs a program to its end; its error says that none was started.
func run(started func(pid int), build func() *exec.Cmd) (code int, signal string, err error) {
	cmd, err := launch.Start(build)
	if err != nil {
		return 0, "", err
	}
	started(cmd.Process.Pid)
	_ = cmd.Wait() // how it ended is its state
	status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus)
	if ok && status.Signaled() {
		return 128 + int(status.Signal()), status.Signal().String(), nil
	}
	return cmd.ProcessState.ExitCode(), "", nil
}

// watched keeps what is written and passes it to a watcher, within the bounds of
// executors.Command.Watch.
type watched struct {
	mu     sync.Mutex // a watcher and who asks whether to give up are not called at once
	kept   bytes.Buffer
	passed int // bytes
	watch  func([]byte)
}

func (w *watched) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if within := min(len(p), executors.WatchLimit-w.passed); w.watch != nil && within > 0 {
		w.passed += within
		w.watch(p[:within])
	}
	return w.kept.Write(p)
}

// rest passes the end of what was too long.
func (w *watched) rest() {
	if all := w.kept.Bytes(); w.watch != nil && w.passed < len(all) {
		w.watch(all[max(w.passed, len(all)-executors.WatchEnd):])
	}
}

// grace is how long a program that is given up has between TERM and KILL.
const grace = 2 * time.Second

// giveUp ends a program that is hopeless, with all that is in its process group, as the
// agent does: politely, and after the grace hard, unless it is not hopeless any more. stop
// is called after its end and reports whether it was given up.
func (w *watched) giveUp(hopeless func() bool, pid int) (stop func() bool) {
	if hopeless == nil {
		return func() bool { return false }
	}
	var since time.Time // zero: it is not being ended
	asked := until(func() bool {
		w.mu.Lock()
		over := hopeless()
		w.mu.Unlock()
		switch {
		case since.IsZero() && over:
			since = time.Now()
			_ = syscall.Kill(-pid, syscall.SIGTERM) // or it has just ended
		case since.IsZero() || time.Since(since) < grace:
		case over:
			_ = syscall.Kill(-pid, syscall.SIGKILL)
			return true
		default:
			since = time.Time{}
		}
		return false
	})
	return func() bool { asked(); return !since.IsZero() }
}

// bounds keeps what is written until it is full, and says so once.
type bounds struct {
	kept bytes.Buffer
	left int
	full func()
}

func (b *bounds) Write(p []byte) (int, error) {
	if len(p) <= b.left {
		b.left -= len(p)
		return b.kept.Write(p)
	}
	b.kept.Write(p[:b.left])
	b.left = 0
	b.full()
	return 0, executors.ErrFlood
}

package engine_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"devserver-agent/executors"
	"devserver-agent/protocol"
	"devserver-agent/test/support/wait"
)

func TestAWatcherHearsAProgramWhileItRuns(t *testing.T) {
	t.Parallel()
	b := newBed(t, map[string]executors.Executor{})
	gate := filepath.Join(t.TempDir(), "gate")
	b.types["ONE"] = script{execute: func(ctx context.Context, host executors.Host) (executors.Result, error) {
		var heard strings.Builder
		host.Printf("not the program's\n")
		_, err := host.Command(ctx, executors.Command{
			Step: "talk", Argv: []string{"/bin/sh", "-c", "echo first; while [ ! -e '" + gate + "' ]; do sleep 0.02; done; echo second >&2"},
			Watch: func(piece []byte) {
				heard.Write(piece)
				if heard.String() == "first\n" { // or it would never end
					if err := os.WriteFile(gate, nil, 0o600); err != nil {
						t.Error(err)
					}
				}
			},
		})
		return executors.Result{Message: heard.String()}, err
	}}
	b.run()
	b.submit("t1", "ONE")
	verdict := b.verdict("t1")
	wantVerdict(t, verdict, protocol.Success, "")
	if verdict.Message != "first\nsecond\n" {
		t.Errorf("heard %q", verdict.Message)
	}
}

// "> /dev/stderr" opens the output anew and empties it; what is printed from then on is
// heard.
func TestAWatcherHearsAProgramThatEmptiesItsOutput(t *testing.T) {
	t.Parallel()
	b := newBed(t, map[string]executors.Executor{})
	gate := filepath.Join(t.TempDir(), "gate")
	b.types["ONE"] = script{execute: func(ctx context.Context, host executors.Host) (executors.Result, error) {
		var heard strings.Builder
		host.Printf("not the program's\n")
		_, err := host.Command(ctx, executors.Command{
			Step: "talk", Argv: []string{"/bin/sh", "-c", "echo first; while [ ! -e '" + gate + "' ]; do sleep 0.02; done; echo second > /dev/stderr; echo third"},
			Watch: func(piece []byte) {
				heard.Write(piece)
				if heard.String() == "first\n" { // or it would never end
					if err := os.WriteFile(gate, nil, 0o600); err != nil {
						t.Error(err)
					}
				}
			},
		})
		return executors.Result{Message: heard.String()}, err
	}}
	b.run()
	b.submit("t1", "ONE")
	verdict := b.verdict("t1")
	wantVerdict(t, verdict, protocol.Success, "")
	if verdict.Message != "first\nsecond\nthird\n" {
		t.Errorf("heard %q", verdict.Message)
	}
}

func TestAWatcherHearsItAllAgainInAReplay(t *testing.T) {
	t.Parallel()
	b := newBed(t, map[string]executors.Executor{})
	again := make(chan string, 2)
	b.types["ONE"] = script{execute: func(ctx context.Context, host executors.Host) (executors.Result, error) {
		var heard strings.Builder
		host.Printf("not the program's\n")
		_, err := host.Command(ctx, executors.Command{
			Step: "talk", Argv: []string{"/bin/sh", "-c", "echo first; echo second"},
			Watch: func(piece []byte) { heard.Write(piece) },
		})
		host.Printf("nor this\n")
		if again <- heard.String(); len(again) == 1 {
			<-ctx.Done() // the agent stops
		}
		return executors.Result{Message: heard.String()}, err
	}}
	b.run()
	b.submit("t1", "ONE")
	wait.For(b.t, "the program has ended", func() bool { return len(again) == 1 })
	b.restart()
	verdict := b.verdict("t1")
	wantVerdict(t, verdict, protocol.Success, "")
	if first := <-again; first != "first\nsecond\n" || verdict.Message != first {
		t.Errorf("heard %q, and then %q", first, verdict.Message)
	}
}

// What the agent writes into the output of a program that outlived it is not the
// program's.
func TestAWatcherDoesNotHearTheAgent(t *testing.T) {
	t.Parallel()
	b := newBed(t, map[string]executors.Executor{})
	gate := filepath.Join(t.TempDir(), "gate")
	var lives atomic.Int32
	b.types["ONE"] = script{execute: func(ctx context.Context, host executors.Host) (executors.Result, error) {
		if lives.Add(1) == 2 {
			if err := os.WriteFile(gate, nil, 0o600); err != nil {
				t.Error(err)
			}
		}
		var heard strings.Builder
		_, err := host.Command(ctx, executors.Command{
			Step: "talk", Argv: []string{"/bin/sh", "-c", "printf 'first '; while [ ! -e '" + gate + "' ]; do sleep 0.02; done; echo '[second]'"},
			Watch: func(piece []byte) { heard.Write(piece) },
		})
		return executors.Result{Message: heard.String()}, err
	}}
	b.run()
	path := b.submit("t1", "ONE").OutputPath(0)
	output := func() string {
		text, err := os.ReadFile(path)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Error(err)
		}
		return string(text)
	}
	wait.For(b.t, "the program has begun to speak", func() bool { return strings.HasPrefix(output(), "first ") })
	b.restart()
	verdict := b.verdict("t1")
	wantVerdict(t, verdict, protocol.Success, "")
	if verdict.Message != "first [second]\n" || !strings.Contains(output(), "is taken up again") {
		t.Errorf("heard %q of %q", verdict.Message, output())
	}
}

// Of an output that is longer than what a watcher hears, the end is heard all the same:
// there a program says what it came to.
func TestAWatcherHearsTheEndOfALongOutput(t *testing.T) {
	t.Parallel()
	b := newBed(t, map[string]executors.Executor{})
	b.types["ONE"] = script{execute: func(ctx context.Context, host executors.Host) (executors.Result, error) {
		var heard bytes.Buffer
		_, err := host.Command(ctx, executors.Command{
			Step: "talk", Argv: []string{"/bin/sh", "-c", "echo first; head -c 12000000 /dev/zero; echo; echo last"},
			Watch: func(piece []byte) { heard.Write(piece) },
		})
		said := heard.Bytes()
		return executors.Result{Message: fmt.Sprintf("%d bytes, first %v, last %v", len(said), bytes.HasPrefix(said, []byte("first\n")), bytes.HasSuffix(said, []byte("\nlast\n")))}, err
	}}
	b.run()
	b.submit("t1", "ONE")
	want := fmt.Sprintf("%d bytes, first true, last true", executors.WatchLimit+executors.WatchEnd)
	if got := b.verdict("t1").Message; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

package container

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"devserver-agent/executors"
	"devserver-agent/protocol"
	"devserver-agent/test/support/plainwords"
	"devserver-agent/test/support/wait"
)

func TestAContainerRunsToItsEnd(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		command string
		more    []string
		cut     bool
		code    protocol.Code
		says    string
		output  string
		starts  string // lines that the container left
	}{
		"well":                                 {command: "echo start >>/shared/starts; echo hello; echo trouble >&2", says: "The container of localhost/tiny:1 ended well", output: "hello\n", starts: "start\n"},
		"badly":                                {command: "echo start >>/shared/starts; exit 3", code: protocol.ContainerFailed, says: "ended with exit code 3", starts: "start\n"},
		"with settings":                        {command: "echo $COLOUR", more: []string{"env", "COLOUR=blue,X=1"}, says: "ended well", output: "blue\n"},
		"cut at its end and not started again": {command: "echo start >>/shared/starts; exit 4", cut: true, code: protocol.ContainerFailed, says: "ended with exit code 4", output: "attached again", starts: "start\n"},
		"without its image":                    {command: "true", more: []string{"image", "localhost:1/none:1"}, code: protocol.ContainerFailed, says: "did not run localhost:1/none:1", output: "fetch localhost:1/none:1"},
		"with a wicked volume":                 {command: "true", more: []string{"volumes", "/etc/devserver-agent:/x"}, code: protocol.SpecInvalid, says: "it would open the host or the agent"},
		"with NPUs that are not there":         {command: "true", more: []string{"npus", "0"}, code: "", says: "list /dev"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			if c.cut {
				r.host.Cut("run")
			}
			e := Common{r.engine}
			for range 2 { // the second is a replay
				r.host.Replay()
				result, err := e.Execute(t.Context(), r.host, r.spec(c.command, c.more...))
				message := result.Message
				var failure *executors.Failure
				if errors.As(err, &failure) {
					message = failure.Message
				} else if err != nil {
					message = err.Error()
				}
				plainwords.Check(t, c.code, message)
				if !strings.Contains(message, c.says) || c.code != "" && (failure == nil || failure.Code != c.code) {
					t.Errorf("it ends with %q, %v, want [%s] ...%s...\n%s", message, err, c.code, c.says, r.host.Output())
				}
			}
			if !strings.Contains(r.host.Output(), c.output) || r.shared("starts") != c.starts {
				t.Errorf("it was started %q and printed\n%s", r.shared("starts"), r.host.Output())
			}
			scratch, err := r.host.Scratch()
			if err != nil {
				t.Fatal(err)
			}
			run, err := r.engine.order(t.Context(), r.host, executors.Spec{"image": "x"})
			if err == nil {
				if left := r.left(run.Name); len(left) > 0 {
					t.Errorf("%s is left behind (scratch %s)", left, scratch)
				}
			}
		})
	}
}

// Whoever dies, the container goes on, and the next attempt sees its end.
func TestAContainerOutlivesWhoStartedIt(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	run := r.order(r.spec("echo start >>/shared/starts; until [ -e /shared/gate ]; do sleep 0.1; done; echo over; exit 7"))
	first, _ := r.program("run", run)
	wait.For(r, "it runs", func() bool { return r.shared("starts") != "" })
	if err := first.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = first.Wait() // it was killed
	second, out := r.program("run", run)
	if err := os.WriteFile(filepath.Join(r.dir, "gate"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	err := second.Wait()
	if second.ProcessState.ExitCode() != 7 || !strings.Contains(out.String(), "over\n") || r.shared("starts") != "start\n" {
		t.Errorf("it ended with %v, was started %q and printed %s", err, r.shared("starts"), out)
	}
	if third, out := r.program("remove", run); third.Wait() != nil || len(r.left(run.Name)) > 0 {
		t.Errorf("it is left behind: %s", out)
	}
}

func TestAProgramThatIsToldToStopStopsItsContainer(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	run := r.order(r.spec("trap 'echo asked; exit 9' TERM; echo start >>/shared/starts; while :; do sleep 0.1; done"))
	cmd, out := r.program("run", run)
	wait.For(r, "it runs", func() bool { return r.shared("starts") != "" })
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); cmd.ProcessState.ExitCode() != 9 || !strings.Contains(out.String(), "asked") {
		t.Errorf("it ended with %v: %s", err, out)
	}
	if removal, out := r.program("remove", run); removal.Wait() != nil {
		t.Errorf("it is left behind: %s", out)
	}
}

// What a container says late while it is being stopped is printed, and all of what it
// says in a rush: Podman's follow gives neither (output.go).
func TestAllOutputOfAContainerIsPrinted(t *testing.T) {
	t.Parallel()
	t.Run("while it is stopped", func(t *testing.T) {
		t.Parallel()
		r := newRig(t)
		run := r.order(r.spec("trap 'echo asked >>/shared/asked; sleep 0.7; echo last words; exit 9' TERM; echo start >>/shared/starts; while :; do sleep 0.1; done"))
		first, _ := r.program("run", run)
		wait.For(r, "it runs", func() bool { return r.shared("starts") != "" })
		if err := first.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = first.Wait() // it was killed
		stopped := make(chan error, 1)
		go func() { stopped <- r.api.stop(t.Context(), run.Name, time.Minute) }()
		wait.For(r, "it is being stopped", func() bool { return r.shared("asked") != "" })
		second, out := r.program("run", run)
		if err := second.Wait(); second.ProcessState.ExitCode() != 9 || !strings.Contains(out.String(), "last words\n") {
			t.Errorf("it ended with %v: %s", err, out)
		}
		if err := <-stopped; err != nil {
			t.Error(err)
		}
		if removal, out := r.program("remove", run); removal.Wait() != nil {
			t.Errorf("it is left behind: %s", out)
		}
	})
	t.Run("in a rush", func(t *testing.T) {
		t.Parallel()
		r := newRig(t)
		result, err := Common{r.engine}.Execute(t.Context(), r.host, r.spec("seq 1 20000; echo last words"))
		var want strings.Builder
		for i := range 20000 {
			fmt.Fprintln(&want, i+1)
		}
		if !strings.Contains(r.host.Output(), want.String()+"last words\n") {
			t.Errorf("it ends with %v, %v and %d bytes of output are printed", result, err, len(r.host.Output()))
		}
	})
}

func TestAServiceIsDeployedReplacedAndGivenBack(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	service := func(command string) executors.Spec {
		return r.spec(command, "name", "infer", "ready_seconds", "1")
	}
	const stays = "echo %s >>/shared/starts; while :; do sleep 0.1; done"
	for _, c := range []struct{ command, says, starts string }{
		{fmt.Sprintf(stays, "one"), "Service infer runs localhost/tiny:1.", "one\n"},
		{fmt.Sprintf(stays, "one"), "Service infer runs localhost/tiny:1 already.", "one\n"},
		{fmt.Sprintf(stays, "two"), "Service infer runs localhost/tiny:1.", "one\ntwo\n"},
		{"echo bad >>/shared/starts; exit 1", "did not stay up with localhost/tiny:1 and is as it was before", "one\ntwo\nbad\ntwo\n"},
	} {
		next := newRig(t) // another item
		next.dir = r.dir
		result, err := Deploy{next.engine}.Execute(t.Context(), next.host, service(c.command))
		message := result.Message
		if err != nil {
			message = err.Error()
		}
		if !strings.Contains(message, c.says) {
			t.Errorf("%s: it ends with %q, want ...%s...\n%s", c.command, message, c.says, next.host.Output())
		}
		wait.For(r, "it was started as it should be", func() bool {
			got := r.shared("starts")
			return got == c.starts || strings.ReplaceAll(got, "bad\n", "") == strings.ReplaceAll(c.starts, "bad\n", "") && strings.Contains(got, "bad")
		})
		if left := r.left("devserver-infer-"); len(left) != 1 {
			t.Errorf("there are %v", left)
		}
	}
	for name := range r.left("devserver-infer-") {
		if err := r.api.remove(t.Context(), name); err != nil {
			t.Error(err)
		}
	}
}

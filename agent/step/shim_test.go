package step

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"devserver-agent/executors"
	"devserver-agent/test/support/wait"
)

func TestAProgramsEndIsRecorded(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, script string
		want         Exit
	}{
		{"success", "exit 0", Exit{}},
		{"failure", "exit 7", Exit{Code: 7}},
		{"killed", "kill -KILL $$", Exit{Code: 137, Signal: "killed"}},
		{"terminated", "kill -TERM $$", Exit{Code: 143, Signal: "terminated"}},
		{"an exit code that looks like a signal", "exit 137", Exit{Code: 137}},
	} {
		t.Run(c.name, func(t *testing.T) {
			tr := try(t, c.script)
			if diff := cmp.Diff(c.want, tr.run(), cmpopts.IgnoreFields(Exit{}, "TookMS")); diff != "" {
				t.Errorf("exit (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAProgramThatCannotBeExecutedHasAnEnd(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	plain, nobody, garbage := filepath.Join(folder, "plain"), filepath.Join(folder, "nobody"), filepath.Join(folder, "garbage")
	for path, c := range map[string]struct {
		content string
		mode    os.FileMode
	}{plain: {"#!/bin/sh\n", 0o600}, nobody: {"#!/no/such/interpreter\n", 0o700}, garbage: {"\x7fELFgarbage", 0o700}} {
		if err := os.WriteFile(path, []byte(c.content), c.mode); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name, program, dir string
		code               int
	}{
		{"not there", filepath.Join(folder, "missing"), "", 127},
		{"not on the path", "no-such-program-anywhere", "", 127},
		{"no interpreter", nobody, "", 127},
		{"not executable", plain, "", 126},
		{"a folder", folder, "", 126},
		{"not a program", garbage, "", 126},
		{"its working folder is not there", "/bin/true", filepath.Join(folder, "gone"), 127},
	} {
		t.Run(c.name, func(t *testing.T) {
			tr := try(t, "")
			tr.spec.Argv, tr.spec.Dir = []string{c.program}, c.dir
			if exit := tr.run(); exit.Code != c.code || exit.Error == "" {
				t.Errorf("exit is %+v, want code %d and why", exit, c.code)
			}
		})
	}
}

func TestOutputIsAppendedInTheOrderOfWriting(t *testing.T) {
	t.Parallel()
	tr := try(t, `i=0; while [ $i -lt 200 ]; do echo out $i; echo err $i >&2; i=$((i+1)); done`)
	if err := os.WriteFile(tr.spec.Output, []byte("from before\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	tr.run()
	want := "from before\n"
	for i := range 200 {
		want += fmt.Sprintf("out %d\nerr %d\n", i, i)
	}
	if diff := cmp.Diff(want, tr.read("output")); diff != "" {
		t.Errorf("output (-want +got):\n%s", diff)
	}
}

func TestAProgramGetsASurroundingOfItsOwn(t *testing.T) {
	t.Setenv("SECRET_OF_THE_AGENT", "1")
	tr := try(t, `env | sort; pwd; readlink /proc/self/fd/0; ls -l /proc/self/fd | wc -l; grep -E '^Sig(Blk|Ign)' /proc/self/status`)
	tr.spec.Env = append(tr.spec.Env, "LC_ALL=C")
	tr.run()
	got := tr.read("output")
	for _, want := range []string{
		"\nLC_ALL=C\n", "\n" + tr.Dir + "\n/dev/null\n", // its working folder and its standard input
		"SigBlk:\t0000000000000000\n", "SigIgn:\t0000000000000000\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("output lacks %q:\n%s", want, got)
		}
	}
	if strings.Contains(got, "SECRET") {
		t.Errorf("the program sees the agent's environment:\n%s", got)
	}
}

func TestAnAttemptRunsOnceHoweverManyShimsAreStarted(t *testing.T) {
	t.Parallel()
	tr := try(t, `echo ran >> $D/runs`).prepare()
	var wg sync.WaitGroup
	for range 6 {
		gone := tr.start()
		wg.Go(func() { <-gone })
	}
	wg.Wait()
	tr.want(nil)
	if got := tr.read("runs"); got != "ran\n" {
		t.Errorf("it ran as often as this: %q", got)
	}
}

func TestAShimStopsWhereSomebodyWasBefore(t *testing.T) {
	t.Parallel()
	for _, name := range []string{exitFile, startedFile, abandonedFile} {
		t.Run(name, func(t *testing.T) {
			tr := try(t, `echo ran > $D/runs`).prepare()
			if err := os.WriteFile(filepath.Join(tr.Dir, name), nil, 0o600); err != nil {
				t.Fatal(err)
			}
			<-tr.start()
			if _, err := os.Stat(filepath.Join(tr.folder, "runs")); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("the program ran: %v", err)
			}
		})
	}
}

// Nothing runs of a spec that is torn or empty, and the shim says why.
func TestASpecThatCannotBeRunIsAbandoned(t *testing.T) {
	t.Parallel()
	for name, spec := range map[string]string{"torn": `{"argv":["/bin/tr`, "without a program": `{"argv":[]}`, "empty": ""} {
		t.Run(name, func(t *testing.T) {
			tr := try(t, "").prepare()
			if err := os.WriteFile(filepath.Join(tr.Dir, specFile), []byte(spec), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := tr.wait(tr.start()); !errors.Is(err, ErrAbandoned) {
				t.Errorf("it gave %v, want ErrAbandoned", err)
			}
			if !strings.HasPrefix(tr.ShimLog(), "step: ") {
				t.Errorf("the shim said %q", tr.ShimLog())
			}
		})
	}
}

func TestTheShimOutlivesPoliteSignals(t *testing.T) {
	t.Parallel()
	tr := try(t, `trap "echo touched >> $D/touched" TERM HUP INT; echo x > $D/up; read x < $D/gate; exit 3`)
	open := tr.gate("gate")
	gone := tr.prepare().start()
	tr.mark("up")
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGHUP, syscall.SIGINT} {
		if err := syscall.Kill(tr.shim(), sig); err != nil {
			t.Fatal(err)
		}
	}
	tr.wantRunning()
	open()
	if exit, err := tr.wait(gone); exit.Code != 3 || err != nil {
		t.Errorf("it gave %+v, %v; want code 3", exit, err)
	}
	if _, err := os.Stat(filepath.Join(tr.folder, "touched")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the program got what was for the shim: %v", err)
	}
}

// The shim is the parent of what its program leaves behind: none of it may stay
// a zombie for as long as a long program runs.
func TestWhatAProgramLeavesBehindIsCollected(t *testing.T) {
	t.Parallel()
	tr := try(t, `i=0; while [ $i -lt 20 ]; do (sh -c 'exit 0' &) ; i=$((i+1)); done; echo x > $D/up; read x < $D/gate`)
	open := tr.gate("gate")
	gone := tr.prepare().start()
	tr.mark("up")
	shim := tr.shim()
	wait.For(tr, "no zombie is left", func() bool {
		children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", shim, shim))
		if err != nil {
			t.Fatal(err)
		}
		return len(bytes.Fields(children)) <= 1 // the program
	})
	open()
	if exit, err := tr.wait(gone); exit.Code != 0 || err != nil {
		t.Errorf("it gave %+v, %v", exit, err)
	}
}

// An installer starts daemons. They are no part of the action, which ends with
// the program.
func TestADaemonThatStaysDoesNotHoldUpTheEnd(t *testing.T) {
	t.Parallel()
	tr := try(t, `setsid sh -c 'echo $$ > $D/daemon; read x < $D/gate' > /dev/null 2>&1 & exit 4`)
	tr.gate("gate")
	if exit := tr.run(); exit.Code != 4 {
		t.Errorf("exit is %+v", exit)
	}
	if pid := tr.pid("daemon"); !alive(pid) {
		t.Error("the daemon is gone")
	}
}

func TestTheRecordOfAnEndFitsIntoItsRoom(t *testing.T) {
	for name, exit := range map[string]Exit{
		"ordinary":           {Code: 1, TookMS: 1 << 40},
		"with a long reason": {Code: 126, Error: strings.Repeat("\x01", 5000)},
		"with long letters":  {Code: 126, Error: strings.Repeat("ü", 5000)},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := errors.Join(reserveExit(dir), writeExit(dir, exit)); err != nil {
				t.Fatal(err)
			}
			raw, err := os.ReadFile(filepath.Join(dir, exitFile))
			if err != nil || len(raw) != exitRoom {
				t.Errorf("it takes %d bytes, %v; %d were taken for it", len(raw), err, exitRoom)
			}
			if got, err := readExit(dir); err != nil || got.Code != exit.Code {
				t.Errorf("it reads %+v, %v", got, err)
			}
		})
	}
}

func TestASecondShimWaitsForTheFirst(t *testing.T) {
	t.Parallel()
	tr := try(t, `echo ran >> $D/runs; read x < $D/gate`)
	tr.spec.Kill = executors.KillNever
	open := tr.gate("gate")
	first := tr.prepare().start()
	tr.mark("runs")
	second := tr.start()
	open()
	<-first
	<-second
	tr.want(nil)
	if got := tr.read("runs"); got != "ran\n" {
		t.Errorf("it ran as often as this: %q", got)
	}
}

package step

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"devserver-agent/executors"
	"devserver-agent/test/support/wait"
)

// family is a program with a child in its session and a grandchild that left
// it; both of them ignore TERM, the program does not.
const family = `
sh -c 'trap "" TERM; echo $$ > $D/child; read x < $D/gate1' &
setsid sh -c 'trap "" TERM; echo $$ > $D/stranger; read x < $D/gate2' &
echo $$ > $D/program
read x < $D/gate3`

func startFamily(t *testing.T, kill executors.Kill) (tr *trial, gone <-chan struct{}, program, child, stranger int) {
	t.Helper()
	tr = try(t, family)
	tr.spec.Kill = kill
	for _, name := range []string{"gate1", "gate2", "gate3"} {
		tr.gate(name)
	}
	gone = tr.prepare().start()
	return tr, gone, tr.pid("program"), tr.pid("child"), tr.pid("stranger")
}

// A tree is ended when all of it has ended, not when the program has that was
// polite enough to.
func TestKillingATreeLeavesNothing(t *testing.T) {
	t.Parallel()
	tr, gone, program, child, stranger := startFamily(t, executors.KillTree)
	if n, err := tr.Signal(unix.SIGTERM); n != 3 || err != nil {
		t.Errorf("TERM reached %d, %v; want 3", n, err)
	}
	wait.For(tr, "the program has ended", func() bool { return !alive(program) })
	if !alive(child) || !alive(stranger) {
		t.Fatal("those who ignore TERM are gone")
	}
	tr.wantRunning()
	if err := tr.KillAll(); err != nil {
		t.Fatal(err)
	}
	exit, err := tr.wait(gone)
	if err != nil || exit.Code != 143 || exit.Signal != "terminated" {
		t.Errorf("it gave %+v, %v; want the program's end", exit, err)
	}
	if alive(child) || alive(stranger) {
		t.Error("somebody is left")
	}
}

func TestOneWhoIsOnlyAskedIsNotWaitedForWithItsChildren(t *testing.T) {
	t.Parallel()
	tr, gone, _, _, stranger := startFamily(t, executors.KillTermOnly)
	if _, err := tr.Signal(unix.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if exit, err := tr.wait(gone); err != nil || exit.Code != 143 {
		t.Errorf("it gave %+v, %v", exit, err)
	}
	if !alive(stranger) {
		t.Error("one was killed who should only be asked")
	}
}

func TestATreeThatLostItsShimIsKilledWhole(t *testing.T) {
	t.Parallel()
	tr, gone, program, child, stranger := startFamily(t, executors.KillTree)
	tr.kill(tr.shim())
	<-gone
	tr.wantRunning()
	if err := tr.KillAll(); err != nil {
		t.Fatal(err)
	}
	wait.For(tr, "all are gone", func() bool { return !alive(program) && !alive(child) && !alive(stranger) })
	if _, err := tr.wait(gone); !errors.Is(err, ErrInterrupted) {
		t.Errorf("Wait gave %v, want ErrInterrupted", err)
	}
}

func TestAForkThatRunsAwayIsCaught(t *testing.T) {
	t.Parallel()
	tr := try(t, `
export n=0
export SELF='trap "" TERM; n=$((n+1)); export n; echo $n > $D/runs; sh -c "$SELF" & exit 0'
sh -c "$SELF"; read x < $D/gate`)
	tr.gate("gate")
	gone := tr.prepare().start()
	tr.mark("runs")
	if err := tr.KillAll(); err != nil {
		t.Fatal(err)
	}
	if exit, err := tr.wait(gone); err != nil || exit.Code != 137 {
		t.Errorf("it gave %+v, %v", exit, err)
	}
	if left := tr.carriers(); len(left) > 0 {
		t.Errorf("left over: %v", left)
	}
}

func TestSignalsReachNobodyElse(t *testing.T) {
	bystander := command("/bin/sh", "-c", "read x")
	bystander.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	in, err := bystander.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := bystander.Start(); err != nil {
		t.Fatal(err)
	}
	p, err := inspect(bystander.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	for name, started := range map[string]Started{
		"whose pid it is by now": {PID: p.pid, Ticks: p.ticks - 1, Boot: boot},
		"of another boot":        {PID: p.pid, Ticks: p.ticks, Boot: "boot-0"},
		"who is the shim":        {PID: p.pid, Ticks: p.ticks, Boot: boot},
	} {
		dir := t.TempDir()
		if err := writeJSON(dir, startedFile, started, os.O_EXCL); err != nil {
			t.Fatal(err)
		}
		if n, err := (Attempt{Dir: dir, Boot: boot}).Signal(unix.SIGKILL); n != 0 || err != nil {
			t.Errorf("one %s: the signal reached %d, %v", name, n, err)
		}
	}
	p.ticks++ // the process that was inspected is gone, its number is taken
	if err := send(p, unix.SIGKILL); !errors.Is(err, unix.ESRCH) {
		t.Errorf("a signal to one who is gone gave %v", err)
	}
	if !alive(bystander.Process.Pid) {
		t.Error("a bystander was killed")
	}
	if err := errors.Join(in.Close(), bystander.Wait()); err == nil {
		t.Error("the bystander had something to read")
	}
}

func TestNobodyIsSignalledBeforeTheStart(t *testing.T) {
	t.Parallel()
	tr := try(t, "").prepare()
	if n, err := tr.Signal(unix.SIGKILL); n != 0 || err != nil {
		t.Errorf("it reached %d, %v", n, err)
	}
	if err := tr.KillAll(); err != nil {
		t.Error(err)
	}
	if _, err := tr.wait(tr.start()); err != nil {
		t.Errorf("after that it gave %v: it had not been started", err)
	}
}

func TestStatIsReadWhateverAProcessCallsItself(t *testing.T) {
	line := func(name, state string, threads int) string {
		return fmt.Sprintf("42 (%s) %s 7 42 40 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 %d 0 12345 1 2 3\n", name, state, threads)
	}
	for _, c := range []struct {
		name, stat string
		want       process
		wrong      bool
	}{
		{"ordinary", line("sh", "S", 1), process{pid: 42, parent: 7, group: 42, session: 40, ticks: 12345}, false},
		{"a name with blanks and parentheses", line("a ) S 1 2 (b", "R", 1), process{pid: 42, parent: 7, group: 42, session: 40, ticks: 12345}, false},
		{"zombie", line("sh", "Z", 1), process{pid: 42, parent: 7, group: 42, session: 40, ticks: 12345, zombie: true}, false},
		{"dead", line("sh", "X", 0), process{pid: 42, parent: 7, group: 42, session: 40, ticks: 12345, zombie: true}, false},
		{"a first thread that ended before the others", line("sh", "Z", 3), process{pid: 42, parent: 7, group: 42, session: 40, ticks: 12345}, false},
		{"empty", "", process{}, true},
		{"no name", "42 sh S 7", process{}, true},
		{"cut", "42 (sh) S 7 42 40", process{}, true},
		{"a number that is none", strings.Replace(line("sh", "S", 1), "12345", "x", 1), process{}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := parseStat([]byte(c.stat))
			if (err != nil) != c.wrong || err == nil && got != c.want {
				t.Errorf("got %+v, %v; want %+v", got, err, c.want)
			}
		})
	}
}

func FuzzParseStat(f *testing.F) {
	self, err := os.ReadFile("/proc/self/stat")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(self)
	f.Add([]byte("1 (a) S 1 1 1"))
	f.Add([]byte("2 ()) ) R 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20\n"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		p, err := parseStat(raw)
		if err != nil {
			return
		}
		if begin := fmt.Sprint(p.pid); !strings.Contains(string(raw), strings.TrimPrefix(begin, "-")) {
			t.Fatalf("pid %d is not in %q", p.pid, raw)
		}
	})
}

func TestInspectKnowsThisProcess(t *testing.T) {
	p, err := inspect(os.Getpid())
	sid, sidErr := unix.Getsid(0)
	if err := errors.Join(err, sidErr); err != nil {
		t.Fatal(err)
	}
	if p.pid != os.Getpid() || p.parent != os.Getppid() || p.group != unix.Getpgrp() || p.session != sid || p.zombie || p.ticks == 0 {
		t.Errorf("this process is %+v", p)
	}
	if _, err := inspect(1 << 23); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("one that is not there gave %v", err)
	}
}

func TestAWaitThatIsCalledOffLeavesTheProgram(t *testing.T) {
	t.Parallel()
	tr := try(t, `echo $$ > $D/program; read x < $D/gate`)
	tr.gate("gate")
	gone := tr.prepare().start()
	pid := tr.pid("program")
	tr.kill(tr.shim())
	<-gone
	ctx, cancel := context.WithCancel(context.Background())
	waited := make(chan error, 1)
	go func() {
		_, err := tr.Wait(ctx, gone)
		waited <- err
	}()
	cancel()
	if err := <-waited; !errors.Is(err, context.Canceled) || !alive(pid) {
		t.Errorf("Wait gave %v, the program lives: %v", err, alive(pid))
	}
	if _, err := os.Stat(filepath.Join(tr.Dir, abandonedFile)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("it was abandoned: %v", err)
	}
}

package step

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"devserver-agent/agent/failpoint"
	"devserver-agent/executors"
	"devserver-agent/test/support/wait"
)

const boot = "boot-1"

// TestMain is also the programs of these tests: the shim, an agent that is
// killed, and a tool that gets out of reach.
func TestMain(m *testing.M) {
	if len(os.Args) < 3 {
		os.Exit(m.Run())
	}
	// Built with -race every shim would sleep for a second before its exit.
	err := os.Setenv("GORACE", "atexit_sleep_ms=0")
	switch os.Args[1] {
	case "step":
		err = errors.Join(err, Shim(os.Args[2]))
	case "agent":
		err = errors.Join(err, agent(os.Args[2]))
	case "escape":
		err = errors.Join(err, escape(os.Args[2]))
	default:
		os.Exit(m.Run())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// agent does with an attempt what the engine does.
func agent(dir string) error {
	spec, err := ReadSpec(dir + ".asked")
	if err != nil {
		return err
	}
	if err := Prepare(dir, spec); err != nil {
		return err
	}
	failpoint.Hit(failpoint.StepPrepared)
	gone, err := surroundings().Start(dir, spec)
	if err != nil {
		return err
	}
	failpoint.Hit(failpoint.StepStarted)
	_, err = Attempt{Dir: dir, Boot: boot}.Wait(context.Background(), gone)
	failpoint.Hit(failpoint.StepEnded)
	return err
}

// escape leaves the process group in which its caller could kill it, as a tool
// that hangs in a driver cannot be killed, and hangs.
func escape(pidFile string) error {
	group, err := unix.Getpgid(os.Getppid())
	if err == nil {
		err = unix.Setpgid(0, group)
	}
	fmt.Println("before it hangs")
	if err = errors.Join(err, os.WriteFile(pidFile, strconv.AppendInt(nil, int64(os.Getpid()), 10), 0o600)); err != nil {
		return err
	}
	select {}
}

func surroundings() Process { return Process{Shim: []string{os.Args[0], "step"}} }

// trial is an attempt at a shell script.
type trial struct {
	*testing.T
	Attempt
	spec   Spec
	folder string // where scripts leave their marks; their $D
}

func try(t *testing.T, script string) *trial {
	t.Helper()
	folder := t.TempDir()
	tr := &trial{T: t, Attempt: Attempt{Dir: filepath.Join(folder, "attempt"), Boot: boot}, folder: folder}
	tr.spec = Spec{
		Argv: []string{"/bin/sh", "-c", script}, Env: []string{"PATH=" + os.Getenv("PATH"), "D=" + folder},
		Output: filepath.Join(folder, "output"), Boot: boot, Kill: executors.KillTree,
	}
	t.Cleanup(tr.sweep)
	return tr
}

// sweep ends whatever a test left running: all that has the trial's folder in
// its environment or arguments.
func (tr *trial) sweep() {
	for _, pid := range tr.carriers() {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	wait.For(tr, "everything is gone", func() bool { return len(tr.carriers()) == 0 })
}

func (tr *trial) carriers() []int {
	files, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		tr.Fatal(err)
	}
	var pids []int
	for _, proc := range files {
		pid, _ := strconv.Atoi(filepath.Base(proc))
		environ, _ := os.ReadFile(proc + "/environ")
		cmdline, _ := os.ReadFile(proc + "/cmdline")
		if p, err := inspect(pid); err == nil && !p.zombie && strings.Contains(string(environ)+string(cmdline), tr.folder) {
			pids = append(pids, pid)
		}
	}
	return pids
}

func (tr *trial) prepare() *trial {
	tr.Helper()
	if err := Prepare(tr.Dir, tr.spec); err != nil {
		tr.Fatal(err)
	}
	return tr
}

func (tr *trial) start() <-chan struct{} {
	tr.Helper()
	gone, err := surroundings().Start(tr.Dir, tr.spec)
	if err != nil {
		tr.Fatal(err)
	}
	return gone
}

// wait gives an attempt as long as a busy machine may take.
func (tr *trial) wait(gone <-chan struct{}) (Exit, error) {
	tr.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), wait.Patience)
	defer cancel()
	return tr.Wait(ctx, gone)
}

func (tr *trial) run() Exit {
	tr.Helper()
	exit, err := tr.wait(tr.prepare().start())
	if err != nil {
		tr.Fatalf("%v; the shim said: %s", err, tr.ShimLog())
	}
	return exit
}

// mark waits for a script to say something in a file.
func (tr *trial) mark(name string) string {
	tr.Helper()
	var said string
	wait.For(tr, "there is the mark "+name, func() bool {
		raw, _ := os.ReadFile(filepath.Join(tr.folder, name))
		said = strings.TrimSpace(string(raw))
		return said != ""
	})
	return said
}

func (tr *trial) pid(name string) int {
	tr.Helper()
	pid, err := strconv.Atoi(tr.mark(name))
	if err != nil {
		tr.Fatal(err)
	}
	return pid
}

// gate makes a fifo that a script waits at with "read x < $D/NAME".
func (tr *trial) gate(name string) (open func()) {
	tr.Helper()
	path := filepath.Join(tr.folder, name)
	if err := unix.Mkfifo(path, 0o600); err != nil {
		tr.Fatal(err)
	}
	return func() {
		tr.Helper()
		file, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err == nil {
			_, err = file.WriteString("go\n")
			err = errors.Join(err, file.Close())
		}
		if err != nil {
			tr.Fatal(err)
		}
	}
}

func (tr *trial) read(name string) string {
	tr.Helper()
	raw, err := os.ReadFile(filepath.Join(tr.folder, name))
	if err != nil {
		tr.Fatal(err)
	}
	return string(raw)
}

func alive(pid int) bool {
	p, err := inspect(pid)
	return err == nil && !p.zombie
}

// shim is the pid of the attempt's shim.
func (tr *trial) shim() int {
	tr.Helper()
	var started Started
	wait.For(tr, "the shim has started", func() (ok bool) {
		var err error
		started, err = ReadStarted(tr.Dir)
		return err == nil
	})
	return started.PID
}

func (tr *trial) kill(pid int) {
	tr.Helper()
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		tr.Fatal(err)
	}
	wait.For(tr, "a killed process is gone", func() bool { return !alive(pid) })
}

func (tr *trial) want(state error) {
	tr.Helper()
	if _, running, err := tr.Look(); running || !errors.Is(err, state) {
		tr.Fatalf("it looks running %v, %v; want %v", running, err, state)
	}
}

func (tr *trial) wantRunning() {
	tr.Helper()
	if exit, running, err := tr.Look(); !running || err != nil {
		tr.Fatalf("it looks running %v, %v with %+v; want it running", running, err, exit)
	}
}

func command(name string, args ...string) *exec.Cmd { return exec.Command(name, args...) }

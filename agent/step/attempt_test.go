package step

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"devserver-agent/executors"
	"devserver-agent/test/support/wait"
)

func TestAnAttemptThatNobodyStartedIsAbandonedForGood(t *testing.T) {
	t.Parallel()
	tr := try(t, `echo ran > $D/runs`).prepare()
	tr.want(ErrAbandoned)
	<-tr.start() // of an agent that is dead by now
	tr.want(ErrAbandoned)
	if _, err := os.Stat(filepath.Join(tr.folder, "runs")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("it ran although it was abandoned: %v", err)
	}
}

func TestAnAttemptWithoutAFolderIsAbandoned(t *testing.T) {
	t.Parallel()
	tr := try(t, "")
	tr.want(ErrAbandoned)
	if exit, err := tr.wait(nil); !errors.Is(err, ErrAbandoned) {
		t.Errorf("Wait gave %+v, %v", exit, err)
	}
}

func TestWhatTheFilesSayIsTheState(t *testing.T) {
	t.Parallel()
	self, err := inspect(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	started := func(s Started) string {
		raw, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		return string(raw)
	}
	for _, c := range []struct {
		name  string
		files map[string]string
		want  error
	}{
		{"ended", map[string]string{exitFile: `{"code":0}`, startedFile: "{"}, nil},
		{"its end is torn", map[string]string{exitFile: `{"code":`, startedFile: started(Started{PID: 1 << 22, Boot: boot})}, ErrInterrupted},
		{"the room for its end is there", map[string]string{exitFile + ".new": "    ", startedFile: started(Started{PID: 1 << 22, Boot: boot})}, ErrInterrupted},
		{"started in another boot", map[string]string{startedFile: started(Started{PID: os.Getppid(), Ticks: self.ticks, Boot: "boot-0"})}, ErrInterrupted},
		{"started and gone", map[string]string{startedFile: started(Started{PID: 1 << 22, Boot: boot})}, ErrInterrupted},
		{"its pid is somebody else's", map[string]string{startedFile: started(Started{PID: os.Getppid(), Ticks: 1, Boot: boot})}, ErrInterrupted},
		{"its start is torn", map[string]string{startedFile: `{"pid":`}, ErrInterrupted},
		{"its start is empty", map[string]string{startedFile: ""}, ErrInterrupted},
		{"abandoned", map[string]string{abandonedFile: `"boot-1"`}, ErrAbandoned},
	} {
		t.Run(c.name, func(t *testing.T) {
			tr := try(t, "").prepare()
			for name, content := range c.files {
				if err := os.WriteFile(filepath.Join(tr.Dir, name), []byte(content), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			tr.want(c.want)
			if _, err := tr.wait(nil); !errors.Is(err, c.want) {
				t.Errorf("Wait gave %v, want %v", err, c.want)
			}
		})
	}
}

func TestAnAttemptThatRunsIsAttachedToAgain(t *testing.T) {
	t.Parallel()
	tr := try(t, `echo x > $D/up; read x < $D/gate; exit 5`)
	open := tr.gate("gate")
	tr.asked()
	agent := command(os.Args[0], "agent", tr.Dir)
	if err := agent.Start(); err != nil {
		t.Fatal(err)
	}
	tr.mark("up")
	if err := agent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = agent.Wait() // it was killed
	tr.wantRunning()
	if d, ok := tr.RunningFor(); !ok || d < 0 || d > time.Minute {
		t.Errorf("it runs for %v, %v", d, ok)
	}
	short, cancel := context.WithCancelCause(context.Background())
	cancel(executors.ErrStopping)
	if _, err := tr.Wait(short, nil); !errors.Is(err, executors.ErrStopping) {
		t.Errorf("a Wait that is called off gave %v", err)
	}
	open()
	if exit, err := tr.wait(nil); exit.Code != 5 || err != nil {
		t.Errorf("it gave %+v, %v; want code 5", exit, err)
	}
}

// asked leaves the spec where the role of the agent finds it.
func (tr *trial) asked() {
	tr.Helper()
	if err := Prepare(tr.Dir+".asked", tr.spec); err != nil {
		tr.Fatal(err)
	}
}

func TestAProgramThatLostItsShimIsWaitedForAndInterrupted(t *testing.T) {
	t.Parallel()
	tr := try(t, `echo x > $D/up; read x < $D/gate; echo done > $D/done`)
	open := tr.gate("gate")
	gone := tr.prepare().start()
	tr.mark("up")
	tr.kill(tr.shim())
	<-gone
	tr.wantRunning()
	ended := make(chan error, 1)
	go func() {
		_, err := tr.Wait(context.Background(), gone)
		ended <- err
	}()
	open()
	if err := <-ended; !errors.Is(err, ErrInterrupted) {
		t.Errorf("Wait gave %v, want ErrInterrupted", err)
	}
	if tr.mark("done") == "" {
		t.Error("the program was cut, not only its shim")
	}
	<-tr.start()
	tr.want(ErrInterrupted) // for good
}

func TestAShimThatIsKilledBeforeItCouldStartIsAbandoned(t *testing.T) {
	t.Parallel()
	tr := try(t, `echo ran > $D/runs`).prepare()
	// Anyone who looks holds the lock for a moment; here it lasts.
	lock, err := os.OpenFile(filepath.Join(tr.Dir, lockFile), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if err := flock(lock, unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	gone := tr.start()
	var shim int
	wait.For(tr, "the shim has the lock's file open", func() bool {
		for _, pid := range tr.carriers() {
			files, _ := filepath.Glob("/proc/" + strconv.Itoa(pid) + "/fd/*")
			for _, file := range files {
				if target, _ := os.Readlink(file); pid != os.Getpid() && target == lock.Name() {
					shim = pid
				}
			}
		}
		return shim != 0
	})
	tr.wantRunning()
	tr.kill(shim)
	<-gone
	// Closing is not enough: a child that another test has just forked has a copy until it
	// executes its program.
	if err := errors.Join(flock(lock, unix.LOCK_UN), lock.Close()); err != nil {
		t.Fatal(err)
	}
	tr.want(ErrAbandoned)
}

func TestHowLongAnAttemptRunsIsKnownOnlyInItsBoot(t *testing.T) {
	t.Parallel()
	tr := try(t, "exit 0")
	if _, ok := tr.RunningFor(); ok {
		t.Error("before its start it runs")
	}
	tr.run()
	if _, ok := tr.RunningFor(); !ok {
		t.Error("its start is not known")
	}
	other := Attempt{Dir: tr.Dir, Boot: "boot-2"}
	if _, ok := other.RunningFor(); ok {
		t.Error("after a restart of the host it runs")
	}
}

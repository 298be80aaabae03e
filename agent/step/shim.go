package step

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"devserver-agent/agent/failpoint"
	"devserver-agent/agent/step/launch"
	"devserver-agent/executors"
)

// Shim is the program behind "devserver-agent step DIR|INSTANCE": it runs one
// attempt, at most once, and writes down its end. It returns nil as well when
// there was nothing to do.
func Shim(argument string) error {
	dir, err := resolve(argument)
	if err == nil {
		err = standAlone()
	}
	if err != nil {
		return fmt.Errorf("step: %w", err)
	}
	return attend(dir, execute)
}

// attend has an attempt acted once and writes down its beginning and its end.
func attend(dir string, act func(dir string, spec Spec) (Exit, error)) error {
	lock, err := os.OpenFile(filepath.Join(dir, lockFile), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("step: %w", err)
	}
	defer lock.Close()
	// An agent that looks at the attempt holds the lock for a moment.
	if err := flock(lock, unix.LOCK_EX); err != nil {
		return fmt.Errorf("step: lock: %w", err)
	}
	for _, name := range []string{exitFile, startedFile, abandonedFile} {
		if exists(dir, name) {
			return nil
		}
	}
	spec, err := readSpec(dir)
	if err != nil {
		return fmt.Errorf("step: %w", err)
	}
	if len(spec.Argv) == 0 {
		return errors.New("step: its spec has no program")
	}
	self, err := inspect(os.Getpid())
	if err != nil {
		return fmt.Errorf("step: %w", err)
	}
	started := Started{PID: self.pid, Ticks: self.ticks, Boot: spec.Boot, Uptime: uptime()}
	if err := writeJSON(dir, startedFile, started, os.O_EXCL); err != nil {
		if !errors.Is(err, fs.ErrExist) {
			// Half a record would look like an action that was cut.
			err = errors.Join(err, os.Remove(filepath.Join(dir, startedFile)))
		}
		return fmt.Errorf("step: %w", err)
	}
	failpoint.Hit(failpoint.ShimStarted)
	exit, err := act(dir, spec)
	if err != nil {
		return fmt.Errorf("step: %w", err)
	}
	failpoint.Hit(failpoint.ShimEnded)
	return writeExit(dir, exit)
}

// standAlone makes the shim the leader of a session and the parent of whatever
// its program leaves behind, so that all of it can be found again. Signals that
// a stopping agent or a closed terminal sends to it are not for the program.
func standAlone() error {
	if sid, err := unix.Getsid(0); err != nil || sid != os.Getpid() {
		if _, err := unix.Setsid(); err != nil {
			return fmt.Errorf("new session: %w", err)
		}
	}
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("become subreaper: %w", err)
	}
	// Caught, not ignored: what is ignored here would be ignored by the program.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGPIPE)
	return nil
}

// execute runs the program. Its output is the file's own descriptor, so that it
// can go on writing when the shim is gone. A tree that is being ended has ended
// when all of it has, which the agent sees to: those who would stay would be out
// of its reach without their shim.
func execute(dir string, spec Spec) (Exit, error) {
	began := time.Now()
	if spec.Kill == executors.KillNever {
		defer inhibit(spec.Argv[0] + " must not be cut")()
	}
	killed := oomKills(host())
	cmd, err := start(dir, spec)
	if err != nil {
		code := 126
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, exec.ErrNotFound) {
			code = 127
		}
		return Exit{Code: code, Error: err.Error()}, nil
	}
	status, err := collect(cmd.Process.Pid)
	if err != nil {
		return Exit{}, fmt.Errorf("wait for %s: %w", spec.Argv[0], err)
	}
	exit := Exit{TookMS: time.Since(began).Milliseconds(), OutOfMemory: oomKills(host()) > killed}
	exit.Code, exit.Signal = ended(status)
	if spec.Kill != executors.KillTermOnly && exists(dir, endingFile) {
		_, err = collect(everyone)
	}
	if errors.Is(err, unix.ECHILD) {
		err = nil
	}
	return exit, err
}

// start starts the program, which reads the attempt's input, if there is any.
func start(dir string, spec Spec) (*exec.Cmd, error) {
	output, err := os.OpenFile(spec.Output, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	defer output.Close() // the program has its own
	input, err := os.Open(filepath.Join(dir, inputFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	defer input.Close() // closing none is no harm
	return launch.Start(func() *exec.Cmd {
		cmd := exec.Command(spec.Argv[0])
		cmd.Args, cmd.Env, cmd.Dir = spec.Argv, spec.Env, cmp.Or(spec.Dir, dir)
		cmd.Stdout, cmd.Stderr = output, output
		if input != nil {
			cmd.Stdin = input
		}
		// A group of its own can be killed at once, without the shim.
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		return cmd
	})
}

// everyone has collect wait until there is no child left, which is ECHILD.
const everyone = -1

// collect waits for a child and takes away whatever else has ended meanwhile: a
// subreaper is the parent of all that its program leaves behind.
func collect(pid int) (status syscall.WaitStatus, err error) {
	for {
		got, err := syscall.Wait4(-1, &status, 0, nil)
		if got == pid && err == nil || err != nil && !errors.Is(err, unix.EINTR) {
			return status, err
		}
	}
}

func ended(status syscall.WaitStatus) (code int, sig string) {
	if status.Signaled() {
		return 128 + int(status.Signal()), status.Signal().String()
	}
	return status.ExitStatus(), ""
}

// writeExit writes into the room that reserveExit took. What is left of it stays
// blank, as JSON allows.
func writeExit(dir string, exit Exit) error {
	exit.Error = exit.Error[:min(len(exit.Error), exitRoom/8)] // encoded it may be six times as long
	raw, err := json.Marshal(exit)
	if err != nil {
		return fmt.Errorf("step: %w", err)
	}
	temp := filepath.Join(dir, exitFile+".new")
	file, err := os.OpenFile(temp, os.O_WRONLY, 0)
	if err != nil {
		return fmt.Errorf("step: %w", err)
	}
	_, err = file.WriteAt(raw, 0)
	if err = errors.Join(err, file.Sync(), file.Close()); err != nil {
		return fmt.Errorf("step: %w", err)
	}
	if err := os.Rename(temp, filepath.Join(dir, exitFile)); err != nil {
		return fmt.Errorf("step: %w", err)
	}
	return syncDir(dir)
}

// flock retries when a signal came in between.
func flock(file *os.File, how int) error {
	for {
		err := unix.Flock(int(file.Fd()), how)
		if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

func uptime() int64 {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		return 0
	}
	return ts.Nano() / int64(time.Millisecond)
}

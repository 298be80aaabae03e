// Package step starts programs: actions so that they outlive the agent and
// happen once, queries so that they never block it.
//
// An attempt at an action is a folder:
//
//	tmp         the program's temporary files, if it asks for a folder for them
//	input       what the program reads, if anything, written by the agent
//	spec.json   what to run, written by the agent
//	lock        held by the shim as long as it lives
//	started     written by the shim before it executes: who, when, in which boot
//	exit.json   written by the shim after the program ended, into room (exit.json.new) it took before
//	abandoned   written by the agent: this attempt will never start
//	ending      written by the agent: the program is being ended, with all it started
//	shim.log    what the shim itself had to say
//
// The program is started by one small shim, "devserver-agent step DIR". What
// happens when somebody dies after each write:
//
//	tmp, input, agent dies    -> nothing was prepared: the attempt is abandoned
//	spec.json, agent dies     -> nobody runs it: the next agent finds the lock free and nothing started, and abandons the attempt
//	lock taken, shim dies     -> the same
//	started, shim dies        -> the program never ran or runs on alone: interrupted once nothing of it lives
//	program runs, agent dies  -> the lock is held: the next agent attaches again
//	program ended, shim dies  -> no exit.json: interrupted
//	exit.json renamed         -> the end is known for good
//
// A shim that finds started, exit.json or abandoned stops at once, so an attempt
// never runs twice, whoever starts its shim.
package step

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"devserver-agent/executors"
)

// Spec is what an attempt runs.
type Spec struct {
	Argv   []string       `json:"argv"`
	Env    []string       `json:"env"`
	Dir    string         `json:"dir"`    // working folder; "" is the attempt's own
	Temp   bool           `json:"-"`      // has Prepare make a folder for temporary files, TMPDIR in Env
	Input  []byte         `json:"-"`      // what it reads on standard input, in a file of its own
	Output string         `json:"output"` // file that standard output and error are appended to
	Boot   string         `json:"boot"`   // id of the boot it was prepared in
	Kill   executors.Kill `json:"kill"`
	Limits Limits         `json:"limits,omitzero"`
}

// Limits is what a program may take of the host. 0 is no limit. They hold where
// the surroundings can see to it.
type Limits struct {
	Memory uint64 `json:"memory,omitempty"` // bytes
	Tasks  uint64 `json:"tasks,omitempty"`  // processes and threads
}

// Started is what the shim says before it executes the program. Its process is
// the leader of the session in which all of the attempt runs.
type Started struct {
	PID    int    `json:"pid"`
	Ticks  uint64 `json:"ticks"`  // its start time, field 22 of proc_pid_stat(5)
	Boot   string `json:"boot"`   // as in Spec
	Uptime int64  `json:"uptime"` // ms of CLOCK_BOOTTIME
}

// Exit is how the program ended.
type Exit struct {
	Code   int    `json:"code"` // 128 plus the signal's number when killed by one
	Signal string `json:"signal,omitempty"`
	Error  string `json:"error,omitempty"` // why it could not be executed; Code is 126 or 127
	TookMS int64  `json:"took_ms"`
	// OutOfMemory says that the kernel killed something of it for want of memory.
	OutOfMemory bool `json:"out_of_memory,omitempty"`
}

// Errors of an attempt.
var (
	// ErrInterrupted says that it started, that nothing of it lives and that
	// nobody saw its end.
	ErrInterrupted = errors.New("started and was cut in the middle")
	// ErrAbandoned says that it did not start and never will.
	ErrAbandoned = errors.New("never started")
)

const (
	specFile      = "spec.json"
	inputFile     = "input"
	tempDir       = "tmp"
	lockFile      = "lock"
	startedFile   = "started"
	exitFile      = "exit.json"
	abandonedFile = "abandoned"
	endingFile    = "ending"
	shimLogFile   = "shim.log"
)

// Prepare writes an attempt's folder, with the room on the disk that the record of
// its end will take. Nothing is started yet. dir is in a folder of its item, which is made
// too; fs.ErrNotExist if that of all items is gone.
func Prepare(dir string, spec Spec) error {
	err := makeDir(dir)
	if err == nil {
		err = reserveExit(dir)
	}
	if err == nil && spec.Temp {
		temp := filepath.Join(dir, tempDir)
		spec.Env = append(slices.Clone(spec.Env), "TMPDIR="+temp)
		if err = os.Mkdir(temp, 0o700); errors.Is(err, fs.ErrExist) {
			err = nil // left by a first try on a full disk
		}
	}
	if err == nil && len(spec.Input) > 0 {
		err = os.WriteFile(filepath.Join(dir, inputFile), spec.Input, 0o600)
	}
	if err == nil {
		err = writeJSON(dir, specFile, spec, os.O_TRUNC)
	}
	if err != nil {
		return fmt.Errorf("prepare step: %w", err)
	}
	return nil
}

// DiscardTemp deletes the temporary files of an attempt, if there are any. No process of
// the attempt may be alive.
func DiscardTemp(dir string) error { return os.RemoveAll(filepath.Join(dir, tempDir)) }

// exitRoom is what the record of an end takes on the disk, in bytes.
const exitRoom = 2048

// reserveExit takes the room for the record of the end before there is anything
// to record: on a disk that is full by then the end of an action must not be
// lost, which would make it an interrupted one.
func reserveExit(dir string) error {
	file, err := os.OpenFile(filepath.Join(dir, exitFile+".new"), os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(bytes.Repeat([]byte{' '}, exitRoom))
	return errors.Join(err, file.Sync(), file.Close())
}

func readSpec(dir string) (spec Spec, err error) {
	return spec, readJSON(dir, specFile, &spec)
}

// ReadSpec is what a prepared attempt runs.
func ReadSpec(dir string) (Spec, error) { return readSpec(dir) }

// ReadStarted is what the shim said at its start; fs.ErrNotExist if it did not.
func ReadStarted(dir string) (s Started, err error) {
	return s, readJSON(dir, startedFile, &s)
}

func readExit(dir string) (e Exit, err error) {
	return e, readJSON(dir, exitFile, &e)
}

func exists(dir, name string) bool {
	_, err := os.Lstat(filepath.Join(dir, name))
	return !errors.Is(err, fs.ErrNotExist)
}

var errSpoilt = errors.New("cannot be read")

func readJSON(dir, name string, into any) error {
	raw, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		return err
	}
	if err := json.Unmarshal(raw, into); err != nil {
		return fmt.Errorf("%s %w: %w", filepath.Join(dir, name), errSpoilt, err)
	}
	return nil
}

// writeJSON writes a file for good: synced, and its folder too. flag is O_TRUNC
// or O_EXCL.
func writeJSON(dir, name string, value any, flag int) error {
	raw, err := json.Marshal(value)
	if err != nil {
		return err
	}
	file, err := os.OpenFile(filepath.Join(dir, name), os.O_CREATE|os.O_WRONLY|flag, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(raw)
	if err = errors.Join(err, file.Sync(), file.Close()); err != nil {
		return err
	}
	return syncDir(dir)
}

// makeDir makes an attempt's folder, in that of its item, for good: fsync(2) of what is in a
// folder says nothing of the folder's own name. What is there already is synced too: who
// made it may have died before that. The folder of all items must be there: a task that was
// deleted must not come back as a folder in which nothing says what it is.
func makeDir(path string) error {
	item := filepath.Dir(path)
	for _, dir := range []string{item, path} {
		if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	return errors.Join(syncDir(item), syncDir(filepath.Dir(item)))
}

func syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

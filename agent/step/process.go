package step

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// Functions plays programs inside of the agent's process, for hosts that are
// simulated by the hundred: what it runs is not there any more after the agent.
// Everything else is as with a shim.
type Functions struct {
	// Run plays the program of a spec and writes to output what it prints.
	Run func(spec Spec, output io.Writer) Exit
}

// Start implements Surroundings.
func (f Functions) Start(dir string, _ Spec) (<-chan struct{}, error) {
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		err := attend(dir, f.act)
		if err != nil { // where a shim's last words are looked for
			_ = os.WriteFile(filepath.Join(dir, shimLogFile), []byte(err.Error()), 0o600)
		}
	}()
	return gone, nil
}

func (f Functions) act(_ string, spec Spec) (Exit, error) {
	began := time.Now()
	output, err := os.OpenFile(spec.Output, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return Exit{}, err
	}
	exit := f.Run(spec, output)
	exit.TookMS = time.Since(began).Milliseconds()
	return exit, output.Close()
}

// Ready implements Surroundings.
func (f Functions) Ready(context.Context) error { return nil }

func (f Functions) String() string { return "functions that end with the agent" }

// Process starts shims as sessions of their own. It is for hosts whose PID 1 is
// not systemd: there a service's stop takes everything in its cgroup along.
type Process struct {
	// Shim is the argv that runs Shim; the attempt's folder is added to it.
	Shim []string
}

// Start implements Surroundings.
func (p Process) Start(dir string, _ Spec) (<-chan struct{}, error) {
	log, err := os.OpenFile(filepath.Join(dir, shimLogFile), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("start step: %w", err)
	}
	cmd := exec.Command(p.Shim[0], append(p.Shim[1:len(p.Shim):len(p.Shim)], dir)...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := errors.Join(cmd.Start(), log.Close()); err != nil {
		return nil, fmt.Errorf("start step: %w", err)
	}
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		_ = cmd.Wait() // how the program ended is in its folder
	}()
	return gone, nil
}

// Ready implements Surroundings.
func (p Process) Ready(context.Context) error { return nil }

func (p Process) String() string {
	return "sessions of their own, as PID 1 is not systemd: steps.memory_max and steps.tasks_max do not hold, and nothing keeps a shutdown waiting for a flash"
}

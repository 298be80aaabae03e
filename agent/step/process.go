package step

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"

	"devserver-agent/executors"
)

// Process starts shims as sessions of their own. It is for hosts whose PID 1 is
// not systemd: there a service's stop takes everything in its cgroup along.
type Process struct {
	// Shim is the argv that runs Shim; the attempt's folder is added to it.
	Shim []string
}

// Start implements Surroundings.
func (p Process) Start(dir string, _ executors.Kill) (<-chan struct{}, error) {
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

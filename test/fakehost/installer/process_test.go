package installer_test

import (
	"syscall"
)

func ownGroup() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

// killGroup ends an archive's shell and the installer it started.
func killGroup(pid int) { _ = syscall.Kill(-pid, syscall.SIGKILL) }

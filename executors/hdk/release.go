package hdk

import (
	"fmt"

	"golang.org/x/sys/unix"

	"devserver-agent/executors/ascend"
)

// release is a driver and a firmware that belong together.
type release struct {
	Driver   ascend.Version `json:"driver,omitempty"`
	Firmware ascend.Version `json:"firmware,omitempty"`
}

func (r release) String() string {
	return fmt.Sprintf("driver %s, firmware %s", r.Driver, r.Firmware)
}

// machine is this machine's architecture, as uname -m says it.
func machine() string {
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		return ""
	}
	return unix.ByteSliceToString(name.Machine[:])
}

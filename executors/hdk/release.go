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

// pair is a driver and a firmware that run together on a card, or are installed
// together; "" for one that is not known.
type pair struct{ driver, firmware ascend.Version }

// String names both versions; npu-smi prints NA for one that it does not give.
func (p pair) String() string {
	driver, firmware := string(p.driver), string(p.firmware)
	if driver == "" {
		driver = "NA"
	}
	if firmware == "" {
		firmware = "NA (npu-smi tells it to root only)"
	}
	return "driver " + driver + ", firmware " + firmware
}

// machine is this machine's architecture, as uname -m says it.
func machine() string {
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		return ""
	}
	return unix.ByteSliceToString(name.Machine[:])
}

package hdk

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"devserver-agent/executors"
	"devserver-agent/executors/ascend"
	"devserver-agent/protocol"
)

// message is what is installed and, where that is not what runs everywhere,
// what differs: "running" for the cards that are not named after it.
func (v view) message() string {
	said := []string{"Driver: " + v.driver.String(), "Firmware: " + v.firmware.String()}
	if v.err != nil {
		said = append(said, v.withoutList())
	}
	common, ok := v.common()
	if ok && common != v.installed() {
		said = append(said, "running: "+common.String())
	}
	return protocol.Clip(strings.Join(append(said, v.exceptions(common)...), " | "))
}

func (v view) withoutList() string {
	if errors.Is(v.err, ascend.ErrDriverDown) {
		return ascend.Why(v.err)
	}
	return "running: unknown, " + ascend.Why(v.err)
}

// exceptions names the cards that do not run common, those with the same words
// together, in the order of the driver's list.
func (v view) exceptions(common pair) []string {
	var apart ascend.Together
	for _, c := range v.cards {
		words := ""
		switch {
		case c.err != nil:
			words = ascend.Why(c.err)
		case c.runs() != common:
			words = c.runs().String()
		default:
			continue
		}
		apart.Add(c.id, words)
	}
	return apart.List()
}

// despair is the message when no version could be read at all: what was tried,
// how the host is, what to do.
func (v view) despair() string {
	err := v.err
	for _, c := range v.cards {
		if err == nil {
			err = c.err
		}
	}
	cause := "npu-smi tells no version"
	if err != nil {
		cause = ascend.Why(err)
	}
	return fmt.Sprintf("No HDK version can be read: %s; driver %s, firmware %s. Nothing was changed. %s",
		cause, v.driver, v.firmware, remedy(err))
}

func remedy(err error) string {
	switch {
	case errors.Is(err, executors.ErrNotFound):
		return "Install the HDK; if it is installed, check host.root and tools.npu_smi in the agent's configuration."
	case errors.Is(err, ascend.ErrDriverDown):
		return "Install the HDK again; /var/log/ascend_seclog/ascend_install.log tells why the last installation failed."
	case isTimeout(err):
		return "Run npu-smi info -l on the host; if it hangs there too, restart the host."
	default:
		return "Run npu-smi info -l on the host; the task's output has what it said."
	}
}

// String is the version, or why there is none.
func (p part) String() string {
	switch {
	case p.err == nil:
		return string(p.version)
	case errors.Is(p.err, fs.ErrNotExist):
		return "missing (no version.info)"
	case errors.Unwrap(p.err) != nil:
		return fmt.Sprintf("unreadable (version.info: %v)", errors.Unwrap(p.err))
	default:
		return fmt.Sprintf("unreadable (%v)", p.err)
	}
}

// String names both versions; npu-smi prints NA for one that it does not tell.
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

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
		return why(v.err)
	}
	return "running: unknown, " + why(v.err)
}

// exceptions names the cards that do not run common, those with the same words
// together, in the order of the driver's list.
func (v view) exceptions(common pair) []string {
	var apart together
	for _, c := range v.cards {
		words := ""
		switch {
		case c.err != nil:
			words = why(c.err)
		case c.runs() != common:
			words = c.runs().String()
		default:
			continue
		}
		apart.add(c.id, words)
	}
	return apart.list()
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
		cause = why(err)
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

// why says in a few words why npu-smi gave no answer.
func why(err error) string {
	var tool *ascend.ToolError
	if !errors.As(err, &tool) {
		return err.Error()
	}
	switch means := func(err error) bool { return errors.Is(tool.Err, err) }; {
	case means(executors.ErrNotFound):
		return "npu-smi not found"
	case means(executors.ErrTimeout):
		return "npu-smi did not answer in time"
	case means(executors.ErrFlood):
		return fmt.Sprintf("npu-smi printed more than %d MiB", executors.QueryLimit>>20)
	case means(ascend.ErrDriverDown):
		return "driver not running: " + dcmi(tool)
	case means(ascend.ErrInUse):
		return "device in use: " + dcmi(tool)
	case means(ascend.ErrNoCards):
		return "npu-smi finds no NPU card"
	case means(ascend.ErrNoCard):
		return fmt.Sprintf("lost (npu-smi: %s)", words(tool))
	case means(ascend.ErrUnsupported):
		return fmt.Sprintf("not told by npu-smi (%s)", words(tool))
	case means(ascend.ErrGarbled):
		return fmt.Sprintf("npu-smi's answer %v", tool.Why)
	case means(ascend.ErrFailed):
		return fmt.Sprintf("npu-smi failed (%s)", words(tool))
	}
	return fmt.Sprintf("npu-smi: %v", tool.Err)
}

func dcmi(tool *ascend.ToolError) string {
	if tool.DCMI == 0 {
		return words(tool)
	}
	return fmt.Sprintf("dcmi %d", tool.DCMI)
}

// words are the tool's own, or its exit status when it had none.
func words(tool *ascend.ToolError) string {
	if tool.Said == "" {
		return fmt.Sprintf("exit status %d", tool.Status)
	}
	return strings.TrimSuffix(tool.Said, ".")
}

// cardName is "card 3" or "cards 0, 2, 4-7".
func cardName(ids ...int) string {
	if len(ids) == 1 {
		return fmt.Sprintf("card %d", ids[0])
	}
	var name strings.Builder
	name.WriteString("cards ")
	for i := 0; i < len(ids); {
		end := i
		for end+1 < len(ids) && ids[end+1] == ids[end]+1 {
			end++
		}
		if i > 0 {
			name.WriteString(", ")
		}
		fmt.Fprintf(&name, "%d", ids[i])
		if end > i {
			fmt.Fprintf(&name, "-%d", ids[end])
		}
		i = end + 1
	}
	return name.String()
}

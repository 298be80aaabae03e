package tool

import (
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"devserver-agent/test/fakehost"
)

// quick are the tools that only read the state and print: to play one takes a hundredth of
// what it costs to start a process for it.
var quick = []string{"npu-smi", "hccn_tool", "upgrade-tool", "docker", "dmesg", "timedatectl", "journalctl"}

// unruly are the faults in which a tool does not behave as a program should: it does not
// end, prints without end, takes its time or never begins. What a caller makes of that is
// seen with a process only.
var unruly = []fakehost.Fault{fakehost.SmiHang, fakehost.SmiFlood, fakehost.ToolsSlow, fakehost.LibraryMissing}

// InProcess plays the tools of a host for a hosttest.Host (its Play), in the process that
// asks. It leaves to a process what is not the host's own script of a quick tool, such as
// one that a test wrote in its place, a tool that changes something, and a host with an
// unruly fault.
func InProcess(h *fakehost.Host) func(path string, args []string, out io.Writer) (status int, played bool) {
	return func(path string, args []string, out io.Writer) (int, bool) {
		name, own := scriptOf(h, path)
		if !own || !slices.Contains(quick, name) || slices.Contains(args, "upgrade") {
			return 0, false
		}
		s, err := h.State()
		if err != nil || slices.ContainsFunc(unruly, func(f fakehost.Fault) bool { _, on := s.Fault(f); return on }) {
			return 0, false
		}
		return Run(h, name, args, out), true
	}
}

// scriptOf is the tool that a script of the host starts; own is false for any other file.
func scriptOf(h *fakehost.Host, path string) (name string, own bool) {
	text, err := os.ReadFile(path)
	if err != nil {
		return "", false
	}
	interpreter, words, _ := strings.Cut(string(text), "\n")
	if interpreter != "#!"+filepath.Join(h.Dir(), "state", "fakehost")+" script" {
		return "", false
	}
	word := strings.Fields(words)
	if len(word) != 5 || word[0] != "tool" || word[2] != "--host" || word[3] != h.Dir() || word[4] != "--" {
		return "", false
	}
	return word[1], true
}

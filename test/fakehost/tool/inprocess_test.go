package tool_test

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"

	"devserver-agent/test/fakehost"
	"devserver-agent/test/fakehost/tool"
)

// What a tool prints and how it ends is the same in the process that asks as in one of its
// own, and the journal has the start and the end of both.
func TestAToolInProcessAnswersAsAProcess(t *testing.T) {
	for name, c := range map[string]struct {
		faults faults
		path   string
		line   string
	}{
		"a list":                   {nil, "/usr/local/sbin/npu-smi", "info -l"},
		"a refusal":                {nil, "/usr/local/bin/npu-smi", "info -t hccs"},
		"a driver that is down":    {faults{fakehost.DriverDown: nil}, "/usr/local/sbin/npu-smi", "info"},
		"bytes that mean nothing":  {faults{fakehost.SmiGarbage: nil}, "/usr/local/sbin/npu-smi", "info"},
		"a port":                   {nil, "/usr/local/bin/hccn_tool", "-i 3 -optical -g"},
		"a port that is busy":      {faults{fakehost.HCCNBusy: nil}, "/usr/local/bin/hccn_tool", "-i 3 -link -g"},
		"containers":               {faults{fakehost.BusyContainer: nil}, "/usr/bin/docker", "ps -q"},
		"the kernel's log":         {faults{fakehost.KernelErrors: nil}, "/usr/bin/dmesg", ""},
		"a clock":                  {nil, "/usr/bin/timedatectl", "status"},
		"components of a firmware": {nil, "/usr/local/Ascend/driver/tools/upgrade-tool", "--device_index -1 --status"},
	} {
		t.Run(name, func(t *testing.T) {
			h := fakehost.ForTest(t, fakehost.A2, fakehost.Options{})
			set(t, h, c.faults)
			words := strings.Fields(c.line)
			var out bytes.Buffer
			status, played := tool.InProcess(h)(h.Path(c.path), words, &out)
			if !played {
				t.Fatal("it is left to a process")
			}
			cmd := exec.Command(h.Path(c.path), words...)
			text, err := cmd.CombinedOutput()
			if ended := (*exec.ExitError)(nil); err != nil && !errors.As(err, &ended) {
				t.Fatal(err)
			}
			if status != cmd.ProcessState.ExitCode() || out.String() != string(text) {
				t.Errorf("in process: %d %q\nas a process: %d %q", status, out.String(), cmd.ProcessState.ExitCode(), text)
			}
			events, err := h.Events()
			if err != nil || len(events.Of(fakehost.KindStart, "")) != 2 || len(events.Of(fakehost.KindEnd, "")) != 2 {
				t.Errorf("the journal has %+v, %v", events, err)
			}
		})
	}
}

// What a caller does about a program that does not behave, is not the host's or changes
// something is left to a process.
func TestWhatNeedsAProcessIsLeftToOne(t *testing.T) {
	const smi = "/usr/local/sbin/npu-smi"
	for name, c := range map[string]struct {
		faults  faults
		path    string
		line    string
		replace string
	}{
		"a tool that hangs":          {faults: faults{fakehost.SmiHang: nil}, path: smi, line: "info"},
		"one that prints on and on":  {faults: faults{fakehost.SmiFlood: nil}, path: smi, line: "info"},
		"a slow one":                 {faults: faults{fakehost.ToolsSlow: nil}, path: smi, line: "info"},
		"one that cannot be loaded":  {faults: faults{fakehost.LibraryMissing: nil}, path: smi, line: "info"},
		"an image that is written":   {path: smi, line: "upgrade -t mcu -i 0 -f image"},
		"reports that are exported":  {path: "/usr/local/Ascend/driver/tools/msnpureport"},
		"a package that is unpacked": {path: "/usr/bin/rpm", line: "--upgrade x"},
		"a restart":                  {path: "/sbin/reboot"},
		"no program at all":          {path: "/usr/local/sbin/nothing"},
		"a script in a tool's place": {path: smi, line: "info", replace: "#!/bin/sh\nexit 3\n"},
	} {
		t.Run(name, func(t *testing.T) {
			h := fakehost.ForTest(t, fakehost.A2, fakehost.Options{})
			set(t, h, c.faults)
			if c.replace != "" {
				if err := os.WriteFile(h.Path(c.path), []byte(c.replace), 0o755); err != nil {
					t.Fatal(err)
				}
			}
			var out bytes.Buffer
			if _, played := tool.InProcess(h)(h.Path(c.path), strings.Fields(c.line), &out); played || out.Len() > 0 {
				t.Errorf("it is played: %q", out.String())
			}
		})
	}
}

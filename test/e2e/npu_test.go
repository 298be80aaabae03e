package e2e

import (
	"strings"
	"testing"
	"time"

	"devserver-agent/protocol"
	"devserver-agent/test/fakehost"
	"devserver-agent/test/support/programs"
	"devserver-agent/test/support/wait"
)

// npuFaults are the troubles of an HDK and what a query says of them
// (design/hdk.md). IN-ORDER stands for the line of a host in good order.
var npuFaults = []struct {
	server string
	fault  fakehost.Fault
	args   []string
	want   string
	code   protocol.Code
}{
	{"hangs", fakehost.SmiHang, nil, "IN-ORDER | running: unknown, npu-smi did not answer in time", protocol.ToolTimeout},
	{"garbage", fakehost.SmiGarbage, nil, "IN-ORDER | running: unknown, npu-smi's answer is not a list of cards" + ` (it is "...| NPU Total Count :: ..+===+ / Software Version : .( / %s%n|||")`, ""},
	{"flood", fakehost.SmiFlood, nil, "IN-ORDER | running: unknown, npu-smi printed more than 1 MiB", ""},
	{"down", fakehost.DriverDown, nil, "IN-ORDER | driver not running: dcmi -8005", ""},
	{"disagree", fakehost.CardsDisagree, []string{"card=3", "driver=24.1.0", "firmware=7.5.0.2.220"}, "IN-ORDER | card 3: driver 24.1.0, firmware 7.5.0.2.220", ""},
	{"lost", fakehost.CardLost, []string{"card=5"}, "IN-ORDER", ""},
	{"no-info", fakehost.VersionInfoMissing, nil, "Driver: missing (no version.info) | Firmware: missing (no version.info) | running: driver 24.1.0.3, firmware 7.5.0.5.220", ""},
}

func TestSystemNPUFaultsAreTold(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	want := map[string]string{}
	codes := map[string]protocol.Code{}
	servers := []string{"sound"}
	release := fakehost.Options{Release: fakehost.Release{Driver: "24.1.0.3", Firmware: "7.5.0.5.220"}}
	f.add("sound", fakehost.A2, release).start()
	for _, c := range npuFaults {
		h := f.add(c.server, fakehost.A2, release)
		h.breaks(c.fault, c.args...)
		h.binary = programs.Agent.Path(t) // its memory counts
		if c.fault == fakehost.SmiHang {
			h.binary = programs.TestAgent.Path(t)
			h.waitsForTools(2 * time.Second)
		}
		h.start()
		servers, codes[c.server] = append(servers, c.server), c.code
		want[c.server] = strings.Replace(c.want, "IN-ORDER", "Driver: 24.1.0.3 | Firmware: 7.5.0.5.220", 1)
	}
	began := time.Now()
	id := f.query(servers...)
	wait.Until(t, "the sound host has answered", func() error { return f.answered(id, "sound") })
	j := f.finished(id, want)
	if took := time.Since(began); took > 100*time.Second {
		t.Errorf("the job took %s", took)
	}
	if j.Abnormal != 0 {
		t.Errorf("%d tasks failed", j.Abnormal)
	}
	for _, task := range j.Tasks {
		if task.Status != protocol.Success || task.Code != codes[task.ServerID] {
			t.Errorf("%s ended %s %s", task.ServerID, task.Status, task.Code)
		}
	}
	for _, h := range f.hosts {
		if got := h.resident(); h.server != "sound" && got > 60<<20 {
			t.Errorf("the agent of %s has had %d MiB", h.server, got>>20)
		}
	}
	f.said(checkStatuses)
}

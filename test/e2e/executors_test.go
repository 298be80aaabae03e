package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"devserver-agent/agent/failpoint"
	"devserver-agent/protocol"
	"devserver-agent/test/fakehost"
	"devserver-agent/test/support/programs"
	"devserver-agent/test/support/wait"
)

// order creates a job of one item for servers and returns its id.
func (f *fleet) order(item string, servers ...string) string {
	f.t.Helper()
	var j job
	f.must(json.Unmarshal(f.mustCtl("job", "create", "--json", "--name", "e2e-order", "--item", item, "--server", strings.Join(servers, ",")), &j))
	return j.ID
}

// runs counts how often a tool was started on the host.
func (h *npuHost) runs(tool string) int {
	h.t.Helper()
	events, err := h.fake.Events()
	h.must(err)
	n := 0
	for _, e := range events {
		if e.Kind == fakehost.KindStart && e.Name == tool {
			n++
		}
	}
	return n
}

// greeting is a plug-in that runs dmesg, which the fake host counts.
const greeting = `#!/bin/sh
case $1 in
describe) echo '{"types":[{"type":"SITE_GREET","timeout_seconds":60}]}' ;;
execute) dmesg >/dev/null; echo '{"message":"Greeted."}' >"$DEVSERVER_RESULT" ;;
esac
`

// TestSystemExecutorsWithAgentsKilled kills the agent at each point of an item's way
// and starts it again: the verdict is the same, and the tool ran once.
func TestSystemExecutorsWithAgentsKilled(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	plugins := filepath.Join(f.dir, "plugins")
	f.must(os.Mkdir(plugins, 0o755))
	f.must(os.WriteFile(filepath.Join(plugins, "greet"), []byte(greeting), 0o755))
	for _, c := range []struct{ item, tool, says string }{
		{"DIAGNOSIS,level=stress,checks=driver\\,clock", "ascend-dmi", "PASS 3"},
		{"DEVICE_LOG_COLLECT", "msnpureport", "in object store devserver-logs as "},
		{"SITE_GREET", "dmesg", "Greeted."}, // which the plug-in runs
	} {
		for _, point := range []string{failpoint.MemoRead, failpoint.StepPrepared, failpoint.StepStarted, failpoint.StepEnded, failpoint.Verdict} {
			name, _, _ := strings.Cut(c.item, ",")
			server := strings.ToLower(strings.ReplaceAll(name, "_", "-")) + "-" + point
			t.Run(server, func(t *testing.T) {
				if name == "SITE_GREET" && point == failpoint.MemoRead {
					return // it has none
				}
				h := f.add(server, fakehost.A2, fakehost.Options{}, "executors: {plugin_dir: "+plugins+"}")
				h.start(point)
				wait.Until(t, "the host is known", func() error {
					out, err := f.ctl("server", "list", "--json")
					if err == nil && !bytes.Contains(out, []byte(server)) {
						err = errors.New("it is not listed")
					}
					return err
				})
				id := f.order(c.item, server)
				h.dies()
				h.start()
				j := f.ended(id)
				if task := j.Tasks[0]; task.Status != protocol.Success || !strings.Contains(task.Message, c.says) || len(task.Late) > 0 {
					t.Errorf("it ended %s %s %q", task.Status, task.Code, task.Message)
				}
				if n := h.runs(c.tool); n != 1 {
					t.Errorf("%s was started %d times", c.tool, n)
				}
				h.stop()
			})
		}
	}
	f.said(checkStatuses)
}

// What was collected is got with devserverctl.
func TestSystemCollectedLogsAreGot(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	h := f.add("host-1", fakehost.A2, fakehost.Options{})
	h.start()
	j := f.ended(f.order("DEVICE_LOG_COLLECT", h.server))
	var listed []struct {
		Name string `json:"name"`
		Size int64  `json:"size"`
	}
	f.must(json.Unmarshal(f.mustCtl("bundle", "list", "--json", "--nats", "nats://"+f.nats), &listed))
	if len(listed) != 1 || !strings.Contains(j.Tasks[0].Message, listed[0].Name) {
		t.Fatalf("listed are %+v, the message is %q", listed, j.Tasks[0].Message)
	}
	file := filepath.Join(f.dir, "bundle.tar.zst")
	f.mustCtl("bundle", "get", listed[0].Name, file, "--nats", "nats://"+f.nats)
	packed, err := os.ReadFile(file)
	f.must(err)
	in, err := zstd.NewReader(bytes.NewReader(packed))
	f.must(err)
	defer in.Close()
	var plain bytes.Buffer
	if _, err := plain.ReadFrom(in); err != nil || !bytes.Contains(plain.Bytes(), []byte("msnpureport/2026-03-02-09-20-00/slog/dev-os-7/device-os.log")) {
		t.Errorf("the bundle has %d bytes, %v", plain.Len(), err)
	}
	if !slices.ContainsFunc(j.Tasks, func(task task) bool { return task.Status == protocol.Success }) {
		t.Errorf("the job is %+v", j)
	}
}

// A job of a template of the control plane's own is answered as it was asked, and
// agents are given the container that it stands for.
func TestSystemATemplateOfTheSites(t *testing.T) {
	t.Parallel()
	f := fleetOf(t)
	dir := filepath.Join(f.dir, "templates")
	f.must(os.Mkdir(dir, 0o700))
	f.must(os.WriteFile(filepath.Join(dir, "probe.yaml"), []byte("type: SITE_PROBE\nswr_path: localhost/probe:1\ncmd: probe ${depth}\ntimeout: 60\nparams: [{name: depth, regex: '[0-9]+'}]\n"), 0o600))
	f.plane = f.daemon("controlplane", programs.ControlPlane, "--listen", f.api, "--nats-listen", f.nats,
		"--data-dir", f.data(), "--watch-every", "1s", "--log-format", "console", "--templates-dir", dir)
	f.startPlane()
	h := f.add("host-1", fakehost.A2, fakehost.Options{}, "containers: {socket: /nonexistent/engine.sock}")
	h.start()
	if out, err := f.ctl("job", "create", "--name", "probe", "--item", "SITE_PROBE,depth=deep", "--server", h.server); err == nil || !strings.Contains(err.Error(), "spec.depth is") {
		t.Errorf("a parameter that does not fit: %s, %v", out, err)
	}
	j := f.ended(f.order("SITE_PROBE,depth=3", h.server))
	if task := j.Tasks[0]; j.Type != "SITE_PROBE" || task.Code != protocol.ContainerFailed || !strings.Contains(task.Message, "The container engine did not run localhost/probe:1.") {
		t.Errorf("the job is %+v", j)
	}
	if log := f.mustCtl("task", "logs", j.Tasks[0].ID); !bytes.Contains(log, []byte("no container engine is on this host")) {
		t.Errorf("its output is %s", log)
	}
}

// A job that upgrades a part of a super node is made, with a word of warning.
func TestSystemHalfASuperNode(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	for _, server := range []string{"pod-1", "pod-2", "pod-3", "alone"} {
		node := ""
		if server != "alone" {
			node = "super_node: pod"
		}
		f.add(server, fakehost.A3, fakehost.Options{}, node).start()
	}
	wait.Until(t, "all hosts are known", func() error {
		out, err := f.ctl("server", "list", "--json")
		if n := strings.Count(string(out), `"super_node"`); err == nil && n < 3 {
			err = fmt.Errorf("%d super nodes are told of", n)
		}
		return err
	})
	for servers, want := range map[string]string{
		"pod-2":             "super node pod: the job upgrades 1 of its 3 servers; all have to run one version, so upgrade these too: pod-1, pod-3",
		"pod-1,pod-2,pod-3": "", "alone": "",
	} {
		var j struct {
			Warnings []string `json:"warnings"`
		}
		f.must(json.Unmarshal(f.mustCtl("job", "create", "--json", "--name", "half", "--item", "HDK_UPGRADE,version=24.1.rc3.9,dry_run=true", "--server", servers), &j))
		if got := strings.Join(j.Warnings, "|"); got != want {
			t.Errorf("%s: warnings are %q, want %q", servers, got, want)
		}
	}
}

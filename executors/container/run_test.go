package container

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"devserver-agent/executors"
	"devserver-agent/test/hosttest"
)

// npus is a host with three NPUs and a driver.
var npus = fstest.MapFS{
	"dev/davinci0": {}, "dev/davinci1": {}, "dev/davinci10": {}, "dev/davinci_manager": {}, "dev/hisi_hdc": {}, "dev/sda": {},
	"usr/local/dcmi/libdcmi.so": {}, "usr/local/bin/npu-smi": {}, "etc/ascend_install.info": {},
}

func TestNPUsAreMapped(t *testing.T) {
	for wanted, c := range map[string]struct {
		npus    []int
		devices []string
		says    string
	}{
		"":     {},
		"none": {},
		"all":  {[]int{0, 1, 10}, []string{"/dev/davinci0", "/dev/davinci1", "/dev/davinci10", "/dev/davinci_manager", "/dev/hisi_hdc"}, ""},
		"10,0": {[]int{10, 0}, []string{"/dev/davinci10", "/dev/davinci0", "/dev/davinci_manager", "/dev/hisi_hdc"}, ""},
		"2":    {says: "npus: 2: the host has no such NPU (/dev has [0 1 10])"},
	} {
		var run Run
		err := run.mapNPUs(npus, wanted)
		if (c.says == "") != (err == nil) || err != nil && err.Error() != c.says {
			t.Errorf("%s: %v, want %q", wanted, err, c.says)
		}
		if err != nil {
			continue
		}
		if diff := cmp.Diff(Run{NPUs: c.npus, Devices: c.devices, Driver: run.Driver}, run); diff != "" {
			t.Errorf("%s (-want +got):\n%s", wanted, diff)
		}
	}
}

// With Ascend-docker-runtime that maps the NPUs, without it they are mapped here.
func TestWhatTheEngineIsAsked(t *testing.T) {
	run := Run{Name: "n", Image: "i", Network: "host", Volumes: []string{"/data:/data:ro"}, NPUs: []int{0, 1}, Devices: []string{"/dev/davinci0"}, Driver: []string{"/usr/local/dcmi"}}
	with := run.config(true)["HostConfig"].(map[string]any)
	if with["Runtime"] != "ascend" || with["Devices"] != nil {
		t.Errorf("with the runtime: %v", with)
	}
	without := run.config(false)
	host := without["HostConfig"].(map[string]any)
	if diff := cmp.Diff([]string{"/data:/data:ro", "/usr/local/dcmi:/usr/local/dcmi:ro"}, host["Binds"]); diff != "" {
		t.Errorf("binds (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]map[string]string{{"PathOnHost": "/dev/davinci0", "PathInContainer": "/dev/davinci0", "CgroupPermissions": "rwm"}}, host["Devices"]); diff != "" {
		t.Errorf("devices (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"ASCEND_VISIBLE_DEVICES=0,1"}, without["Env"]); diff != "" {
		t.Errorf("environment (-want +got):\n%s", diff)
	}
	if _, privileged := host["Privileged"]; privileged {
		t.Error("it asks for privileges")
	}
}

func TestParameters(t *testing.T) {
	for name, c := range map[string]struct {
		spec executors.Spec
		want Run
		says string
	}{
		"words": {executors.Spec{"image": "i", "command": "run  --fast 'a b'"}, Run{Image: "i", Command: []string{"run", "--fast", "'a", "b'"}, Network: "bridge", Ready: 10}, ""},
		"list":  {executors.Spec{"image": "i", "command": `["run","a b"]`, "network": "host"}, Run{Image: "i", Command: []string{"run", "a b"}, Network: "host", Ready: 10}, ""},
		"all": {executors.Spec{"image": "i", "env": "A=1,B=2", "volumes": "/data:/d,/models:/m:ro", "ready_seconds": "3"},
			Run{Image: "i", Command: []string{}, Env: []string{"A=1", "B=2"}, Volumes: []string{"/data:/d", "/models:/m:ro"}, Network: "bridge", Ready: 3}, ""},
		"a list that is none":     {executors.Spec{"command": "[run"}, Run{}, "begins as a JSON list"},
		"no volume":               {executors.Spec{"volumes": "data:/d"}, Run{}, "is no volume"},
		"a volume that goes up":   {executors.Spec{"volumes": "/data/../etc:/d"}, Run{}, "is no volume"},
		"the host":                {executors.Spec{"volumes": "/:/host"}, Run{}, "would open the host"},
		"the engine's socket":     {executors.Spec{"volumes": "/run/docker.sock:/s"}, Run{}, "would open the host"},
		"the agent's state":       {executors.Spec{"volumes": "/var/lib/devserver-agent/tasks:/s"}, Run{}, "would open the host"},
		"an environment without=": {executors.Spec{"env": "A"}, Run{}, "is no NAME=value"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := parse(c.spec)
			switch {
			case c.says != "":
				if err == nil || !strings.Contains(err.Error(), c.says) {
					t.Errorf("got %v, want ...%s...", err, c.says)
				}
			case err != nil:
				t.Error(err)
			default:
				if len(got.Command) == 0 {
					got.Command = c.want.Command
				}
				if diff := cmp.Diff(c.want, got); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
			}
		})
	}
}

// The step that stops a container is given more time than the container.
func TestHowLongAContainerMayTakeToEnd(t *testing.T) {
	for timeout, want := range map[time.Duration]struct{ run, service, step time.Duration }{
		0:               {25 * time.Second, 20 * time.Second, 30 * time.Second},
		time.Second:     {time.Second, time.Second, 6 * time.Second},
		2 * time.Minute: {2 * time.Minute, 2 * time.Minute, 125 * time.Second},
	} {
		root := t.TempDir()
		tool := filepath.Join(root, "usr/bin/container-tool")
		if err := errors.Join(os.MkdirAll(filepath.Dir(tool), 0o700), os.WriteFile(tool, []byte("#!/bin/sh\n"), 0o700)); err != nil {
			t.Fatal(err)
		}
		e, host := Engine{Program: []string{"container-tool"}, StopTimeout: timeout}, hosttest.New(t, root)
		run, err := e.order(t.Context(), host, executors.Spec{"image": "i"})
		if err == nil {
			_, err = e.step(t.Context(), host, "run", run)
		}
		if err != nil || run.stopTimeout(stopTimeout) != want.run || run.stopTimeout(serviceStopTimeout) != want.service || host.Started("run")[0].Grace != want.step {
			t.Errorf("%v: %v, %v, %v, %v", timeout, run.stopTimeout(stopTimeout), run.stopTimeout(serviceStopTimeout), host.Started("run"), err)
		}
		if without := (Run{Image: "i", Network: "bridge", Command: run.Command}); run.digest() != without.digest() {
			t.Errorf("%v: a service is replaced because of it", timeout)
		}
	}
}

func TestAnEngineThatIsNotThere(t *testing.T) {
	var out bytes.Buffer
	if code := Main(t.Context(), "run", strings.NewReader(`{"name":"n","image":"i","sockets":["/nonexistent"]}`), &out); code != exitEngine || !strings.Contains(out.String(), "no container engine") {
		t.Errorf("it ends with %d: %s", code, out.String())
	}
}

func FuzzDemultiplex(f *testing.F) {
	f.Add([]byte("\x01\x00\x00\x00\x00\x00\x00\x06hello\n\x02\x00\x00\x00\x00\x00\x00\x01x"))
	f.Fuzz(func(t *testing.T, stream []byte) {
		var out bytes.Buffer
		_ = demultiplex(bytes.NewReader(stream), &out)
		if out.Len() > len(stream) {
			t.Errorf("%d bytes out of %d", out.Len(), len(stream))
		}
	})
}

// handler answers as a container engine does that has one container, n.
func handler(answers map[string]http.HandlerFunc) http.Handler {
	mux := http.NewServeMux()
	for what, answer := range answers {
		method, name, _ := strings.Cut(what, " ")
		mux.HandleFunc(strings.TrimSuffix(method+" /v1.40/containers/n/"+name, "/"), answer)
	}
	return mux
}

// engineOf is an engine with these answers behind a socket.
func engineOf(t *testing.T, answers map[string]http.HandlerFunc) (socket string) {
	t.Helper()
	socket = filepath.Join(t.TempDir(), "engine.sock")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: handler(answers)}
	go func() { _ = server.Serve(listener) }() // it ends with Close
	t.Cleanup(func() { server.Close() })
	return socket
}

// Told to stop while the engine starts the container, the program does not leave it
// alone: whether it was started is not known then. What the engine says to that late is
// waited for, or it would be written when nobody expects it.
func TestToldToStopWhileTheEngineStarts(t *testing.T) {
	for end, want := range map[string]int{`{"StatusCode":143}`: 143, `no JSON`: exitEngine} {
		ctx, stop := context.WithCancel(t.Context())
		told, ended := make(chan struct{}), make(chan struct{})
		socket := engineOf(t, map[string]http.HandlerFunc{
			"GET json": func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"State":{"Status":"created"}}`) },
			"POST start": func(w http.ResponseWriter, _ *http.Request) {
				stop()
				w.WriteHeader(http.StatusNoContent)
			},
			"GET logs": func(w http.ResponseWriter, _ *http.Request) {},
			"POST stop": func(w http.ResponseWriter, _ *http.Request) {
				close(told)
				<-ended
				w.WriteHeader(http.StatusInternalServerError)
			},
			"POST wait": func(w http.ResponseWriter, _ *http.Request) {
				<-told // so it hangs if nobody stops the container
				fmt.Fprint(w, end)
				close(ended)
			},
		})
		var out bytes.Buffer
		code := Main(ctx, "run", strings.NewReader(fmt.Sprintf(`{"name":"n","image":"i","sockets":[%q]}`, socket)), &out)
		if code != want {
			t.Errorf("it ends with %d, want %d: %s", code, want, out.String())
		}
	}
}

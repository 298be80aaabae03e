package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"devserver-agent/protocol"
	"devserver-agent/test/fakehost"
	"devserver-agent/test/support/programs"
	"devserver-agent/test/support/wait"
)

// fleet is a control plane process and fake Ascend hosts with an agent each. It
// is driven by devserverctl. The broker is in the control plane or a process of
// its own.
type fleet struct {
	t         testing.TB
	dir       string
	api, nats string // addresses, the same after each start
	plane     *daemon
	broker    *daemon // nil: in the plane
	hosts     map[string]*npuHost
}

// npuHost is a fake Ascend host.
type npuHost struct {
	*host
	fake *fakehost.Host
	net  *proxy // between it and the broker

	machine   *fakehost.Machine // once it was booted
	restarted int               // restarts that no agent asked for
}

// newFleet starts a control plane with the broker in it.
func newFleet(t testing.TB) *fleet {
	t.Helper()
	f := fleetOf(t)
	f.plane = f.daemon("controlplane", programs.ControlPlane, "--listen", f.api, "--nats-listen", f.nats,
		"--data-dir", f.data(), "--watch-every", "1s", "--log-format", "console")
	f.startPlane()
	return f
}

// newApartFleet starts a broker and a control plane.
func newApartFleet(t testing.TB) *fleet {
	t.Helper()
	f := fleetOf(t)
	f.broker = f.daemon("broker", programs.Broker, "--dir", filepath.Join(f.dir, "store"), "--listen", f.nats)
	f.startBroker()
	f.plane = f.daemon("controlplane", programs.ControlPlane, "--listen", f.api, "--nats", "nats://"+f.nats,
		"--data-dir", f.data(), "--watch-every", "1s", "--log-format", "console")
	f.startPlane()
	return f
}

func fleetOf(t testing.TB) *fleet {
	t.Helper()
	dir, err := os.MkdirTemp("", "e2e-fleet-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return &fleet{t: t, dir: dir, api: freeAddress(t), nats: freeAddress(t), hosts: map[string]*npuHost{}}
}

func (f *fleet) daemon(name string, binary *programs.Program, args ...string) *daemon {
	f.t.Helper()
	return newDaemon(f.t, filepath.Join(f.dir, name+".log"), append([]string{binary.Path(f.t)}, args...)...)
}

var addresses atomic.Uint32

// freeAddress is one of the loopback that nobody listens on, nor will: a port of
// 127.0.0.1 might be given to another process before a fleet takes it, and while
// it is down. So it is on an address of its own.
func freeAddress(t testing.TB) string {
	t.Helper()
	pid := os.Getpid()
	own := net.IPv4(127, byte(1+pid>>8%250), byte(pid), byte(1+addresses.Add(1)%250))
	listener, err := net.Listen("tcp", net.JoinHostPort(own.String(), "0"))
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

func (f *fleet) must(err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
}

func (f *fleet) data() string { return filepath.Join(f.dir, "data") }

// startBroker starts the broker and waits until it answers.
func (f *fleet) startBroker() {
	f.t.Helper()
	f.broker.start()
	f.awaitBroker()
}

func (f *fleet) awaitBroker() {
	f.t.Helper()
	wait.Until(f.t, "the broker answers", func() error {
		conn, _, err := f.admin()
		if err == nil {
			conn.Close()
		}
		return err
	})
}

// startPlane starts the control plane and waits until it answers.
func (f *fleet) startPlane() {
	f.t.Helper()
	f.plane.start()
	wait.Until(f.t, "the control plane answers", func() error {
		_, err := f.ctl("server", "list")
		return err
	})
}

// killPlane is kill -9 of the control plane and the broker in it.
func (f *fleet) killPlane() { f.plane.kill() }

// ctl runs devserverctl and returns what it printed on standard output.
func (f *fleet) ctl(args ...string) ([]byte, error) {
	cmd := exec.Command(programs.Ctl.Path(f.t), append(args, "--api", "http://"+f.api)...)
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	if err := cmd.Run(); err != nil {
		return out.Bytes(), fmt.Errorf("devserverctl %v: %w: %s%s", args, err, out.Bytes(), errOut.Bytes())
	}
	return out.Bytes(), nil
}

func (f *fleet) mustCtl(args ...string) []byte {
	f.t.Helper()
	out, err := f.ctl(args...)
	f.must(err)
	return out
}

// key is the control plane's public key.
func (f *fleet) key() protocol.Key {
	f.t.Helper()
	raw, err := os.ReadFile(filepath.Join(f.data(), "signing.pub"))
	f.must(err)
	key, err := protocol.ParseKey(string(raw))
	f.must(err)
	return key
}

// add adds a host whose agent is configured and not started.
func (f *fleet) add(server string, model fakehost.Model, o fakehost.Options, more ...string) *npuHost {
	f.t.Helper()
	fake := fakehost.ForTest(f.t, model, o) // before the agent, which ends before it then
	h := &npuHost{host: newHost(f.t, server), fake: fake, net: newProxy(f.t)}
	h.net.lead(f.nats)
	machine := fmt.Sprintf("{root: %s, boot_id_file: %s, reboot_command: [%s]}", h.fake.Root(), h.fake.BootIDFile(), h.fake.RebootCommand()[0])
	h.writeConfig(h.stateDir(), machine, h.net.url(), f.key(), append(more, "server_name: name-of-"+server)...)
	f.hosts[server] = h
	return h
}

// gateTool keeps npu-smi from answering until openTool is called.
func (h *npuHost) gateTool() {
	h.t.Helper()
	script := fmt.Sprintf("#!/bin/sh\nuntil [ -e %s ]; do sleep 0.05; done\nexec %s \"$@\"\n", h.path("tool-gate"), h.fake.Path("/usr/local/bin/npu-smi"))
	h.must(os.WriteFile(h.path("npu-smi"), []byte(script), 0o700))
	config, err := os.OpenFile(h.path("config.yaml"), os.O_WRONLY|os.O_APPEND, 0)
	h.must(err)
	_, err = fmt.Fprintf(config, "\ntools: {npu_smi: %s}\n", h.path("npu-smi"))
	h.must(errors.Join(err, config.Close()))
}

func (h *npuHost) openTool() {
	h.t.Helper()
	h.must(os.WriteFile(h.path("tool-gate"), nil, 0o600))
}

func (h *npuHost) closeTool() {
	h.t.Helper()
	h.must(os.Remove(h.path("tool-gate")))
}

// breaks sets a fault.
func (h *npuHost) breaks(fault fakehost.Fault, args ...string) {
	h.t.Helper()
	h.must(h.fake.SetFault(fault, args...))
}

// inOrder is the message of a query on a host in good order.
func (h *npuHost) inOrder() string {
	h.t.Helper()
	s, err := h.fake.State()
	h.must(err)
	return fmt.Sprintf("Driver: %s | Firmware: %s", s.Installed.Driver, s.Installed.Firmware)
}

// job is a job as the API answers it.
type job struct {
	ID       string `json:"id"`
	Type     string `json:"type"`
	Status   string `json:"status"`
	Abnormal int    `json:"abnormal_count"`
	Tasks    []task `json:"tasks"`
}

type task struct {
	ID         string           `json:"id"`
	ServerID   string           `json:"server_id"`
	ServerName string           `json:"server_name"`
	Status     protocol.State   `json:"status"`
	Message    string           `json:"message"`
	Code       protocol.Code    `json:"code"`
	Phase      protocol.Phase   `json:"phase"`
	Late       []map[string]any `json:"late"`
}

// query creates a query job for servers and returns its id.
func (f *fleet) query(servers ...string) string {
	f.t.Helper()
	var j job
	f.must(json.Unmarshal(f.mustCtl("job", "create", "--json", "--name", "e2e-query", "--item", "HDK_QUERY", "--server", strings.Join(servers, ",")), &j))
	return j.ID
}

// job asks the API: a devserverctl for every look would keep the machine busy.
func (f *fleet) job(id string) (j job, err error) {
	client := http.Client{Timeout: 10 * time.Second}
	reply, err := client.Get("http://" + f.api + "/v1/default/dev-servers/jobs/" + id)
	if err != nil {
		return j, err
	}
	defer reply.Body.Close()
	if reply.StatusCode != http.StatusOK {
		return j, fmt.Errorf("the control plane answers %s", reply.Status)
	}
	return j, json.NewDecoder(reply.Body).Decode(&j)
}

// begun waits until all tasks of a job run.
func (f *fleet) begun(id string) {
	f.t.Helper()
	wait.Until(f.t, "all tasks run", func() error {
		j, err := f.job(id)
		for _, task := range j.Tasks {
			if task.Phase != protocol.Running && err == nil {
				err = fmt.Errorf("%s is %s", task.ServerID, task.Phase)
			}
		}
		return err
	})
}

// finished waits for the end of a job and checks its messages by server; a
// server that is not in want is in good order.
func (f *fleet) finished(id string, want map[string]string) job {
	f.t.Helper()
	j := f.ended(id)
	for _, task := range j.Tasks {
		message, named := want[task.ServerID]
		if !named {
			message = f.hosts[task.ServerID].inOrder()
			if task.Status != protocol.Success || task.Code != "" {
				f.t.Errorf("%s ended %s %s", task.ServerID, task.Status, task.Code)
			}
		}
		if task.Message != message {
			f.t.Errorf("%s says %q, want %q", task.ServerID, task.Message, message)
		}
		if len(task.Late) > 0 {
			f.t.Errorf("%s has further verdicts: %v", task.ServerID, task.Late)
		}
	}
	return j
}

// said reads the whole stream of statuses and checks what must hold of each
// task in it.
func (f *fleet) said(check func([]protocol.Status) []error) {
	f.t.Helper()
	byTask := f.statuses()
	if len(byTask) == 0 {
		f.t.Error("no statuses are in the stream")
	}
	for _, said := range byTask {
		for _, err := range check(said) {
			f.t.Error(err)
		}
	}
}

// saidAgain waits until the hosts have said everything of some jobs again to a broker
// that forgot. They take their time, and a job is FINISHED before that.
func (f *fleet) saidAgain(jobs ...string) {
	f.t.Helper()
	wait.Until(f.t, "everything has been said again", func() error {
		byTask := f.statuses()
		var wrong []error
		for _, id := range jobs {
			j, err := f.job(id)
			wrong = append(wrong, err)
			for _, task := range j.Tasks {
				said := byTask[task.ID]
				if !slices.ContainsFunc(said, func(s protocol.Status) bool { return s.InstallationID != "" && s.Status.Terminal() }) {
					wrong = append(wrong, fmt.Errorf("%s: its host has not said again how it ended", task.ID))
				}
				wrong = append(wrong, checkSame(said)...)
			}
		}
		return errors.Join(wrong...)
	})
}

// statuses are those in the broker's stream, by task.
func (f *fleet) statuses() map[string][]protocol.Status {
	f.t.Helper()
	conn, js, err := f.admin()
	f.must(err)
	defer conn.Close()
	h := &hub{t: f.t, conn: conn, js: js, read: map[string]uint64{}}
	byTask := map[string][]protocol.Status{}
	for _, s := range h.statuses() {
		byTask[s.TaskID] = append(byTask[s.TaskID], s)
	}
	return byTask
}

// ended waits for the end of a job.
func (f *fleet) ended(id string) (j job) {
	f.t.Helper()
	wait.Until(f.t, "the job is FINISHED", func() (err error) {
		if j, err = f.job(id); err == nil && j.Status != "FINISHED" {
			err = fmt.Errorf("it is %+v", j)
		}
		for _, task := range j.Tasks {
			if task.ServerName != "name-of-"+task.ServerID && err == nil {
				err = fmt.Errorf("%s is called %q", task.ServerID, task.ServerName)
			}
		}
		return err
	})
	f.must(json.Unmarshal(f.mustCtl("job", "get", "--json", id), &j))
	if len(j.Tasks) == 0 {
		f.t.Errorf("the job is %+v", j)
	}
	return j
}

// answered is nil when one server's task has its verdict.
func (f *fleet) answered(id, server string) error {
	j, err := f.job(id)
	for _, task := range j.Tasks {
		if task.ServerID == server && task.Status.Terminal() {
			return err
		}
	}
	return errors.Join(err, fmt.Errorf("%s has not: %+v", server, j))
}

// afterAll waits until a timeout of an agent that asks its broker is over.
func afterAll(t testing.TB, timeout time.Duration) {
	t.Helper()
	select {
	case <-time.After(timeout):
	case <-t.Context().Done():
		t.Fatal(errors.New("the test was ended"))
	}
}

package controlplane

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"devserver-agent/controlplane/broker"
	"devserver-agent/controlplane/signing"
	"devserver-agent/protocol"
	"devserver-agent/test/brokertest"
	"devserver-agent/test/support/wait"
)

// childEnv makes the test binary a control plane that can be killed:
// data folder, HTTP address, and where the NATS inside it listens or the URL of
// another one.
const childEnv = "CONTROLPLANE_TEST_CHILD"

func TestMain(m *testing.M) {
	if child := os.Getenv(childEnv); child != "" {
		serveChild(strings.Split(child, " "))
		return
	}
	os.Exit(m.Run())
}

func serveChild(args []string) {
	bus := broker.Options{Listen: args[2]}
	if strings.HasPrefix(args[2], "nats:") {
		bus = broker.Options{URL: args[2]}
	}
	c, err := Start(context.Background(), Options{
		DataDir: args[0], Listen: args[1], Broker: bus,
		WatchEvery: 50 * time.Millisecond, RetryEvery: 50 * time.Millisecond, JudgeEvery: 50 * time.Millisecond,
		Log: zap.NewNop(),
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Fprintln(os.Stderr, <-c.Failed())
	os.Exit(1)
}

func startChild(t *testing.T, dir, http, nats string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"="+dir+" "+http+" "+nats)
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd
}

// TestKilledAgainAndAgainEveryJobEndsOnce kills the control plane and the NATS
// inside it at random moments while jobs are created and done.
func TestKilledAgainAndAgainEveryJobEndsOnce(t *testing.T) {
	t.Parallel()
	dir, web, bus := t.TempDir(), freeAddr(t), freeAddr(t)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	key, err := signing.Load(dir+"/signing.key", dir+"/signing.pub")
	if err != nil {
		t.Fatal(err)
	}
	child := startChild(t, dir, web, bus)
	ids := []string{"server-a", "server-b", "server-c"}
	done := make(chan string, 100)
	for _, id := range ids {
		newHost(t, "nats://"+bus, id, protocol.KeyOf(key), func(h *host, task protocol.Task) {
			done <- task.TaskID // before the verdict, by which the job may be FINISHED
			succeed(h, task)
		})
	}
	p := &plane{&ControlPlane{addr: textAddr(web)}, t, Options{}}
	var created []string
	for n := range 6 {
		j := p.createSurely(fmt.Sprintf("token-%d-%d", seed, n), query(ids...))
		created = append(created, j.ID)
		<-time.After(time.Duration(random.IntN(60)) * time.Millisecond) // the random moment
		if err := child.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = child.Wait() // killed
		child = startChild(t, dir, web, bus)
	}
	for _, id := range created {
		p.untilUp(id, "the job is FINISHED", func(j job) bool { return j.Status == "FINISHED" && len(j.Tasks) == len(ids) })
		for _, task := range p.get(id).Tasks {
			if task.Status != "SUCCESS" || len(task.Late) != 0 {
				t.Errorf("task is %+v", task)
			}
		}
	}
	if got, want := len(done), len(created)*len(ids); got != want {
		t.Errorf("%d tasks were done, %d were asked for", got, want)
	}
	_ = child.Process.Kill()
	_ = child.Wait()
}

// TestKilledInTheMiddleOfARolloutNeverHandsOutTooMuch kills one of two replicas
// at random moments, and at last lets as many servers fail as may.
func TestKilledInTheMiddleOfARolloutNeverHandsOutTooMuch(t *testing.T) {
	t.Parallel()
	bus := startNATS(t, brokertest.Options(t.TempDir()), true).ClientURL()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	var dirs, webs [2]string
	for i := range dirs {
		dirs[i], webs[i] = t.TempDir(), freeAddr(t)
	}
	key, err := signing.Load(dirs[0]+"/signing.key", dirs[0]+"/signing.pub")
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(dirs[0] + "/signing.key")
	if err == nil {
		err = os.WriteFile(dirs[1]+"/signing.key", data, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	const concurrent, failures = 2, 2
	g := newGuard(t, bus, protocol.KeyOf(key), concurrent)
	ids := fleetOf(16)
	second := make(chan struct{}) // the second failure is in the stream
	for i, id := range ids {
		work := succeed
		switch {
		case i == 8:
			work = failing
		case i == 10:
			work = func(h *host, task protocol.Task) { failing(h, task); close(second) }
		case i > 10:
			work = func(h *host, task protocol.Task) { <-second; succeed(h, task) }
		}
		newHost(t, bus, id, protocol.KeyOf(key), g.with(work))
	}
	var children [2]*exec.Cmd
	for i := range children {
		children[i] = startChild(t, dirs[i], webs[i], bus)
	}
	p := &plane{&ControlPlane{addr: textAddr(webs[0])}, t, Options{}}
	created := p.createSurely(fmt.Sprint("token-", seed), upgrade(ids, map[string]any{"max_concurrent": concurrent, "max_failures": failures}))
	for n := range 6 {
		<-time.After(time.Duration(random.IntN(80)) * time.Millisecond) // the random moment
		if err := children[n%2].Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = children[n%2].Wait() // killed
		children[n%2] = startChild(t, dirs[n%2], webs[n%2], bus)
	}
	p.untilUp(created.ID, "the job ended early", func(j job) bool { return j.Status == "FINISHED" && j.Halted && j.Abnormal == failures })
	if got := g.handedOut(); len(got) < 11 || len(got) > 12 {
		t.Errorf("handed out were %v, and the second failure was server-10's", got)
	}
	for _, child := range children {
		_ = child.Process.Kill()
		_ = child.Wait()
	}
}

type textAddr string

func (a textAddr) Network() string { return "tcp" }
func (a textAddr) String() string  { return string(a) }

// createSurely sends a POST until it is answered.
func (p *plane) createSurely(token string, body map[string]any) job {
	p.t.Helper()
	var created job
	wait.Until(p.t, "POST is answered", func() error {
		j, err := p.try("POST", "/jobs", body, token)
		created = j
		return err
	})
	return created
}

func (p *plane) untilUp(id, wanted string, ok func(job) bool) {
	p.t.Helper()
	wait.Until(p.t, wanted, func() error {
		j, err := p.try("GET", "/jobs/"+id, nil, "")
		if err == nil && !ok(j) {
			err = errorf("job is %+v", j)
		}
		return err
	})
}

// try is call for a server that may not be there.
func (p *plane) try(method, path string, body any, token string) (job, error) {
	var j job
	req, err := jsonRequest(p.t.Context(), method, "http://"+p.Addr()+"/v1/"+project+"/dev-servers"+path, body)
	if err != nil {
		return j, err
	}
	req.Header.Set("X-Client-Token", token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return j, err
	}
	return j, decodeOK(resp, &j)
}

// Package programs builds the programs that tests start: the product's own, the tools of
// fake hosts, a broker that is killed. Each is built once, whichever package needs it
// first, into bin/test of this checkout, where it stays: the next build takes only what
// has changed.
//
// In one run of scripts/test, which names itself in the environment variable
// DEVSERVER_TEST_RUN, a program that was built is not looked at again. Without that name
// every test process asks the go command once whether a program is up to date.
//
// Processes that build at the same time wait for each other (a lock beside the program).
// A process that dies while it builds leaves its lock to the kernel, which drops it, and
// at worst half a program, which the go command finds to be out of date and builds again.
package programs

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// Program is one to be built. The race detector is in those whose goroutines are under
// test; what is only started is built without it, since it makes each start slower.
type Program struct {
	// Build builds the program, if that is still to be done, and returns its path. It is
	// safe for concurrent use.
	Build func() (string, error)

	name  string
	flags []string // of go build, the package last
}

// The programs of the product.
var (
	Agent        = program("devserver-agent", "./cmd/devserver-agent")
	ControlPlane = program("devserver-controlplane", "./cmd/devserver-controlplane")
	Ctl          = program("devserverctl", "./cmd/devserverctl")
)

// The programs that only tests have.
var (
	// FaultyAgent is an agent with the trial executors that is killed at named points while
	// the race detector looks on.
	FaultyAgent = program("faulty-agent", "./test/e2e/agent", "-race", "-tags", "faults")
	// TestAgent is the same without points and detector: an agent whose memory and system
	// calls are looked at, and the program that the trial executors' steps start.
	TestAgent = program("test-agent", "./test/e2e/agent")
	// Broker is a NATS server of package brokertest, to be killed.
	Broker = program("broker", "./test/e2e/broker")
	// FakeHost is all tools of a fake Ascend host. It is started a hundred times in one
	// diagnosis; without the C library it starts in two thirds of the time.
	FakeHost = program("fakehost", "./test/fakehost/cmd/fakehost", "-tags", "netgo,osusergo")
)

// runVariable names one run of scripts/test.
const runVariable = "DEVSERVER_TEST_RUN"

func program(name, source string, flags ...string) *Program {
	p := &Program{name: name, flags: append(flags, source)}
	p.Build = sync.OnceValues(p.build)
	return p
}

// Path is Build for tests; one that fails ends the test.
func (p *Program) Path(t testing.TB) string {
	t.Helper()
	path, err := p.Build()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func (p *Program) build() (string, error) {
	root, err := moduleRoot()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(root, "bin", "test")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	path := filepath.Join(dir, p.name)
	lock, err := os.OpenFile(path+".lock", os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return "", err
	}
	defer lock.Close()
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		return "", fmt.Errorf("lock %s: %w", lock.Name(), err)
	}
	run := os.Getenv(runVariable)
	if built, err := os.ReadFile(lock.Name()); run != "" && err == nil && string(built) == run {
		return path, nil
	}
	// What is up to date is not written again, so that nothing changes below those who run it.
	command := exec.Command("go", append([]string{"build", "-o", path}, p.flags...)...)
	command.Dir = root
	if out, err := command.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build %s: %w\n%s", strings.Join(p.flags, " "), err, out)
	}
	return path, os.WriteFile(lock.Name(), []byte(run), 0o644)
}

// moduleRoot is the folder of go.mod: tests run in the folder of their package.
func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for at := dir; ; at = filepath.Dir(at) {
		if _, err := os.Stat(filepath.Join(at, "go.mod")); err == nil {
			return at, nil
		} else if !errors.Is(err, os.ErrNotExist) {
			return "", err
		}
		if at == filepath.Dir(at) {
			return "", fmt.Errorf("no go.mod in %s or above", dir)
		}
	}
}

package e2e

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"devserver-agent/test/fakehost"
	"devserver-agent/test/support/programs"
	"devserver-agent/test/support/wait"
)

// TestScripts runs the agent's commands as an operator does: devserver-agent is
// the program that is shipped, $CONFIG its configuration on a fake host with two
// 310P cards in the folder host. Besides testscript's own there are
//
//	exits CODE PROGRAM ARGS...  the program ends with exactly that code
//	await PROGRAM ARGS...       the program is run until it succeeds
func TestScripts(t *testing.T) {
	t.Parallel()
	agent, fake := programs.Agent.Path(t), fakehost.Binary(t)
	trial := programs.TestAgent.Path(t)
	testscript.Run(t, testscript.Params{
		Dir:                 filepath.Join("testdata", "script"),
		RequireExplicitExec: true,
		Setup: func(env *testscript.Env) error {
			path := fmt.Sprintf("%s:%s:%s", filepath.Dir(agent), filepath.Dir(fake), env.Getenv("PATH"))
			env.Setenv("PATH", path)
			env.Setenv("CONFIG", filepath.Join(env.WorkDir, "config.yaml"))
			env.Setenv("STATE", filepath.Join(env.WorkDir, "state"))
			env.Setenv("TRIAL", trial)
			return prepare(env.WorkDir, fake)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"exits": exits, "await": await},
	})
}

// prepare makes a fake host and the configuration of its agent.
func prepare(dir, fake string) error {
	h, err := fakehost.New(filepath.Join(dir, "host"), fakehost.P310, fakehost.Options{Binary: fake})
	if err != nil {
		return err
	}
	config := fmt.Sprintf(`server_id: p310-infer
state_dir: %s/state
nats: {servers: ["nats://127.0.0.1:9"]}
trust: {keys: ["ed25519:Q29udHJvbCBwbGFuZSdzIHB1YmxpYyBrZXkuIFNhbXA="]}
host: {root: %s, boot_id_file: %s}
`, dir, h.Root(), h.BootIDFile())
	return os.WriteFile(filepath.Join(dir, "config.yaml"), []byte(config), 0o600)
}

func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE PROGRAM ARGS...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	var exit *exec.ExitError
	if err := ts.Exec(args[1], args[2:]...); errors.As(err, &exit) {
		got = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

func await(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 {
		ts.Fatalf("usage: await PROGRAM ARGS...")
	}
	ts.Check(wait.Within(wait.Patience, func() error { return ts.Exec(args[0], args[1:]...) }))
}

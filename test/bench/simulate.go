package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"strings"
	"sync"
	"syscall"

	"devserver-agent/agent"
	"devserver-agent/agent/config"
	"devserver-agent/agent/step"
	"devserver-agent/executors"
	"devserver-agent/executors/builtin"
	"devserver-agent/test/fakehost"
	"devserver-agent/test/fakehost/installer"
	"devserver-agent/test/fakehost/tool"
)

// simulateArg is how the bench starts itself to be many hosts.
const simulateArg = "simulate"

// simulate runs one agent for each of its arguments, the file of its
// configuration, until it is told to end. They are the real ones, with state
// directories and connections of their own; only their hosts' programs are
// functions of this process, and a restart of such a host is the end of its agent
// and a new one.
func simulate(files []string) {
	debug.SetGCPercent(25) // as the agent's own program
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	var all sync.WaitGroup
	for _, file := range files {
		all.Go(func() {
			if err := live(ctx, file); err != nil {
				fmt.Fprintf(os.Stderr, "%s: %v\n", file, err)
			}
		})
	}
	all.Wait()
}

// simulated is one host and the agent on it.
type simulated struct {
	host   *fakehost.Host
	config config.Config
	down   context.CancelFunc // ends the agent of this boot
}

// live goes from boot to boot.
func live(ctx context.Context, file string) error {
	c, err := config.Load(file, nil)
	if err != nil {
		return err
	}
	host, err := fakehost.Open(filepath.Dir(c.Host.Root))
	if err != nil {
		return err
	}
	s := &simulated{host: host, config: c}
	for {
		var boot context.Context
		boot, s.down = context.WithCancel(ctx)
		err := s.run(boot)
		s.down()
		if err != nil || ctx.Err() != nil {
			return err
		}
		if err := host.Reboot(); err != nil {
			return err
		}
	}
}

func (s *simulated) run(boot context.Context) error {
	registry := builtin.All(builtin.Options{Repository: s.config.HDK.Repository, StateDir: s.config.StateDir, Root: s.config.Host.Root})
	survey, _, _ := registry.Lookup("HDK_QUERY")
	a, err := agent.Open(agent.Options{
		Config: s.config, Registry: registry, Version: "bench", Survey: survey,
		Surroundings: step.Functions{Run: s.program}, Play: s.query,
	})
	if err != nil {
		return err
	}
	return errors.Join(a.Run(boot), a.Close())
}

// query plays the tools that only read, and the command that restarts the host.
func (s *simulated) query(_ context.Context, argv []string) (executors.Reply, error) {
	switch argv[0] {
	case s.config.Host.RebootCommand[0]:
		s.down()
		return executors.Reply{}, nil
	case "npu-smi", "hccn_tool", "docker":
		var said bytes.Buffer
		code := tool.Run(s.host, argv[0], argv[1:], &said)
		return executors.Reply{Output: said.Bytes(), Code: code}, nil
	}
	return executors.Reply{}, fmt.Errorf("%s: %w", argv[0], executors.ErrNotFound)
}

// program plays a package. Its file names the folder of what it holds.
func (s *simulated) program(spec step.Spec, out io.Writer) step.Exit {
	content, err := os.ReadFile(spec.Argv[0])
	if err != nil {
		return step.Exit{Code: 127, Error: err.Error()}
	}
	argv := append([]string{strings.TrimSpace(string(content))}, spec.Argv[1:]...)
	return step.Exit{Code: installer.Run(s.host, argv, strings.NewReader(""), out)}
}

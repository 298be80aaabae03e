package command

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"devserver-agent/agent"
	"devserver-agent/agent/config"
	"devserver-agent/agent/journal"
	"devserver-agent/agent/step"
)

// gcPercent trades CPU for memory: the host's memory belongs to training jobs,
// and an idle agent has next to nothing to collect.
const gcPercent = 25

func (c *cli) runCommand() *cobra.Command {
	return &cobra.Command{
		Use: "run", Short: "Run the daemon", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			debug.SetGCPercent(gcPercent)
			if err := c.checkService(); err != nil {
				return err
			}
			a, cfg, err := c.open(false)
			if err != nil {
				return err
			}
			defer c.onHangup(cmd.Context(), cfg, a)()
			return errors.Join(a.Run(cmd.Context()), a.Close())
		},
	}
}

// onHangup has SIGHUP hand over to the program and the configuration that are on
// the disk, unless they make no sense: a service that runs is worth more than one
// that cannot be started. Who started the agent starts it again.
func (c *cli) onHangup(ctx context.Context, cfg config.Config, a *agent.Agent) (stop func()) {
	self, err := os.Executable() // before it is replaced
	log := newLog(cfg.Log, c.Stderr)
	ctx, cancel := context.WithCancel(ctx)
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	go func() {
		for {
			select {
			case <-hangup:
			case <-ctx.Done():
				return
			}
			if err := errors.Join(err, c.rehearse(ctx, self)); err != nil {
				log.Error("the agent goes on as it is", zap.Error(err))
				continue
			}
			log.Info("handing over to the program and the configuration on the disk as soon as nothing runs")
			a.HandOver()
		}
	}()
	return func() { signal.Stop(hangup); cancel() }
}

// rehearse asks the program on the disk whether it can work with the
// configuration there.
func (c *cli) rehearse(ctx context.Context, self string) error {
	reply, err := step.Query(ctx, self, []string{self, "config", "--check", "--config", c.configFile}, os.Environ())
	if err == nil && reply.Code != 0 {
		err = fmt.Errorf("exit code %d: %s", reply.Code, bytes.TrimSpace(reply.Output[:min(len(reply.Output), 2000)]))
	}
	if err != nil {
		return fmt.Errorf("the program and the configuration on the disk do not go together: %w", err)
	}
	return nil
}

func (c *cli) adoptCommand() *cobra.Command {
	return &cobra.Command{
		Use: "adopt", Short: "Take over the state directory of another machine, after a planned swap of the board", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			a, cfg, err := c.open(true)
			if err != nil {
				return err
			}
			fmt.Fprintf(c.Stdout, "%s belongs to this machine now.\n", cfg.StateDir)
			return a.Close()
		},
	}
}

func (c *cli) configCommand() *cobra.Command {
	var sample, check bool
	cmd := &cobra.Command{
		Use: "config", Short: "Check the configuration and print what is in force, without secrets", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if check {
				return c.checkService()
			}
			return c.printConfig(sample)
		},
	}
	cmd.Flags().BoolVar(&sample, "sample", false, "print a configuration file with every key explained instead")
	cmd.Flags().BoolVar(&check, "check", false, "print nothing, and check as well that the service can work with it and with the state directory")
	cmd.MarkFlagsMutuallyExclusive("sample", "check")
	return cmd
}

// checkService finds what would keep the service from running, and takes nothing
// that an agent which runs has.
func (c *cli) checkService() error {
	cfg, err := c.load()
	if err != nil {
		return err
	}
	if len(cfg.NATS.Servers) == 0 {
		return &config.Error{Path: c.configFile, Findings: []string{"nats.servers is empty: name at least one broker"}}
	}
	if _, err := journal.ReadInstallation(cfg.StateDir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

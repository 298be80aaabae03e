package command

import (
	"errors"
	"fmt"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// gcPercent trades CPU for memory: the host's memory belongs to training jobs,
// and an idle agent has next to nothing to collect.
const gcPercent = 25

func (c *cli) runCommand() *cobra.Command {
	return &cobra.Command{
		Use: "run", Short: "Run the daemon", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			debug.SetGCPercent(gcPercent)
			a, cfg, err := c.open(false)
			if err != nil {
				return err
			}
			if len(cfg.NATS.Servers) == 0 {
				err = fmt.Errorf("nats.servers is empty in %s: name at least one broker", c.configFile)
				return errors.Join(usageError{err}, a.Close())
			}
			return errors.Join(a.Run(cmd.Context()), a.Close())
		},
	}
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
	var sample bool
	cmd := &cobra.Command{
		Use: "config", Short: "Check the configuration and print what is in force, without secrets", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return c.printConfig(sample) },
	}
	cmd.Flags().BoolVar(&sample, "sample", false, "print a configuration file with every key explained instead")
	return cmd
}

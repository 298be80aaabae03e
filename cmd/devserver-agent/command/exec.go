package command

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"devserver-agent/agent"
	"devserver-agent/agent/config"
	"devserver-agent/agent/journal"
	"devserver-agent/agent/local"
	"devserver-agent/protocol"
)

func (c *cli) execCommand() *cobra.Command {
	return c.withJSON(&cobra.Command{
		Use: "exec TYPE [KEY=VALUE...]", Short: "Run one executor on this host, without a control plane",
		Long: "Run one executor on this host: through the daemon if it runs, else alone.\nIts output goes to standard error, its verdict to standard output.",
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			work := local.Work{Type: args[0], Spec: map[string]string{}}
			for _, arg := range args[1:] {
				key, value, ok := strings.Cut(arg, "=")
				if !ok {
					return usageError{fmt.Errorf("%q is not KEY=VALUE", arg)}
				}
				work.Spec[key] = value
			}
			return c.exec(cmd.Context(), work)
		},
	})
}

func (c *cli) exec(ctx context.Context, work local.Work) error {
	cfg, err := c.load()
	if err != nil {
		return err
	}
	id, err := local.Client{Path: agent.SocketPath(cfg)}.Exec(ctx, work)
	if errors.Is(err, local.ErrNotRunning) {
		return c.execAlone(ctx, work)
	}
	if err != nil {
		return err
	}
	return c.await(ctx, cfg, id)
}

func (c *cli) execAlone(ctx context.Context, work local.Work) error {
	a, cfg, err := c.open(false)
	if err != nil {
		return err
	}
	shown := make(chan error, 1)
	var id string
	err = a.ExecAlone(ctx, work, func(accepted string) {
		id = accepted
		go func() { shown <- c.toStderr().follow(ctx, cfg.StateDir, accepted, true) }()
	})
	if id == "" {
		return errors.Join(err, a.Close())
	}
	if err = errors.Join(err, <-shown, a.Close()); err != nil {
		return err
	}
	return c.verdict(cfg, id)
}

func (c *cli) await(ctx context.Context, cfg config.Config, id string) error {
	if err := c.toStderr().follow(ctx, cfg.StateDir, id, true); err != nil {
		return err
	}
	return c.verdict(cfg, id)
}

// toStderr prints outputs where they do not mix with verdicts.
func (c *cli) toStderr() *cli {
	other := *c
	other.Stdout = c.Stderr
	return &other
}

func (c *cli) verdict(cfg config.Config, id string) error {
	v, err := journal.ReadTask(cfg.StateDir, id)
	if err != nil {
		return err
	}
	s := v.Latest()
	switch {
	case c.json:
		err = c.print(s)
	case s.Status == protocol.Success:
		_, err = fmt.Fprintln(c.Stdout, s.Message)
	case s.Status.Terminal():
		_, err = fmt.Fprintln(c.Stdout, ended(s))
	default:
		_, err = fmt.Fprintf(c.Stdout, "Task %s goes on (%s); see devserver-agent tasks.\n", id, s.Phase)
	}
	if err == nil && s.Status != protocol.Success {
		err = exitCode(1)
	}
	return err
}

// ended is a verdict other than success, for a person.
func ended(s protocol.Status) string {
	text := fmt.Sprintf("%s %s: %s", s.Status, s.Code, s.Message)
	if remedy := protocol.Beside(s.Message, protocol.Explain(s.Code).Remedy); remedy != "" {
		text += "\n" + remedy
	}
	return text
}

// switchCommand makes a command that turns something on, or off with --off.
func (c *cli) switchCommand(name, short string, turn func(*cli, context.Context, bool) error) *cobra.Command {
	var off bool
	cmd := &cobra.Command{Use: name, Short: short, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return turn(c, cmd.Context(), !off) }}
	cmd.Flags().BoolVar(&off, "off", false, "lift it")
	return cmd
}

// hold is remembered also when no agent runs.
func (c *cli) hold(ctx context.Context, on bool) error {
	cfg, err := c.load()
	if err != nil {
		return err
	}
	err = local.Client{Path: agent.SocketPath(cfg)}.Hold(ctx, on)
	if errors.Is(err, local.ErrNotRunning) {
		return agent.SetHold(cfg.StateDir, on)
	}
	return err
}

func (c *cli) drain(ctx context.Context, on bool) error {
	cfg, err := c.load()
	if err != nil {
		return err
	}
	return local.Client{Path: agent.SocketPath(cfg)}.Drain(ctx, on)
}

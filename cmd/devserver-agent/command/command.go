// Package command is the command line of devserver-agent: thin, every command
// calls one thing of the agent and prints what it got.
package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"devserver-agent/agent"
	"devserver-agent/agent/config"
	"devserver-agent/agent/step"
	"devserver-agent/executors"
	"devserver-agent/executors/container"
)

// Options are what a program of this command line is made of.
type Options struct {
	Version string
	// Registry holds the executors of an agent with this configuration.
	Registry func(config.Config) executors.Registry
	Timeouts agent.Timeouts // zero: the agent's own
	Args     []string       // without the program's name
	Stdout   io.Writer
	Stderr   io.Writer
}

// cli is one run of the program.
type cli struct {
	Options
	configFile string
	json       bool
}

const defaultConfig = "/etc/devserver-agent/config.yaml"

// Main runs the program and returns its exit code: 0; 1 for an error or a task
// that failed; 2 for a wrong command line; 78 if every
// start would fail until an operator acts.
func Main(opts Options) int {
	// The shim is this program too and starts often: no command tree for it.
	if len(opts.Args) == 2 && opts.Args[0] == "step" {
		if err := step.Shim(opts.Args[1]); err != nil {
			fmt.Fprintln(opts.Stderr, err)
			return 1
		}
		return 0
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	c := &cli{Options: opts}
	root := c.root()
	root.SetArgs(opts.Args)
	root.SetOut(opts.Stdout)
	root.SetErr(opts.Stderr)
	err := root.ExecuteContext(ctx)
	var code exitCode
	switch {
	case err == nil:
		return 0
	case errors.As(err, &code):
		return int(code)
	}
	fmt.Fprintln(opts.Stderr, "devserver-agent:", agent.Explain(err))
	var usage usageError
	if errors.As(err, &usage) {
		return 2
	}
	return agent.ExitCode(err)
}

// exitCode ends the program without another word.
type exitCode int

func (e exitCode) Error() string { return fmt.Sprintf("exit code %d", int(e)) }

// usageError marks a wrong command line.
type usageError struct{ error }

func (u usageError) Unwrap() error { return u.error }

const long = `devserver-agent runs on every server of a fleet. It takes tasks from NATS that a
control plane signed, runs the executor of each item, such as HDK_UPGRADE, and
gives every task it accepted exactly one verdict, whatever crashes meanwhile.

The service is "devserver-agent run". It reads /etc/devserver-agent/config.yaml,
see devserver-agent.yaml(5), and remembers tasks in /var/lib/devserver-agent. SIGHUP
has it hand over to the program and the configuration on the disk as soon as
nothing runs; SIGTERM ends it at once and leaves running steps alone.

It exits with 0; 1 for an error or a task that failed; 2 for a wrong command line; 3
for a doctor that has warnings only;
78 if every start would fail until an operator acts, after which systemd does not
start it again.`

// New is the tree of commands, for whoever documents them.
func New() *cobra.Command { return (&cli{}).root() }

func (c *cli) root() *cobra.Command {
	root := &cobra.Command{
		Use:           "devserver-agent",
		Short:         "Runs jobs on an Ascend NPU server, each to exactly one verdict",
		Long:          long,
		Args:          cobra.NoArgs,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.PersistentFlags().StringVar(&c.configFile, "config", defaultConfig, "configuration `file`")
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	root.AddCommand(
		c.runCommand(), c.execCommand(), c.statusCommand(), c.tasksCommand(), c.logsCommand(),
		c.switchCommand("hold", "Stop exclusive work and restarts of the host until lifted", (*cli).hold),
		c.switchCommand("drain", "Start nothing new until lifted or the agent restarts; what runs goes on", (*cli).drain),
		c.doctorCommand(), c.configCommand(), c.enrolCommand(), c.auditCommand(), c.adoptCommand(), c.versionCommand(),
		&cobra.Command{Use: "container VERB", Short: "Have the container engine do something (internal)", Hidden: true, Args: cobra.ExactArgs(1),
			RunE: func(cmd *cobra.Command, args []string) error {
				if code := container.Main(cmd.Context(), args[0], os.Stdin, c.Stdout); code != 0 {
					return exitCode(code)
				}
				return nil
			}},
		&cobra.Command{Use: "step DIR|INSTANCE", Short: "Run one prepared step (internal)", Hidden: true, Args: cobra.ExactArgs(1),
			RunE: func(_ *cobra.Command, args []string) error { return step.Shim(args[0]) }},
	)
	for _, cmd := range append(root.Commands(), root) {
		cmd.Args = usageArgs(cmd.Args)
	}
	return root
}

// usageArgs makes a complaint about arguments one about the command line.
func usageArgs(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if err := check(cmd, args); err != nil {
			return usageError{err}
		}
		return nil
	}
}

// withJSON adds the flag of commands that a program may read.
func (c *cli) withJSON(cmd *cobra.Command) *cobra.Command {
	cmd.Flags().BoolVar(&c.json, "json", false, "print JSON")
	return cmd
}

// load reads the configuration. The default file may be missing.
func (c *cli) load() (config.Config, error) {
	path := c.configFile
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) && path == defaultConfig {
		path = ""
	}
	return config.Load(path, os.Environ())
}

func (c *cli) open(adopt bool) (*agent.Agent, config.Config, error) {
	cfg, err := c.load()
	if err != nil {
		return nil, cfg, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, cfg, err
	}
	log := newLog(cfg.Log, c.Stderr)
	registry := c.Registry(cfg)
	survey, _, _ := registry.Lookup("HDK_QUERY")
	plugins, err := c.plugins(cfg)
	if err != nil {
		log.Warn("plug-ins are left out", zap.Error(err))
	}
	registry = registry.With(plugins)
	a, err := agent.Open(agent.Options{
		Config: cfg, Registry: registry, Version: c.Version, Surroundings: step.Here([]string{self, "step"}),
		Survey: survey, Adopt: adopt, Timeouts: c.Timeouts, Log: log,
	})
	return a, cfg, err
}

func (c *cli) versionCommand() *cobra.Command {
	return &cobra.Command{Use: "version", Short: "Print the version", Args: cobra.NoArgs,
		Run: func(*cobra.Command, []string) { fmt.Fprintln(c.Stdout, c.Version) }}
}

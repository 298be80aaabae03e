package command

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"devserver-agent/agent"
	"devserver-agent/agent/config"
	"devserver-agent/agent/journal"
	"devserver-agent/agent/local"
	"devserver-agent/agent/step"
	"devserver-agent/executors/diagnosis"
)

// keyWarning is how long before its end it is said that a key ends.
const keyWarning = 30 * 24 * time.Hour

// Exit codes of the doctor, by the worst that it finds.
const (
	exitFail = exitCode(1)
	exitWarn = exitCode(3)
)

func (c *cli) doctorCommand() *cobra.Command {
	var agentOnly bool
	cmd := c.withJSON(&cobra.Command{
		Use: "doctor", Short: "Examine this host and its agent", Args: cobra.NoArgs,
		Long: "Examine this host and its agent: configuration, state directory, daemon, broker and\n" +
			"the vendor's tools, and then the host with the light checks of DIAGNOSIS. Nothing is\n" +
			"changed, and a host at work is not disturbed; while a task has the host to itself\n" +
			"its NPUs are left alone. The exit code is 1 if something failed, 3 if the worst is\n" +
			"a warning, else 0.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			report, err := c.examine(cmd.Context(), agentOnly)
			if err != nil {
				return err
			}
			if err := c.printReport(report); err != nil {
				return err
			}
			switch report.Grade {
			case diagnosis.Fail:
				return exitFail
			case diagnosis.Warn:
				return exitWarn
			}
			return nil
		},
	})
	cmd.Flags().BoolVar(&agentOnly, "agent-only", false, "leave the host's own checks out")
	return cmd
}

func (c *cli) printReport(report diagnosis.Report) error {
	if c.json {
		return c.print(report)
	}
	_, err := fmt.Fprint(c.Stdout, report.Table())
	return err
}

// examine looks at the agent and then, unless only that is wanted, at the host. The
// error is the cause of ctx.
func (c *cli) examine(ctx context.Context, agentOnly bool) (diagnosis.Report, error) {
	var report diagnosis.Report
	say := func(check string, grade diagnosis.Grade, format string, args ...any) {
		report.Add(diagnosis.NewOutcome(check, diagnosis.Finding{Grade: grade, What: fmt.Sprintf(format, args...)}))
	}
	cfg, err := c.load()
	if err != nil {
		say("configuration", diagnosis.Fail, "%v", err)
		return report, nil
	}
	say("configuration", diagnosis.Pass, "%s", c.configFile)
	if cfg.Trust.AllowUnsigned {
		say("trust", diagnosis.Warn, "trust.allow_unsigned is set: for development only")
	} else if len(cfg.Trust.Keys) == 0 {
		say("trust", diagnosis.Fail, "trust.keys is empty: every task is refused; add the control plane's public key")
	}
	for _, key := range cfg.Keyring().Keys {
		switch left := time.Until(key.Until); {
		case key.Until.IsZero():
		case left <= 0:
			say("trust", diagnosis.Warn, "key %s of trust.keys counted until %s", key.ID(), key.Until.Format(time.DateOnly))
		case left < keyWarning:
			say("trust", diagnosis.Warn, "key %s of trust.keys counts until %s only", key.ID(), key.Until.Format(time.DateOnly))
		}
	}
	for _, file := range []string{cfg.NATS.CredentialsFile, cfg.NATS.KeyFile} {
		if info, err := os.Stat(file); file != "" && err == nil && info.Mode().Perm()&0o077 != 0 {
			say("secrets", diagnosis.Fail, "%s can be read by others (mode %04o): run chmod 600 on it", file, info.Mode().Perm())
		}
	}
	installation, err := journal.ReadInstallation(cfg.StateDir)
	if err != nil {
		say("state", diagnosis.Warn, "%s has no state yet: %v", cfg.StateDir, err)
	} else {
		say("state", diagnosis.Pass, "installation %s", installation.ID)
	}
	alone := askDaemon(ctx, cfg, say)
	askSteps(ctx, say)
	tools := step.Tools{Root: cfg.Host.Root, Paths: cfg.ToolPaths()}
	for _, tool := range []string{"npu-smi", "upgrade-tool", "hccn_tool"} {
		if path, err := tools.Find(tool); err != nil {
			say(tool, diagnosis.Warn, "%v", err)
		} else {
			say(tool, diagnosis.Pass, "%s", path)
		}
	}
	if cfg.Executors.PluginDir != "" {
		plugins, err := c.plugins(cfg)
		if err != nil {
			say("plug-ins", diagnosis.Warn, "%v", err)
		} else {
			say("plug-ins", diagnosis.Pass, "%s", strings.Join(slices.Sorted(maps.Keys(plugins)), ", "))
		}
	}
	switch {
	case agentOnly:
		return report, nil
	case alone != "":
		say("host", diagnosis.Skip, "%s", alone)
		return report, nil
	}
	return c.examineHost(ctx, cfg, tools, report)
}

// examineHost adds the checks of DIAGNOSIS.
func (c *cli) examineHost(ctx context.Context, cfg config.Config, tools step.Tools, report diagnosis.Report) (diagnosis.Report, error) {
	host, err := diagnosis.Diagnosis{Root: cfg.Host.Root, AtOnce: int(cfg.HDK.CardsAtOnce)}.Examine(ctx, tools, nil, nil)
	if err != nil {
		return report, err
	}
	own := report.Checks
	report = host
	report.Checks = nil
	for _, o := range append(own, host.Checks...) {
		report.Add(o)
	}
	return report, nil
}

// askSteps says how programs of tasks are started here.
func askSteps(ctx context.Context, say func(string, diagnosis.Grade, string, ...any)) {
	surroundings := step.Here(nil)
	if err := surroundings.Ready(ctx); err != nil {
		say("steps", diagnosis.Fail, "%v; what acts on the host waits until it can be", err)
		return
	}
	if _, units := surroundings.(step.Systemd); !units {
		say("steps", diagnosis.Warn, "%s", surroundings)
		return
	}
	say("steps", diagnosis.Pass, "%s", surroundings)
}

// askDaemon says how the daemon is. alone is why the host's NPUs are to be left
// alone, "" if they need not be.
func askDaemon(ctx context.Context, cfg config.Config, say func(string, diagnosis.Grade, string, ...any)) (alone string) {
	s, err := local.Client{Path: agent.SocketPath(cfg)}.Status(ctx)
	switch {
	case errors.Is(err, local.ErrNotRunning):
		say("daemon", diagnosis.Warn, "%v", err)
		return ""
	case err != nil:
		say("daemon", diagnosis.Fail, "%v", err)
		return ""
	}
	say("daemon", diagnosis.Pass, "runs since %s", ago(s.StartedAt))
	if s.Broker.Connected {
		say("broker", diagnosis.Pass, "%s", s.Broker.Server)
	} else {
		say("broker", diagnosis.Fail, "not connected since %s: %s", ago(s.Broker.Since), s.Broker.LastError)
	}
	if s.Queue.Exclusive {
		return "a task has the host to itself; see devserver-agent tasks"
	}
	return ""
}

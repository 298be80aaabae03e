package command

import (
	"context"
	"errors"
	"fmt"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"devserver-agent/agent"
	"devserver-agent/agent/config"
	"devserver-agent/agent/journal"
	"devserver-agent/agent/local"
	"devserver-agent/agent/step"
)

// finding is one line of the doctor's report.
type finding struct {
	Check  string `json:"check"`
	Result string `json:"result"` // PASS, WARN or FAIL
	Detail string `json:"detail"`
}

func (c *cli) doctorCommand() *cobra.Command {
	return c.withJSON(&cobra.Command{
		Use: "doctor", Short: "Check what the agent needs on this host", Args: cobra.NoArgs,
		Long: "Check what the agent needs on this host: configuration, state directory, daemon,\nbroker and the vendor's tools. Nothing is changed and no NPU is touched.\nThe exit code is 1 if something failed.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			findings := c.examine(cmd.Context())
			if err := c.printFindings(findings); err != nil {
				return err
			}
			for _, f := range findings {
				if f.Result == "FAIL" {
					return exitCode(1)
				}
			}
			return nil
		},
	})
}

func (c *cli) examine(ctx context.Context) []finding {
	cfg, err := c.load()
	if err != nil {
		return []finding{{"configuration", "FAIL", err.Error()}}
	}
	findings := []finding{{"configuration", "PASS", c.configFile}}
	if cfg.Trust.AllowUnsigned {
		findings = append(findings, finding{"trust", "WARN", "trust.allow_unsigned is set: for development only"})
	} else if len(cfg.Trust.Keys) == 0 {
		findings = append(findings, finding{"trust", "FAIL", "trust.keys is empty: every task is refused; add the control plane's public key"})
	}
	installation, err := journal.ReadInstallation(cfg.StateDir)
	if err != nil {
		findings = append(findings, finding{"state", "WARN", fmt.Sprintf("%s has no state yet: %v", cfg.StateDir, err)})
	} else {
		findings = append(findings, finding{"state", "PASS", "installation " + installation.ID})
	}
	findings = append(findings, daemon(ctx, cfg)...)
	findings = append(findings, steps(ctx))
	tools := step.Tools{Root: cfg.Host.Root, Paths: cfg.ToolPaths()}
	for _, tool := range []string{"npu-smi", "upgrade-tool", "hccn_tool"} {
		path, err := tools.Find(tool)
		if err != nil {
			findings = append(findings, finding{tool, "WARN", err.Error()})
			continue
		}
		findings = append(findings, finding{tool, "PASS", path})
	}
	return findings
}

// steps says how programs of tasks are started here.
func steps(ctx context.Context) finding {
	surroundings := step.Here(nil)
	if err := surroundings.Ready(ctx); err != nil {
		return finding{"steps", "FAIL", fmt.Sprintf("%v; what acts on the host waits until it can be", err)}
	}
	if _, units := surroundings.(step.Systemd); !units {
		return finding{"steps", "WARN", surroundings.String()}
	}
	return finding{"steps", "PASS", surroundings.String()}
}

func daemon(ctx context.Context, cfg config.Config) []finding {
	s, err := local.Client{Path: agent.SocketPath(cfg)}.Status(ctx)
	switch {
	case errors.Is(err, local.ErrNotRunning):
		return []finding{{"daemon", "WARN", err.Error()}}
	case err != nil:
		return []finding{{"daemon", "FAIL", err.Error()}}
	}
	findings := []finding{{"daemon", "PASS", "runs since " + ago(s.StartedAt)}}
	if s.Broker.Connected {
		return append(findings, finding{"broker", "PASS", s.Broker.Server})
	}
	return append(findings, finding{"broker", "FAIL", "not connected since " + ago(s.Broker.Since) + ": " + s.Broker.LastError})
}

func (c *cli) printFindings(findings []finding) error {
	if c.json {
		return c.print(findings)
	}
	w := tabwriter.NewWriter(c.Stdout, 0, 0, 2, ' ', 0)
	for _, f := range findings {
		fmt.Fprintf(w, "%s\t%s\t%s\n", f.Result, f.Check, f.Detail)
	}
	return w.Flush()
}

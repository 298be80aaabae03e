package command

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"devserver-agent/agent"
	"devserver-agent/agent/audit"
)

func (c *cli) auditCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "audit", Short: "Show or verify what was asked of this host, what ran and what was refused", Args: cobra.NoArgs,
		Long: `The audit log says who asked this host for what, with which key it was signed, which
programs ran and how they ended, and what was refused. Each line carries the SHA-256
of the one before.`,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	var task string
	show := c.withJSON(&cobra.Command{
		Use: "show", Short: "Print the lines, the oldest first", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return c.showAudit(task) },
	})
	show.Flags().StringVar(&task, "task", "", "of this task only")
	verify := c.withJSON(&cobra.Command{
		Use: "verify", Short: "Follow the chain of the lines", Args: cobra.NoArgs,
		Long: `Follow the chain of the lines from the oldest there is. Whoever owned this host could
have written all of it anew: devserverctl server audit follows the lines that were sent
to the control plane as they came, and prints the same head if nobody did.
The exit code is 1 if the chain does not hold.`,
		RunE: func(*cobra.Command, []string) error { return c.verifyAudit() },
	})
	cmd.AddCommand(show, verify)
	for _, sub := range cmd.Commands() {
		sub.Args = usageArgs(sub.Args)
	}
	return cmd
}

func (c *cli) showAudit(task string) error {
	cfg, err := c.load()
	if err != nil {
		return err
	}
	var failed error
	err = audit.Read(agent.AuditDir(cfg.StateDir), func(line audit.Line, whole bool) bool {
		switch {
		case !whole:
			_, failed = fmt.Fprintln(c.Stdout, "(a line that cannot be read)")
		case task != "" && line.Task != task:
		case c.json:
			var raw []byte
			if raw, failed = json.Marshal(line); failed == nil {
				_, failed = fmt.Fprintf(c.Stdout, "%s\n", raw)
			}
		default:
			_, failed = fmt.Fprintln(c.Stdout, auditText(line))
		}
		return failed == nil
	})
	return errors.Join(err, failed)
}

// auditText is a line for people.
func auditText(l audit.Line) string {
	words := []string{time.UnixMilli(l.At).Format(time.RFC3339), fmt.Sprintf("%-9s", l.Event)}
	add := func(name, value string) {
		if value != "" {
			words = append(words, name+value)
		}
	}
	add("task ", l.Task)
	add("job ", l.Job)
	add("by ", l.User)
	add("key ", l.Key)
	add("", strings.Join(l.Items, ","))
	add("step ", l.Step)
	if len(l.Argv) > 0 {
		add("", fmt.Sprintf("%q", l.Argv))
	}
	add("", l.Outcome)
	if l.Exit != nil {
		add("exit code ", fmt.Sprint(*l.Exit))
	}
	add("", l.Status)
	add("", l.Code)
	if l.Count > 1 {
		add("times ", fmt.Sprint(l.Count))
	}
	if l.Message != "" {
		add("", fmt.Sprintf("%q", l.Message))
	}
	return strings.Join(words, " ")
}

func (c *cli) verifyAudit() error {
	cfg, err := c.load()
	if err != nil {
		return err
	}
	report, err := audit.Verify(agent.AuditDir(cfg.StateDir))
	if err != nil {
		return err
	}
	if c.json {
		err = c.print(report)
	} else if report.Broken != "" {
		_, err = fmt.Fprintf(c.Stdout, "BROKEN: %s\n", report.Broken)
	} else {
		_, err = fmt.Fprintf(c.Stdout, "%d lines, %d to %d, hold together; the head is %s\n", report.Lines, report.First, report.Last, report.Head)
	}
	if err == nil && report.Broken != "" {
		return exitCode(1)
	}
	return err
}

package command

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"devserver-agent/cmd/devserverctl/client"
	"devserver-agent/cmd/devserverctl/watch"
)

func (s *session) serverCommand() *cobra.Command {
	server := &cobra.Command{
		Use: "server", Short: "Look at the servers of the fleet",
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	server.AddCommand(s.serverListCommand(), s.auditCommand(), s.lostCommand())
	return server
}

func (s *session) serverListCommand() *cobra.Command {
	silent := false
	cmd := &cobra.Command{
		Use: "list", Short: "List the servers and how they are",
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			list, print := s.client.Servers, printServers
			if silent {
				list, print = s.client.SilentServers, printSilent
			}
			all, err := list(cmd.Context())
			if err != nil {
				return err
			}
			if s.json {
				return printJSON(cmd.OutOrStdout(), all.Raw)
			}
			warnStopped(cmd.ErrOrStderr(), all.Stopped)
			return print(cmd.OutOrStdout(), all.Data, time.Now())
		},
	}
	cmd.Flags().BoolVar(&silent, "silent", false, "only those that fell silent, or have tasks and were never seen: since when, and what they were doing")
	return cmd
}

func (s *session) auditCommand() *cobra.Command {
	lines := 0
	cmd := &cobra.Command{
		Use: "audit SERVER", Short: "Print the audit log that a host has sent, and whether its chain holds",
		Long: `Print the newest lines of the audit log that a host has sent, as JSON: who asked it for
what, which key signed, what ran and how it ended, what was refused. Each line carries
the SHA-256 of the one before; the exit code is 1 if that does not hold, as when a log
was written anew by whoever owns the host now.`,
		Args: args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, ids []string) error {
			trail, err := s.client.Audit(cmd.Context(), ids[0], lines)
			if err != nil {
				return err
			}
			out := cmd.OutOrStdout()
			if s.json {
				err = printJSON(out, trail.Raw)
			} else {
				err = printTrail(out, trail)
			}
			if err == nil && trail.Broken != "" {
				err = errFailed
			}
			return err
		},
	}
	cmd.Flags().IntVar(&lines, "limit", 100, "the most lines to print, up to 10000")
	return cmd
}

func printTrail(out io.Writer, trail client.Trail) error {
	for _, line := range trail.Lines {
		if _, err := fmt.Fprintf(out, "%s\n", line); err != nil {
			return err
		}
	}
	if trail.First == 0 && trail.Broken == "" {
		_, err := fmt.Fprintf(out, "%s: the broker has no line of its audit log; check the id with devserverctl server list\n", trail.ServerID)
		return err
	}
	state := "the chain holds"
	if trail.Broken != "" {
		state = "THE CHAIN DOES NOT HOLD: " + trail.Broken
	}
	if trail.Missing > 0 {
		state += fmt.Sprintf(", %d lines are missing", trail.Missing)
	}
	_, err := fmt.Fprintf(out, "%s: lines %d to %d, %s; head %s\n", trail.ServerID, trail.First, trail.Last, state, trail.Head)
	return err
}

func (s *session) lostCommand() *cobra.Command {
	return &cobra.Command{
		Use: "lost SERVER", Short: "Give a silent server up: its tasks end as HOST_LOST",
		Long: `Give a silent server up. What it had accepted ends FAILED with HOST_LOST; when it
returns it does nothing more for these tasks, and what it says of them is shown
as late. What it had not accepted of jobs whose servers wait for each other ends
too, so that the next server begins.`,
		Args: args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, ids []string) error {
			lost, err := s.client.LoseServer(cmd.Context(), ids[0])
			if err != nil {
				return err
			}
			if s.json {
				return printJSON(cmd.OutOrStdout(), lost.Raw)
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "server %s is given up, tasks ended: %d; query it when it returns\n", ids[0], lost.TasksEnded)
			return err
		},
	}
}

// printSilent lists a line for every task that a silent server keeps waiting.
func printSilent(out io.Writer, servers []client.Server, now time.Time) error {
	if len(servers) == 0 {
		_, err := fmt.Fprintln(out, "no server is silent")
		return err
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "ID\tNAME\tSTATE\tLAST SEEN\tPHASE\tJOB\tMESSAGE")
	for _, s := range servers {
		seen := ""
		if s.LastSeen != 0 {
			seen = s.LastSeen.Time().Format(time.RFC3339)
		}
		open := s.Open
		if len(open) == 0 {
			open = []client.OpenTask{{Message: "it has no tasks"}}
		}
		for _, t := range open {
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", s.ID, orDash(s.Name), serverState(s, now), orDash(seen),
				orDash(string(t.Phase)), orDash(t.JobID), watch.Clean(t.Message))
		}
	}
	return w.Flush()
}

func printServers(out io.Writer, servers []client.Server, now time.Time) error {
	if len(servers) == 0 {
		_, err := fmt.Fprintln(out, "no servers: no agent has reported yet")
		return err
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "ID\tNAME\tSTATE\tOPEN\tNPUS\tOS\tAGENT")
	for _, s := range servers {
		var os, agent, npus string
		if s.Facts != nil {
			os, agent, npus = s.Facts.OS, s.Facts.AgentVersion, countNPUs(s.Facts.NPUs)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%s\t%s\t%s\n", s.ID, orDash(s.Name), serverState(s, now), len(s.Open), orDash(npus), orDash(os), orDash(agent))
	}
	return w.Flush()
}

// serverState says how a server is: what an operator has to know first.
func serverState(s client.Server, now time.Time) string {
	switch {
	case s.Duplicate:
		return "DUPLICATE ID"
	case s.LastSeen == 0:
		return "never seen"
	case s.SilentSince != 0:
		return "silent for " + max(now.Sub(s.SilentSince.Time()), 0).Round(time.Second).String()
	case s.Facts != nil && s.Facts.Held:
		return "held"
	case s.Facts != nil && s.Facts.Draining:
		return "draining"
	}
	return "up"
}

// countNPUs makes "8 x 910b" of a list with an entry per chip.
func countNPUs(chips []string) string {
	counts := map[string]int{}
	var order []string
	for _, chip := range chips {
		if counts[chip]++; counts[chip] == 1 {
			order = append(order, chip)
		}
	}
	for i, chip := range order {
		order[i] = fmt.Sprintf("%d x %s", counts[chip], chip)
	}
	return strings.Join(order, ", ")
}

func orDash(text string) string { return orElse(watch.Clean(text), "-") }

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
	server.AddCommand(&cobra.Command{
		Use: "list", Short: "List the servers and how they are",
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			all, err := s.client.Servers(cmd.Context())
			if err != nil {
				return err
			}
			if s.json {
				return printJSON(cmd.OutOrStdout(), all.Raw)
			}
			return printServers(cmd.OutOrStdout(), all.Data, time.Now())
		},
	})
	return server
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

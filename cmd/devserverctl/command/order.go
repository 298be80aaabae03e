package command

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"devserver-agent/cmd/devserverctl/client"
	"devserver-agent/cmd/devserverctl/watch"
)

// orderCommands tell a job how to go on.
func (s *session) orderCommands() []*cobra.Command {
	return []*cobra.Command{
		s.orderCommand("pause", "Keep a job from handing out anything new; what runs goes on", "is paused; what runs goes on", s.client.PauseJob),
		s.orderCommand("resume", "Let a paused job go on", "goes on", func(ctx context.Context, id, _ string) (client.Job, error) {
			return s.client.ResumeJob(ctx, id)
		}),
		s.orderCommand("cancel", "Cancel what has not ended of a job, which stays in the list", "is cancelled; what runs stops before its next action", s.client.CancelJob),
	}
}

func (s *session) orderCommand(name, short, done string, give func(ctx context.Context, id, why string) (client.Job, error)) *cobra.Command {
	why := ""
	cmd := &cobra.Command{
		Use: name + " JOB", Short: short,
		Args: args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, ids []string) error {
			job, err := give(cmd.Context(), ids[0], why)
			if err != nil {
				return err
			}
			if s.json {
				return printJSON(cmd.OutOrStdout(), job.Raw)
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "job %s (%s) %s\n", watch.Clean(job.Name), ids[0], done)
			return err
		},
	}
	if name != "resume" {
		cmd.Flags().StringVar(&why, "reason", "", "why, for who looks at the job")
	}
	return cmd
}

func (s *session) fleetCommand() *cobra.Command {
	fleet := &cobra.Command{
		Use: "fleet", Short: "Stop and resume the whole fleet; say who may use its broker",
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	why := ""
	stop := s.fleetOrder("stop", "Hand out nothing new anywhere until resumed; what runs goes on", func(ctx context.Context) (client.Fleet, error) {
		if why == "" {
			return client.Fleet{}, usage(fmt.Errorf("--reason is missing: who finds the fleet stopped has to know why"))
		}
		return s.client.StopFleet(ctx, why)
	})
	stop.Flags().StringVar(&why, "reason", "", "why, for who finds the fleet stopped (required)")
	fleet.AddCommand(stop,
		s.fleetOrder("resume", "End a stop", s.client.ResumeFleet),
		s.fleetOrder("status", "Show whether the fleet is stopped, since when and why", s.client.Fleet),
		s.fleetInitCommand(), s.fleetEnrolCommand(), s.fleetTokenCommand(), s.fleetRevokeCommand(), s.fleetRenewCommand())
	return fleet
}

func (s *session) fleetOrder(name, short string, ask func(context.Context) (client.Fleet, error)) *cobra.Command {
	return &cobra.Command{
		Use: name, Short: short,
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			fleet, err := ask(cmd.Context())
			if err != nil {
				return err
			}
			if s.json {
				return printJSON(cmd.OutOrStdout(), fleet.Raw)
			}
			text := "the fleet is not stopped"
			if fleet.Stopped != nil {
				text = stoppedText(*fleet.Stopped)
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), text)
			return err
		},
	}
}

func stoppedText(o client.Order) string {
	text := fmt.Sprintf("the fleet is STOPPED since %s by %s", o.Since.Time().Format(time.RFC3339), watch.Clean(o.By))
	if reason := watch.Clean(o.Reason); reason != "" { // which is not needed at the API
		text += ": " + reason
	}
	return text + "; nothing new is handed out until devserverctl fleet resume"
}

// warnStopped says beside a list that the fleet is stopped.
func warnStopped(errOut io.Writer, o *client.Order) {
	if o != nil {
		fmt.Fprintln(errOut, stoppedText(*o))
	}
}

package command

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/spf13/cobra"

	"devserver-agent/cmd/devserverctl/client"
)

func (s *session) taskCommand() *cobra.Command {
	task := &cobra.Command{
		Use: "task", Short: "Look into the tasks of a job",
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	task.AddCommand(s.logsCommand())
	return task
}

func (s *session) logsCommand() *cobra.Command {
	follow := false
	cmd := &cobra.Command{
		Use: "logs [JOB] TASK", Short: "Print what a task's programs printed",
		Long: `Print what a task's programs printed, as it is: bytes of the host that may hold
control characters. TASK is a task's id; after JOB also a server's id or name.`,
		Args: args(cobra.RangeArgs(1, 2)),
		RunE: func(cmd *cobra.Command, ids []string) error {
			job, task, err := s.findTask(cmd.Context(), ids)
			if err != nil {
				return err
			}
			if follow {
				return s.client.FollowOutput(cmd.Context(), job, task, cmd.OutOrStdout())
			}
			return s.client.Output(cmd.Context(), job, task, cmd.OutOrStdout())
		},
	}
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "go on until the task has ended")
	return cmd
}

// findTask finds the task that the command line names.
func (s *session) findTask(ctx context.Context, ids []string) (job, task string, err error) {
	if len(ids) == 1 {
		j, t, err := s.client.FindTask(ctx, ids[0])
		return j.ID, t.ID, err
	}
	j, err := s.client.Job(ctx, ids[0])
	if err != nil {
		return "", "", err
	}
	for _, t := range j.Tasks {
		if ids[1] == t.ID || ids[1] == t.ServerID || ids[1] == t.ServerName {
			return j.ID, t.ID, nil
		}
	}
	return "", "", &client.Refusal{Status: 404, Message: fmt.Sprintf("job %s has no task or server %s", ids[0], ids[1])}
}

func printJSON(out io.Writer, text json.RawMessage) error {
	var value any
	if err := json.Unmarshal(text, &value); err != nil {
		return fmt.Errorf("print the answer: %w", err)
	}
	enc := json.NewEncoder(out)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(value)
}

func sortedKeys(m map[string]string) []string { return slices.Sorted(maps.Keys(m)) }

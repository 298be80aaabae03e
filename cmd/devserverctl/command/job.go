package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"devserver-agent/cmd/devserverctl/client"
	"devserver-agent/cmd/devserverctl/watch"
	"devserver-agent/protocol"
)

func (s *session) jobCommand() *cobra.Command {
	job := &cobra.Command{
		Use: "job", Short: "Create, show, pause and end jobs",
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	job.AddCommand(s.createCommand(), s.getCommand(), s.listCommand(), s.deleteCommand(), s.watchCommand())
	job.AddCommand(s.orderCommands()...)
	return job
}

func (s *session) getCommand() *cobra.Command {
	return &cobra.Command{
		Use: "get JOB", Short: "Show a job and its tasks as they are now",
		Args: args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, ids []string) error {
			job, err := s.client.Job(cmd.Context(), ids[0])
			if err != nil {
				return err
			}
			if s.json {
				return printJSON(cmd.OutOrStdout(), job.Raw)
			}
			printJob(cmd.OutOrStdout(), job, s.style(cmd.OutOrStdout()))
			return nil
		},
	}
}

func printJob(out io.Writer, job client.Job, style watch.Style) {
	fmt.Fprintf(out, "type     %s\n", job.Type)
	for _, item := range job.Items {
		fmt.Fprintf(out, "item     %s\n", formatItem(item))
	}
	if job.Description != "" {
		fmt.Fprintf(out, "about    %s\n", watch.Clean(job.Description))
	}
	if job.MaxConcurrent > 0 {
		fmt.Fprintf(out, "at once  %d servers\n", job.MaxConcurrent)
	}
	if job.MaxFailures > 0 {
		fmt.Fprintf(out, "until    %d have failed\n", job.MaxFailures)
	}
	fmt.Fprintf(out, "created  %s by %s\n\n", job.CreatedAt.Time().Format(time.RFC3339), watch.Clean(job.UserName))
	watch.WriteTable(out, job, style)
}

// formatItem writes an item as job create reads it.
func formatItem(item protocol.Item) string {
	escape := strings.NewReplacer(`\`, `\\`, ",", `\,`)
	text := item.Type
	for _, key := range sortedKeys(item.Spec) {
		text += "," + key + "=" + escape.Replace(item.Spec[key])
	}
	return watch.Clean(text)
}

func (s *session) listCommand() *cobra.Command {
	var filter client.Filter
	cmd := &cobra.Command{
		Use: "list", Short: "List jobs, the newest first",
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			page, err := s.client.Jobs(cmd.Context(), filter)
			if err != nil {
				return err
			}
			if s.json {
				return printJSON(cmd.OutOrStdout(), page.Raw)
			}
			warnStopped(cmd.ErrOrStderr(), page.Stopped)
			return printJobs(cmd.OutOrStdout(), page)
		},
	}
	cmd.Flags().StringVar(&filter.Status, "status", "", "only those PROCESSING, FINISHED or DELETED")
	cmd.Flags().StringVar(&filter.Type, "type", "", "only those of this job type")
	cmd.Flags().IntVar(&filter.Limit, "limit", 100, "at most so many; 0 for all")
	cmd.Flags().StringVar(&filter.Name, "name", "", "only those of this name")
	return cmd
}

func printJobs(out io.Writer, page client.Page) error {
	if len(page.Data) == 0 {
		_, err := fmt.Fprintln(out, "no jobs")
		return err
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "ID\tNAME\tTYPE\tSTATUS\tFAILED\tCREATED")
	for _, j := range page.Data {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%d\t%s", j.ID, watch.Clean(j.Name), j.Type, j.Status, j.AbnormalCount, j.CreatedAt.Time().Format(time.RFC3339))
		if j.Message != "" {
			fmt.Fprintf(w, "\t%s", watch.Clean(j.Message))
		}
		fmt.Fprintln(w)
	}
	if more := page.Total - int64(len(page.Data)); more > 0 {
		fmt.Fprintf(w, "and %d more, see --limit\n", more)
	}
	return w.Flush()
}

func (s *session) deleteCommand() *cobra.Command {
	return &cobra.Command{
		Use: "delete JOB...", Short: "Delete jobs; what has not ended of them is cancelled",
		Args: args(cobra.MinimumNArgs(1)),
		RunE: func(cmd *cobra.Command, ids []string) error {
			page, err := s.client.DeleteJobs(cmd.Context(), ids)
			if err != nil {
				return err
			}
			if s.json {
				return printJSON(cmd.OutOrStdout(), page.Raw)
			}
			return reportDeleted(cmd.OutOrStdout(), ids, page)
		},
	}
}

func reportDeleted(out io.Writer, ids []string, page client.Page) error {
	found := map[string]client.Job{}
	for _, j := range page.Data {
		found[j.ID] = j
	}
	var missing []error
	for _, id := range ids {
		if j, ok := found[id]; ok {
			fmt.Fprintf(out, "job %s (%s) is deleted\n", watch.Clean(j.Name), id)
			continue
		}
		missing = append(missing, &client.Refusal{Status: 404, Message: fmt.Sprintf("there is no job %s", id)})
	}
	return errors.Join(missing...)
}

func (s *session) watchCommand() *cobra.Command {
	return &cobra.Command{
		Use: "watch JOB", Short: "Show a job until it has ended",
		Long: `Show a job until it has ended: with a progress bar per server on a terminal,
with a line per change elsewhere, with a line of JSON per change with --json.
Interrupting it leaves the job alone.`,
		Args: args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, ids []string) error { return s.watchJob(cmd, ids[0]) },
	}
}

func (s *session) watchJob(cmd *cobra.Command, id string) error {
	ctx := cmd.Context()
	follow := func(ctx context.Context, fn func(client.Job, bool) error) error { return s.client.Follow(ctx, id, fn) }
	job, err := watch.Run(ctx, &s.client, follow, s.display(cmd.OutOrStdout()))
	if ctx.Err() != nil {
		return fmt.Errorf("stopped watching, the job goes on; see how it goes: devserverctl job watch %s (%w)", id, ctx.Err())
	}
	if err != nil {
		return err
	}
	for _, t := range job.Tasks {
		if t.Status != protocol.Success {
			return errFailed
		}
	}
	return nil
}

func (s *session) display(out io.Writer) watch.Display {
	file, isFile := out.(*os.File)
	switch {
	case s.json:
		return &watch.JSON{Out: out}
	case isFile && term.IsTerminal(int(file.Fd())):
		return &watch.Bars{Out: out, Style: s.style(out), Size: func() (width, height int) {
			width, height, err := term.GetSize(int(file.Fd()))
			if err != nil || width <= 0 || height <= 0 {
				return 80, 24
			}
			return width, height
		}}
	}
	return &watch.Lines{Out: out}
}

// style is coloured on a terminal that may be coloured.
func (s *session) style(out io.Writer) watch.Style {
	file, isFile := out.(*os.File)
	return watch.Style(isFile && !s.noColor && term.IsTerminal(int(file.Fd())))
}

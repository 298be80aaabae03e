package command

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"devserver-agent/agent"
	"devserver-agent/agent/config"
	"devserver-agent/agent/journal"
	"devserver-agent/agent/local"
	"devserver-agent/protocol"
)

func (c *cli) print(value any) error {
	enc := json.NewEncoder(c.Stdout)
	enc.SetIndent("", "  ")
	return enc.Encode(value)
}

func (c *cli) printConfig(sample bool) error {
	if sample {
		_, err := c.Stdout.Write(config.Sample())
		return err
	}
	cfg, err := c.load()
	if err != nil {
		return err
	}
	_, err = fmt.Fprint(c.Stdout, cfg)
	return err
}

func (c *cli) statusCommand() *cobra.Command {
	return c.withJSON(&cobra.Command{
		Use: "status", Short: "Say how the agent and its broker are", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return c.status(cmd.Context()) },
	})
}

// status asks the daemon, and reads the state directory if none runs.
func (c *cli) status(ctx context.Context) error {
	cfg, err := c.load()
	if err != nil {
		return err
	}
	s, err := local.Client{Path: agent.SocketPath(cfg)}.Status(ctx)
	if errors.Is(err, local.ErrNotRunning) {
		return c.statusDown(cfg)
	}
	if err != nil {
		return err
	}
	if c.json {
		return c.print(s)
	}
	broker := "not connected since " + ago(s.Broker.Since)
	if s.Broker.Connected {
		broker = "connected to " + s.Broker.Server + " since " + ago(s.Broker.Since)
	} else if s.Broker.LastError != "" {
		broker += ": " + s.Broker.LastError
	}
	w := tabwriter.NewWriter(c.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "server\t%s\nagent\t%s, running since %s\nbroker\t%s\n", s.ServerID, s.Version, ago(s.StartedAt), broker)
	fmt.Fprintf(w, "tasks\t%d open, running: %s, waiting: %s\n", s.Open, list(s.Queue.Running), list(s.Queue.Waiting))
	for _, note := range []struct {
		on   bool
		text string
	}{
		{s.Queue.Held, "exclusive work is held (devserver-agent hold --off lifts it)"},
		{s.Queue.Draining, "nothing new is started (devserver-agent drain --off lifts it)"},
		{s.Queue.Occupied, "a program that must not be killed is still running; exclusive work waits for it"},
		{s.DiskFull, "the disk of the state directory is full: nothing new is accepted"},
		{s.Unsigned, "\x1b[31mtrust.allow_unsigned: anyone who can write to the broker runs tasks here as root\x1b[0m"},
	} {
		if note.on {
			fmt.Fprintf(w, "note\t%s\n", note.text)
		}
	}
	for _, code := range slices.Sorted(maps.Keys(s.Notices)) {
		fmt.Fprintf(w, "refused\t%d %s: %s\n", s.Notices[code], code, protocol.Explain(code).Remedy)
	}
	for _, v := range s.Broker.Violations {
		fmt.Fprintf(w, "denied\t%s\n", v)
	}
	return w.Flush()
}

func (c *cli) statusDown(cfg config.Config) error {
	installation, err := journal.ReadInstallation(cfg.StateDir)
	if err != nil {
		return fmt.Errorf("%w, and its state directory cannot be read: %w", local.ErrNotRunning, err)
	}
	open, err := os.ReadDir(filepath.Join(cfg.StateDir, "open"))
	if err != nil {
		return err
	}
	if c.json {
		return errors.Join(c.print(map[string]any{"running": false, "server_id": cfg.ServerID, "installation_id": installation.ID, "open": len(open)}), exitCode(1))
	}
	fmt.Fprintf(c.Stdout, "No agent runs here. %d tasks are open in %s; the next agent takes them up.\n", len(open), cfg.StateDir)
	return exitCode(1)
}

func (c *cli) tasksCommand() *cobra.Command {
	return c.withJSON(&cobra.Command{
		Use: "tasks", Short: "List the tasks this host knows, newest first", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			cfg, err := c.load()
			if err != nil {
				return err
			}
			views, err := journal.ReadAll(cfg.StateDir)
			if err != nil {
				return err
			}
			if c.json {
				return c.print(views)
			}
			w := tabwriter.NewWriter(c.Stdout, 0, 0, 2, ' ', 0)
			fmt.Fprintln(w, "TASK\tWORK\tSTATUS\tPHASE\tSINCE\tMESSAGE")
			for _, v := range views {
				s := v.Latest()
				fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", v.ID, work(v), s.Status, s.Phase, ago(s.At), firstLine(s.Message))
			}
			return w.Flush()
		},
	})
}

func work(v journal.View) string {
	if v.Accept.Task == nil {
		return "(cancelled before it came)"
	}
	var types []string
	for _, item := range v.Accept.Task.Items {
		types = append(types, item.Type)
	}
	return strings.Join(types, ",")
}

func (c *cli) logsCommand() *cobra.Command {
	var follow bool
	cmd := &cobra.Command{
		Use: "logs TASK", Short: "Print what a task's programs wrote", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, err := c.load()
			if err != nil {
				return err
			}
			return c.follow(cmd.Context(), cfg.StateDir, args[0], follow)
		},
	}
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "go on until the task has its verdict")
	return cmd
}

// follow prints the output of a task's items, and goes on until the verdict if
// it is asked to.
func (c *cli) follow(ctx context.Context, stateDir, id string, on bool) error {
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	offsets := map[int]int64{}
	for {
		v, err := journal.ReadTask(stateDir, id)
		if err != nil {
			return err
		}
		if v.Accept.Task != nil {
			for i := range v.Accept.Task.Items {
				if err := c.copyOutput(stateDir, id, i, offsets); err != nil {
					return err
				}
			}
		}
		if !on || v.Latest().Status.Terminal() {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

func (c *cli) copyOutput(stateDir, id string, item int, offsets map[int]int64) error {
	file, err := os.Open(filepath.Join(stateDir, "tasks", id, "output", strconv.Itoa(item)))
	if errors.Is(err, os.ErrNotExist) {
		return nil // it has written nothing yet
	}
	if err != nil {
		return err
	}
	defer file.Close()
	if _, err := file.Seek(offsets[item], io.SeekStart); err != nil {
		return err
	}
	n, err := io.Copy(c.Stdout, file)
	offsets[item] += n
	return err
}

func ago(ms int64) string {
	if ms == 0 {
		return "-"
	}
	return time.UnixMilli(ms).Format(time.DateTime)
}

func list(ids []string) string {
	if len(ids) == 0 {
		return "none"
	}
	return strings.Join(ids, " ")
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}

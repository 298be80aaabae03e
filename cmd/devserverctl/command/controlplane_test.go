package command

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/rogpeppe/go-internal/testscript"

	"devserver-agent/cmd/devserverctl/client"
	"devserver-agent/controlplane"
	"devserver-agent/controlplane/broker"
	"devserver-agent/protocol"
	"devserver-agent/test/support/wait"
)

// startControlPlane starts a real control plane with its own NATS, which the
// script's commands then ask.
func startControlPlane(ts *testscript.TestScript, _ bool, _ []string) {
	ctx, cancel := context.WithTimeout(context.Background(), wait.Patience)
	defer cancel()
	c, err := controlplane.Start(ctx, controlplane.Options{
		Listen: "127.0.0.1:0", DataDir: filepath.Join(ts.Getenv("WORK"), "controlplane"),
		Broker: broker.Options{Listen: "127.0.0.1:0"},
		// A deleted job of an idle host ends at once.
		EpochGrace: time.Millisecond, HaltGrace: time.Millisecond, JudgeEvery: 50 * time.Millisecond,
	})
	ts.Check(err)
	ts.Defer(c.Close)
	ts.Setenv("DEVSERVERCTL_API", "http://"+c.Addr())
	ts.Setenv("NATS", c.NATS())
}

// hostSays lets a host speak over NATS, as its agent would:
//
//	host SERVER is NAME
//	host SERVER says STATUS PHASE PERCENT MESSAGE   of its oldest open task
//	host SERVER prints OFFSET TEXT                  of the same
func hostSays(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 3 {
		ts.Fatalf("usage: host SERVER is|says|prints ...")
	}
	nc, err := nats.Connect(ts.Getenv("NATS"), nats.Timeout(wait.Patience))
	ts.Check(err)
	defer nc.Close()
	server := args[0]
	store := func(subject string, message any) {
		text, err := json.Marshal(message)
		ts.Check(err)
		reply, err := nc.Request(subject, text, wait.Patience)
		ts.Check(err)
		if strings.Contains(string(reply.Data), `"error"`) {
			ts.Fatalf("%s: %s", subject, reply.Data)
		}
	}
	now := protocol.Millis(time.Now())
	if args[1] == "is" {
		store(protocol.FactsSubject(server), protocol.Facts{
			ServerID: server, ServerName: args[2], InstallationID: "i-" + server, BootID: "b", AgentVersion: "1.0.0", NPUs: []string{"910b"}, At: now,
		})
		return
	}
	task := openTask(ts, server)
	switch args[1] {
	case "says":
		percent, err := strconv.Atoi(args[4])
		ts.Check(err)
		status := protocol.Status{
			TaskID: task.TaskID, JobID: task.JobID, ServerID: server, InstallationID: "i-" + server, Seq: percent + 1,
			Status: protocol.State(args[2]), Phase: protocol.Phase(args[3]), Percent: percent, Message: args[5], At: now,
		}
		if status.Status.Terminal() {
			status.Items = []protocol.ItemOutput{{Bytes: int64(outputBytes(ts))}}
		}
		if status.Status == protocol.Failed {
			status.Code = protocol.HDKUnreadable
		}
		store(protocol.StatusSubject(server), status)
	case "prints":
		offset, err := strconv.ParseInt(args[2], 10, 64)
		ts.Check(err)
		store(protocol.OutputSubject(server, task.TaskID), protocol.Chunk{
			TaskID: task.TaskID, ServerID: server, InstallationID: "i-" + server, Offset: offset, Data: []byte(args[3] + "\n"),
		})
	default:
		ts.Fatalf("host %s %s?", server, args[1])
	}
}

// outputBytes is what the script says its tasks print, BYTES.
func outputBytes(ts *testscript.TestScript) int {
	if ts.Getenv("BYTES") == "" {
		return 0
	}
	n, err := strconv.Atoi(ts.Getenv("BYTES"))
	ts.Check(err)
	return n
}

func openTask(ts *testscript.TestScript, server string) client.OpenTask {
	c := client.Client{Server: ts.Getenv("DEVSERVERCTL_API"), Project: "default"}
	all, err := c.Servers(context.Background())
	ts.Check(err)
	for _, s := range all.Data {
		if s.ID == server && len(s.Open) > 0 {
			ts.Setenv("TASK", s.Open[0].TaskID)
			return s.Open[0]
		}
	}
	ts.Fatalf("server %s has no open task", server)
	return client.OpenTask{}
}

// await reads a file, or runs a command, until what it holds or prints matches:
//
//	await PATTERN file NAME
//	await PATTERN COMMAND...
//
// With a group in PATTERN, what it matched becomes FOUND.
func await(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: await PATTERN file NAME | COMMAND...")
	}
	pattern := regexp.MustCompile("(?m)" + args[0])
	ts.Check(wait.Within(wait.Patience, func() error {
		last := show(ts, args[1:])
		m := pattern.FindStringSubmatch(last)
		if m == nil {
			return fmt.Errorf("no match for %s within %s in:\n%s", args[0], wait.Patience, last)
		}
		if len(m) > 1 {
			ts.Setenv("FOUND", m[1])
		}
		return nil
	}))
}

// show is what a file holds, nothing while it is not there, or what a command
// prints.
func show(ts *testscript.TestScript, args []string) string {
	if args[0] != "file" {
		ts.Check(ts.Exec(args[0], args[1:]...))
		return ts.ReadFile("stdout")
	}
	text, err := os.ReadFile(ts.MkAbs(args[1]))
	if !errors.Is(err, fs.ErrNotExist) {
		ts.Check(err)
	}
	return string(text)
}

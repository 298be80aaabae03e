package watch

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"devserver-agent/cmd/devserverctl/client"
	"devserver-agent/protocol"
	"devserver-agent/test/support/golden"
)

func TestMain(m *testing.M) {
	time.Local = time.UTC // for the times in goldens
	os.Exit(m.Run())
}

const minute = 60_000

// states are a job as it goes: three servers of every kind.
func states(t *testing.T) []client.Job {
	t.Helper()
	task := func(id, name string, state protocol.State, phase protocol.Phase, percent int, message string) client.Task {
		return client.Task{
			ID: "t-" + id, ServerID: id, ServerName: name, Status: state, Phase: phase, Percent: percent, Message: message,
			CreatedAt: 10 * minute, UpdatedAt: 10*minute + client.Millis(percent)*130,
		}
	}
	failed := task("310p-1", "", protocol.Failed, protocol.Done, 30, "npu-smi info did not end within 20 s\nand no version.info is there")
	failed.Code, failed.Remedy = protocol.ToolTimeout, protocol.Explain(protocol.ToolTimeout).Remedy
	reboot := task("a3-1", "机房三号", protocol.Success, protocol.Done, 100, "Driver: 24.1.rc3.10 | Firmware: 7.5.0.109.220")
	reboot.Code, reboot.Remedy = protocol.RebootRequired, protocol.Explain(protocol.RebootRequired).Remedy
	steps := [][]client.Task{
		{task("a2-1", "liteserver-978c-00001", protocol.Processing, "", 0, "server a2-1 has never been seen"), task("a3-1", "机房三号", protocol.Processing, protocol.Accepted, 0, ""), task("310p-1", "", protocol.Processing, protocol.Running, 30, "npu-smi info -l")},
		{task("a2-1", "liteserver-978c-00001", protocol.Processing, protocol.Running, 45, "npu-smi info -t board -i 3, a step with a name that is far too long for the line of a terminal"), task("a3-1", "机房三号", protocol.Processing, protocol.Verifying, 90, "waiting for \x1b[31mthe driver\x07"), failed},
		{task("a2-1", "liteserver-978c-00001", protocol.Success, protocol.Done, 100, "Driver: 24.1.0.3 | Firmware: 7.5.0.5.220"), reboot, failed},
	}
	jobs := make([]client.Job, 0, len(steps))
	for i, tasks := range steps {
		j := client.Job{ID: "64e004ec-6cb0-401f-a7c0-ec2557626b16", Name: "which-hdk", Type: "ASCEND_SOFTWARE_QUERY", Status: "PROCESSING", Tasks: tasks}
		if i == len(steps)-1 {
			j.Status = "FINISHED"
		}
		for k := range tasks {
			raw, err := json.Marshal(tasks[k])
			if err != nil {
				t.Fatal(err)
			}
			tasks[k].Raw = raw
		}
		raw, err := json.Marshal(j)
		if err != nil {
			t.Fatal(err)
		}
		j.Raw = raw
		jobs = append(jobs, j)
	}
	return jobs
}

// source gives the states and, before the last one, loses its connection.
func source(jobs []client.Job) Source {
	next := 0
	return func(_ context.Context, fn func(client.Job, bool) error) error {
		for ; next < len(jobs); next++ {
			if next == len(jobs)-1 && next > 0 {
				jobs, next = jobs[next:], 0
				return &client.Unreachable{Server: "http://127.0.0.1:8080", Err: errors.New("the connection was cut")}
			}
			if err := fn(jobs[next], false); err != nil {
				return err
			}
		}
		return nil
	}
}

func TestDisplays(t *testing.T) {
	size := func() (int, int) { return 90, 24 }
	for name, display := range map[string]func(*bytes.Buffer) Display{
		"lines":         func(out *bytes.Buffer) Display { return &Lines{Out: out} },
		"json":          func(out *bytes.Buffer) Display { return &JSON{Out: out} },
		"bars":          func(out *bytes.Buffer) Display { return &Bars{Out: out, Size: size} },
		"bars-coloured": func(out *bytes.Buffer) Display { return &Bars{Out: out, Size: size, Style: Coloured} },
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			jobs := states(t)
			synctest.Test(t, func(t *testing.T) {
				job, err := Run(t.Context(), &client.Client{}, source(jobs), display(&out))
				if err != nil || job.Status != "FINISHED" {
					t.Errorf("ended %s, %v", job.Status, err)
				}
			})
			golden.Compare(t, "testdata/"+name+".golden", strings.ReplaceAll(out.String(), "\x1b", "^["))
		})
	}
}

// rolling is a job that rolls over four servers, is paused in the middle, goes
// on and ends early.
func rolling() []client.Job {
	task := func(id string, state protocol.State, phase protocol.Phase, message string) client.Task {
		return client.Task{ID: "t-" + id, ServerID: id, Status: state, Phase: phase, Message: message, CreatedAt: 10 * minute, UpdatedAt: 11 * minute}
	}
	const slot = "waits for a slot: the job may have 1 server at work at once"
	failed := task("a2-1", protocol.Failed, protocol.Done, "the installer ended with 1")
	job := client.Job{ID: "64e004ec", Name: "to-rc3", Type: "ASCEND_SOFTWARE_UPGRADE", Status: "PROCESSING", MaxConcurrent: 1, MaxFailures: 1}
	begun, paused, on, end := job, job, job, job
	begun.Tasks = []client.Task{task("a2-1", protocol.Processing, protocol.Running, "driver"), task("a2-2", protocol.Processing, "", slot)}
	paused.Tasks, paused.Paused = begun.Tasks, &client.Order{Since: 11 * minute, By: "local", Reason: "lunch"}
	paused.Message = "the job is paused since 1970-01-01T00:11:00Z by local: lunch; what runs goes on, 1 task waits"
	on.Tasks = begun.Tasks
	end.Tasks, end.Status, end.Halted = []client.Task{failed, task("a2-2", protocol.Deleted, protocol.Done, "never handed out")}, "FINISHED", true
	end.Message = "ended early, because 1 task had failed (max_failures): 1 of 2 were never handed out, and nothing was started there"
	return []client.Job{begun, paused, on, end}
}

func TestARollingJobSaysWhyItDoesNotGoOn(t *testing.T) {
	for name, display := range map[string]func(*bytes.Buffer) Display{
		"rolling-lines": func(out *bytes.Buffer) Display { return &Lines{Out: out} },
		"rolling-bars":  func(out *bytes.Buffer) Display { return &Bars{Out: out, Size: func() (int, int) { return 100, 24 }} },
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			synctest.Test(t, func(t *testing.T) {
				if _, err := Run(t.Context(), &client.Client{}, source(rolling()), display(&out)); err != nil {
					t.Error(err)
				}
			})
			golden.Compare(t, "testdata/"+name+".golden", strings.ReplaceAll(out.String(), "\x1b", "^["))
		})
	}
}

func TestBarsFitTheTerminal(t *testing.T) {
	job := states(t)[1]
	for i := range 40 {
		job.Tasks = append(job.Tasks, client.Task{ID: fmt.Sprint(i), ServerID: fmt.Sprintf("waiting-%02d", i), Status: protocol.Processing, Message: strings.Repeat("长", 200)})
	}
	for _, size := range []struct{ width, height int }{{80, 24}, {90, 5}, {200, 100}, {20, 3}, {1, 1}} {
		lines := frame(job, size.width, size.height, Plain)
		if len(lines) > max(size.height, 3) {
			t.Errorf("%d lines on a terminal of %d", len(lines), size.height)
		}
		for _, line := range lines {
			if wide := textWidth(line); wide >= size.width && size.width >= 80 {
				t.Errorf("a line of %d columns on a terminal of %d: %s", wide, size.width, line)
			}
		}
	}
	golden.Compare(t, "testdata/frame-of-many.golden", strings.Join(frame(job, 80, 8, Plain), "\n")+"\n")
}

func TestCutKeepsWholeCharacters(t *testing.T) {
	for _, tc := range []struct {
		text    string
		columns int
		want    string
	}{
		{"abc", 3, "abc"}, {"abcd", 3, "ab…"}, {"机房三号", 8, "机房三号"}, {"机房三号", 7, "机房三…"}, {"机房三号", 6, "机房…"}, {"abc", 1, "…"}, {"abc", 0, ""}, {"abc", -5, ""},
	} {
		if got := cut(tc.text, tc.columns); got != tc.want {
			t.Errorf("%s in %d columns is %q, want %q", tc.text, tc.columns, got, tc.want)
		}
	}
}

func TestRunGivesUpAtTheFirstSilence(t *testing.T) {
	refused := &client.Refusal{Status: 404, Message: "there is no job"}
	var out bytes.Buffer
	_, err := Run(t.Context(), &client.Client{}, func(context.Context, func(client.Job, bool) error) error { return refused }, &Lines{Out: &out})
	if !errors.Is(err, refused) || out.Len() > 0 {
		t.Errorf("error %v, output %q", err, out.String())
	}
}

func TestATableGivesOneAdviceForATask(t *testing.T) {
	remedy := protocol.Explain(protocol.HDKDiskSpace).Remedy
	for name, c := range map[string]struct {
		message string
		advice  string // on a line of its own; "": none
	}{
		"without advice":         {"There is no room on /.", remedy},
		"with the code's remedy": {"There is no room on /. " + remedy, ""},
		"with its own":           {"There is no room on /. Remove old logs.", ""},
	} {
		var out bytes.Buffer
		WriteTable(&out, client.Job{Tasks: []client.Task{{
			ServerID: "a2-1", Status: protocol.Failed, Code: protocol.HDKDiskSpace, Message: c.message, Remedy: remedy,
		}}}, Plain)
		want := 0
		if c.advice != "" {
			want = 1
		}
		if got := strings.Count(out.String(), "-> "+c.advice); got != want {
			t.Errorf("%s: it is given %d times, want %d:\n%s", name, got, want, out.String())
		}
		if got := strings.Count(out.String(), "Make room"); got > 1 {
			t.Errorf("%s: the remedy is there %d times", name, got)
		}
	}
}

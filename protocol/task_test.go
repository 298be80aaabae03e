package protocol

import (
	"fmt"
	"math"
	"strings"
	"testing"
)

func TestTasksThatFit(t *testing.T) {
	for name, change := range map[string]func(*Task){
		"as an operator gives it":     func(*Task) {},
		"without a timeout":           func(k *Task) { k.TimeoutSeconds = 0 },
		"with the longest timeout":    func(k *Task) { k.TimeoutSeconds = int64(MaxTimeout.Seconds()) },
		"with the longest validity":   func(k *Task) { k.ExpiresAt = k.IssuedAt + MaxValidity.Milliseconds() },
		"with as many items as may":   func(k *Task) { k.Items = queries(MaxItems) },
		"with the longest value":      func(k *Task) { k.Items[0].Spec["version"] = strings.Repeat("x", MaxSpecValue) },
		"with as many keys as may":    func(k *Task) { k.Items[0].Spec = specOf(MaxSpecKeys) },
		"with a value in Chinese":     func(k *Task) { k.Items[0].Spec["version"] = "驱动" },
		"with a type nobody knows":    func(k *Task) { k.Items[0].Type = "site.probe_2" },
		"with no parameters":          func(k *Task) { k.Items[0].Spec = nil },
		"with an empty value":         func(k *Task) { k.Items[0].Spec["version"] = "" },
		"with the least that must be": func(k *Task) { *k = leastTask() },
	} {
		t.Run(name, func(t *testing.T) {
			task := sampleTask()
			change(&task)
			if err := task.Check(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestTasksThatDoNotFit(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*Task)
		says   string
	}{
		{"no task id", func(k *Task) { k.TaskID = "" }, `task_id "" is not an id`},
		{"a task id that is a path", func(k *Task) { k.TaskID = "../x" }, `task_id "../x" is not an id`},
		{"a job id that is a wildcard", func(k *Task) { k.JobID = ">" }, `job_id ">" is not an id`},
		{"a server id of two tokens", func(k *Task) { k.ServerID = "a.b" }, `server_id "a.b" is not an id`},
		{"no items", func(k *Task) { k.Items = nil }, "task has 0 items"},
		{"too many items", func(k *Task) { k.Items = queries(MaxItems + 1) }, "task has 17 items"},
		{"a negative timeout", func(k *Task) { k.TimeoutSeconds = -1 }, "timeout_seconds is -1"},
		{"a timeout no clock can hold", func(k *Task) { k.TimeoutSeconds = math.MaxInt64 }, "timeout_seconds is 9223372036854775807"},
		{"an end before its beginning", func(k *Task) { k.ExpiresAt = k.IssuedAt - 1 }, "expires_at must be after issued_at"},
		{"no validity", func(k *Task) { k.ExpiresAt = k.IssuedAt }, "expires_at must be after issued_at"},
		{"too long a validity", func(k *Task) { k.ExpiresAt = k.IssuedAt + MaxValidity.Milliseconds() + 1 }, "by at most 720h"},
		{"times whose difference overflows", func(k *Task) { k.IssuedAt, k.ExpiresAt = math.MinInt64, math.MaxInt64 }, "issued_at is negative"},
		{"an item without a type", func(k *Task) { k.Items[1].Type = "" }, `item 1: type "" is not a type name`},
		{"a type with a slash", func(k *Task) { k.Items[0].Type = "a/b" }, `item 0: type "a/b"`},
		{"too many parameters", func(k *Task) { k.Items[0].Spec = specOf(MaxSpecKeys + 1) }, "33 parameters, at most 32"},
		{"a value too long", func(k *Task) { k.Items[0].Spec["version"] = strings.Repeat("x", MaxSpecValue+1) }, "spec.version is 2049 bytes long"},
		{"a value of 1 MB", func(k *Task) { k.Items[0].Spec["version"] = strings.Repeat("x", 1<<20) }, "spec.version is 1048576 bytes long"},
		{"a control character in a value", func(k *Task) { k.Items[0].Spec["version"] = "1\x1b[2J" }, "control characters"},
		{"a line end in a value", func(k *Task) { k.Items[0].Spec["version"] = "1\n2" }, "control characters"},
		{"a value that is not UTF-8", func(k *Task) { k.Items[0].Spec["version"] = "\xff" }, "not UTF-8"},
		{"a control character in a name", func(k *Task) { k.Items[0].Spec["a\x00"] = "1" }, "parameter name"},
		{"too long a name", func(k *Task) { k.Items[0].Spec[strings.Repeat("n", 65)] = "1" }, "parameter name"},
	} {
		t.Run(c.name, func(t *testing.T) {
			task := sampleTask()
			c.change(&task)
			err := task.Check()
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Fatalf("error is %v, should say %q", err, c.says)
			}
			if len(err.Error()) > 500 || !printable(err.Error()) {
				t.Errorf("not a sentence for an operator: %.600q", err)
			}
		})
	}
}

func queries(n int) []Item {
	items := make([]Item, n)
	for i := range items {
		items[i].Type = "HDK_QUERY"
	}
	return items
}

func specOf(n int) map[string]string {
	spec := map[string]string{}
	for i := range n {
		spec[fmt.Sprint("p", i)] = "1"
	}
	return spec
}

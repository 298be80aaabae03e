package jobs

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"devserver-agent/protocol"
)

var now = time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)

func request(servers int) Request {
	r := Request{
		ProjectID: "p", Name: "q", Description: "Query <all> & \"more\".", Type: "ASCEND_SOFTWARE_QUERY",
		TemplateID: "t", UserName: "local", Items: []protocol.Item{{Type: "HDK_QUERY"}},
	}
	for i := range servers {
		r.Servers = append(r.Servers, fmt.Sprintf("66d210bc-023c-490a-8664-%012d", i))
	}
	return r
}

func TestAPayloadIsTheTaskAsTheProtocolWritesIt(t *testing.T) {
	r, err := New(request(3), now, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	for _, server := range r.Servers {
		var task protocol.Task
		if err := json.Unmarshal(r.Payload(server), &task); err != nil {
			t.Fatal(err)
		}
		if task.ServerID != server || task.TaskID != TaskID(r.ID, server) || task.Check() != nil {
			t.Errorf("task is %+v: %v", task, task.Check())
		}
		written, err := json.Marshal(task)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(written, r.Payload(server)) {
			t.Errorf("payload is\n%s\nwritten it is\n%s", r.Payload(server), written)
		}
	}
}

func TestARebuiltJobIsTheJob(t *testing.T) {
	for _, servers := range []int{1, protocol.MaxListedServers} {
		r, err := New(request(servers), now, time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		payload := r.Payload(r.Servers[servers-1])
		var task protocol.Task
		if err := json.Unmarshal(payload, &task); err != nil {
			t.Fatal(err)
		}
		got, err := Rebuild(task, payload, now)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(r, got); diff != "" {
			t.Errorf("of %d servers: %s", servers, diff)
		}
	}
}

func TestALargeJobIsRebuiltServerByServer(t *testing.T) {
	r, err := New(request(protocol.MaxJobServers), now, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	payload := r.Payload(r.Servers[7])
	var task protocol.Task
	if err := json.Unmarshal(payload, &task); err != nil {
		t.Fatal(err)
	}
	got, err := Rebuild(task, payload, now)
	if err != nil || len(got.Servers) != 1 || got.ServerCount != protocol.MaxJobServers || !bytes.Equal(got.Payload(r.Servers[8]), r.Payload(r.Servers[8])) {
		t.Errorf("rebuilt %d of %d servers: %v", len(got.Servers), got.ServerCount, err)
	}
}

func TestATaskOfAnotherJobRebuildsNothing(t *testing.T) {
	task := protocol.Task{TaskID: "x", JobID: "y", ServerID: "z"}
	if _, err := Rebuild(task, []byte(`{"task_id":"x","job_id":"y","server_id":"z","job":{}}`), now); err == nil {
		t.Error("it was rebuilt")
	}
}

func TestATaskThatFitsNoEnvelopeIsUnfit(t *testing.T) {
	r := request(1)
	r.Items = []protocol.Item{{Type: "HDK_QUERY", Spec: map[string]string{}}}
	for i := range 4 {
		r.Items[0].Spec[fmt.Sprintf("k%d", i)] = strings.Repeat("x", protocol.MaxSpecValue)
	}
	if _, err := New(r, now, time.Hour); !errors.Is(err, ErrUnfit) {
		t.Errorf("error is %v", err)
	}
	r = request(1)
	if _, err := New(r, now, 31*24*time.Hour); !errors.Is(err, ErrUnfit) {
		t.Errorf("a validity of 31 days: %v", err)
	}
}

func TestMessagesOfAThousandVerdictsFitTheRecord(t *testing.T) {
	verdicts := map[string]Verdict{}
	for i := range protocol.MaxJobServers {
		verdicts[fmt.Sprint(i)] = Verdict{Message: strings.Repeat("€", protocol.MaxMessage/3)}
	}
	clipMessages(verdicts)
	data, err := json.Marshal(verdicts)
	if err != nil || len(data) > 900<<10 {
		t.Errorf("%d bytes: %v", len(data), err)
	}
	few := map[string]Verdict{"a": {Message: strings.Repeat("x", protocol.MaxMessage)}}
	clipMessages(few)
	if len(few["a"].Message) != protocol.MaxMessage {
		t.Error("the message of a small job was cut")
	}
}

package controlplane

import (
	"bufio"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"devserver-agent/protocol"
	"devserver-agent/test/support/wait"
)

func (h *host) print(task protocol.Task, item int, offset int64, data string) {
	h.publish(protocol.OutputSubject(h.server, task.TaskID), protocol.Chunk{
		TaskID: task.TaskID, ServerID: h.server, InstallationID: h.installation, Item: item, Offset: offset, Data: []byte(data),
	})
}

func outputPath(j job, server string) string {
	return "/jobs/" + j.ID + "/tasks/" + j.task(server).ID + "/output"
}

func TestOutputIsAssembledByOffsets(t *testing.T) {
	t.Parallel()
	p := startPlane(t, testOptions(t))
	p.host("server-a", func(h *host, task protocol.Task) {
		h.print(task, 0, 6, "world\n")
		h.print(task, 0, 0, "hello ")
		h.print(task, 0, 3, "lo wor") // again, and across the two
		h.print(task, 1, 0, "second\n")
		h.say(task, protocol.Status{Status: protocol.Success, Phase: protocol.Done, Items: []protocol.ItemOutput{{Bytes: 12}, {Bytes: 7}}})
	})
	var j job
	request := query("server-a")
	request["items"] = []map[string]any{{"type": "HDK_QUERY"}, {"type": "HDK_QUERY"}}
	p.into(&j, "POST", "/jobs", request)
	p.finished(j.ID)
	for path, want := range map[string]string{
		"":                     "hello world\nsecond\n",
		"?item=1":              "second\n",
		"?item=0":              "hello world\n",
		"?follow=true":         "hello world\nsecond\n",
		"?follow=false&item=3": "",
	} {
		if status, data := p.call("GET", outputPath(j, "server-a")+path, nil); status != 200 || string(data) != want {
			t.Errorf("%q: %d %q, want %q", path, status, data, want)
		}
	}
	if status, _ := p.call("GET", "/jobs/"+j.ID+"/tasks/none/output", nil); status != 404 {
		t.Errorf("an unknown task: %d", status)
	}
}

// A consumer that is left behind goes after a minute, and a stream may have only
// so many: who looks often enough would keep everybody from reading.
func TestReadersLeaveNothingAtTheBroker(t *testing.T) {
	t.Parallel()
	p := startPlane(t, testOptions(t))
	p.host("server-a", func(h *host, task protocol.Task) {
		h.print(task, 0, 0, "all\n")
		h.say(task, protocol.Status{Status: protocol.Success, Phase: protocol.Done, Items: []protocol.ItemOutput{{Bytes: 4}}})
	})
	j := p.finished(p.create("server-a").ID)
	for _, path := range []string{"", "?follow=true", "?item=0"} {
		if status, data := p.call("GET", outputPath(j, "server-a")+path, nil); status != 200 || string(data) != "all\n" {
			t.Fatalf("%q: %d %q", path, status, data)
		}
	}
	wait.Until(t, "nobody reads the stream", func() error {
		stream, err := p.broker.JS.Stream(t.Context(), protocol.OutputStream)
		if err == nil && stream.CachedInfo().State.Consumers > 0 {
			err = errorf("it has %d consumers", stream.CachedInfo().State.Consumers)
		}
		return err
	})
}

func TestMissingOutputIsAskedForAndNamedUntilThen(t *testing.T) {
	t.Parallel()
	p := startPlane(t, testOptions(t))
	h := p.host("server-a", func(h *host, task protocol.Task) {
		h.print(task, 0, 0, "begin")
		h.print(task, 0, 10, "-end")
		h.say(task, protocol.Status{Status: protocol.Success, Phase: protocol.Done, Items: []protocol.ItemOutput{{Bytes: 14}}})
	})
	j := p.create("server-a")
	p.finished(j.ID)
	if _, data := p.call("GET", outputPath(j, "server-a"), nil); string(data) != "begin\n[5 bytes are missing: item 0 from 5 to 10]\n-end" {
		t.Errorf("output is %q", data)
	}
	wait.Until(t, "the host is asked for what is missing", func() error {
		h.mu.Lock()
		defer h.mu.Unlock()
		if len(h.resends) == 0 || h.resends[0].From != 5 || h.resends[0].Item != 0 {
			return errorf("it is asked for %v", h.resends)
		}
		return nil
	})
	for _, task := range h.tasks {
		h.print(task, 0, 5, "12345")
	}
	p.mailboxEmpties("server-a")
	if _, data := p.call("GET", outputPath(j, "server-a"), nil); string(data) != "begin12345-end" {
		t.Errorf("output is %q", data)
	}
}

func TestOutputIsFollowedAsEvents(t *testing.T) {
	t.Parallel()
	p := startPlane(t, testOptions(t))
	step := make(chan struct{})
	p.host("server-a", func(h *host, task protocol.Task) {
		for i := range 3 {
			<-step
			h.print(task, 0, int64(2*i), fmt.Sprintf("%d\n", i))
		}
		<-step
		h.say(task, protocol.Status{Status: protocol.Success, Phase: protocol.Done, Items: []protocol.ItemOutput{{Bytes: 6}}})
	})
	j := p.create("server-a")
	req, err := http.NewRequestWithContext(t.Context(), "GET", "http://"+p.Addr()+"/v1/"+project+"/dev-servers"+outputPath(j, "server-a"), nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept", "text/event-stream")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	next := func() string {
		for lines.Scan() {
			if event, ok := strings.CutPrefix(lines.Text(), "event: "); ok && lines.Scan() {
				return event + " " + lines.Text()
			}
		}
		return ""
	}
	for i, want := range []string{
		`chunk data: {"item":0,"offset":0,"data":"MAo="}`, `chunk data: {"item":0,"offset":2,"data":"MQo="}`, `chunk data: {"item":0,"offset":4,"data":"Mgo="}`,
	} {
		step <- struct{}{}
		if got := next(); got != want {
			t.Errorf("event %d is %s, want %s", i, got, want)
		}
	}
	step <- struct{}{}
	if got := next(); !contains(got, "end ", `"status":"SUCCESS"`) {
		t.Errorf("last event is %s", got)
	}
	lines.Scan() // the empty line that ends an event
	if lines.Scan() {
		t.Errorf("something follows the end: %s", lines.Text())
	}
}

func TestAJobIsFollowedAsEvents(t *testing.T) {
	t.Parallel()
	p := startPlane(t, testOptions(t))
	j := p.create("server-a")
	req, err := http.NewRequestWithContext(t.Context(), "GET", "http://"+p.Addr()+"/v1/"+project+"/dev-servers/jobs/"+j.ID+"/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	var events []string
	for lines.Scan() {
		if event, ok := strings.CutPrefix(lines.Text(), "event: "); ok {
			if len(events) == 0 {
				p.host("server-a", succeed)
			}
			events = append(events, event)
		}
	}
	if len(events) < 3 || events[0] != "job" || events[1] != "task" || events[len(events)-1] != "job" {
		t.Errorf("events are %v", events)
	}
}

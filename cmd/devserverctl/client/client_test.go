package client

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"devserver-agent/protocol"
)

func TestErrorsAreSentences(t *testing.T) {
	for name, tc := range map[string]struct {
		status     int
		body, want string
	}{
		"a refusal": {400, `{"error_code":"ModelArts.0104","error_msg":"name is missing."}`,
			"name is missing (ModelArts.0104) [request r-1]"},
		"what is not there": {404, `{"error_code":"ModelArts.5058","error_msg":"there is no job \"x\""}`,
			`there is no job "x" (ModelArts.5058). Check the id and --project [request r-1]`},
		"a conflict": {409, `{"error_code":"ModelArts.5044","error_msg":"a2-1 is full"}`,
			"a2-1 is full (ModelArts.5044). Nothing was changed [request r-1]"},
		"nobody, who needs a token": {401, `{"error_code":"ModelArts.0205","error_msg":"the request has neither X-Auth-Token nor a signature"}`,
			"the control plane asks who you are, and no token was given (ModelArts.0205). Name the file of your token with --token-file or DEVSERVERCTL_TOKEN_FILE (devserver-controlplane user add gives one) [request r-1]"},
		"another project": {403, `{"error_code":"ModelArts.0210","error_msg":"ops may not use project default, only p1"}`,
			`ops may not use project default, only p1 (ModelArts.0210). Choose a project of yours with --project or DEVSERVERCTL_PROJECT, it is "default" now [request r-1]`},
		"something else's page": {403, `<html>`,
			"the control plane answered 403 Forbidden. Check --token-file and --project [request r-1]"},
		"a fault": {503, `{"error_code":"ModelArts.0010","error_msg":"it reads its streams"}`,
			"no good answer from the control plane at URL: it reads its streams (ModelArts.0010) [request r-1]. Try again; if it stays so, see the log of devserver-controlplane"},
		"an answer that is not the API's": {200, `<html>`,
			"cannot reach the control plane at URL: its answer to GET /jobs/x is not the job API's: invalid character '<' looking for beginning of value. Check --api and that devserver-controlplane runs there"},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("X-Request-Id", "r-1")
				w.WriteHeader(tc.status)
				fmt.Fprint(w, tc.body)
			}))
			defer server.Close()
			c := Client{Server: server.URL + "/", Project: "default"}
			_, err := c.Job(t.Context(), "x")
			if err == nil {
				t.Fatal("no error")
			}
			got := strings.Replace(err.Error(), server.URL+"/", "URL", 1)
			if tc.status == 200 {
				got = strings.Replace(got, "  ", " ", 1)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("error (-want +got):\n%s", diff)
			}
		})
	}
}

func TestCreateAsksAgainWithTheSameToken(t *testing.T) {
	var tokens []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if tokens = append(tokens, r.Header.Get("X-Client-Token")); len(tokens) == 1 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		fmt.Fprint(w, `{"id":"j","create_at":"1755005748201","update_at":1755005931007}`)
	}))
	defer server.Close()
	c := Client{Server: server.URL, Project: "default", RetryPause: time.Millisecond}
	job, err := c.CreateJob(t.Context(), Request{Name: "n"}, "token")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"token", "token"}, tokens); diff != "" {
		t.Errorf("tokens (-want +got):\n%s", diff)
	}
	if job.ID != "j" || job.CreatedAt != 1755005748201 || job.UpdatedAt != 1755005931007 {
		t.Errorf("job is %+v", job)
	}
	tokens = nil
	if _, err := c.CreateJob(t.Context(), Request{Name: "n"}, ""); err == nil || len(tokens) != 1 {
		t.Errorf("without a token it asked %d times, %v", len(tokens), err)
	}
}

// events is a stream of events, each given as name and JSON.
func events(nameAndData ...string) string {
	var b strings.Builder
	for i := 0; i < len(nameAndData); i += 2 {
		fmt.Fprintf(&b, ": still here\n\nevent: %s\ndata: %s\n\n", nameAndData[i], nameAndData[i+1])
	}
	return b.String()
}

func TestFollowTakesUpAStreamThatWasCut(t *testing.T) {
	const one = `{"id":"j","status":"PROCESSING","tasks":[{"id":"t","status":"PROCESSING"},{"id":"u","status":"SUCCESS"}]}`
	streams := []string{
		events("job", one, "task", `{"id":"t","status":"PROCESSING","percent":40}`),
		events("job", one, "task", `{"id":"t","status":"SUCCESS","percent":100}`, "job", `{"id":"j","status":"FINISHED","tasks":[{"id":"t","status":"SUCCESS"}]}`),
	}
	n := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v1/p/dev-servers/jobs/j/events" || r.Header.Get("Accept") != "text/event-stream" {
			t.Errorf("asked for %s as %s", r.URL, r.Header.Get("Accept"))
		}
		fmt.Fprint(w, streams[n])
		n++
	}))
	defer server.Close()
	c := Client{Server: server.URL, Project: "p", RetryPause: time.Millisecond}
	var seen []string
	troubles := 0
	err := c.Retry(t.Context(), func(error) { troubles++ }, func(heard func()) error {
		return c.Follow(t.Context(), "j", func(j Job, _ bool) error {
			heard()
			seen = append(seen, fmt.Sprintf("%s %s %d", j.Status, j.Tasks[0].Status, j.Tasks[0].Percent))
			return nil
		})
	})
	if err != nil || troubles != 1 {
		t.Errorf("ended with %v after %d troubles", err, troubles)
	}
	want := []string{
		"PROCESSING PROCESSING 0", "PROCESSING PROCESSING 40",
		"PROCESSING PROCESSING 0", "PROCESSING SUCCESS 100", "FINISHED SUCCESS 0",
	}
	if diff := cmp.Diff(want, seen); diff != "" {
		t.Errorf("states (-want +got):\n%s", diff)
	}
}

func TestRetryDoesNotWaitForWhatNeverAnswered(t *testing.T) {
	tries := 0
	err := (&Client{}).Retry(t.Context(), nil, func(func()) error {
		tries++
		return &Unreachable{Server: "x", Err: errCut}
	})
	if err == nil || tries != 1 {
		t.Errorf("%d tries, %v", tries, err)
	}
}

func TestRetryAsksEverySecondForTwoMinutes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began, tries := time.Now(), 0
		err := (&Client{}).Retry(t.Context(), nil, func(heard func()) error {
			if tries++; tries == 1 {
				heard()
			}
			return &Unreachable{Server: "x", Err: errCut}
		})
		if took := time.Since(began); err == nil || took != 121*time.Second || tries != 122 {
			t.Errorf("%d tries in %v, %v", tries, took, err)
		}
	})
}

func chunkEvent(t testing.TB, item int, offset int64, data string) event {
	t.Helper()
	text, err := json.Marshal(chunk{item, offset, []byte(data)})
	if err != nil {
		t.Fatal(err)
	}
	return event{"chunk", text}
}

func TestOutputIsWrittenOnceAndInOrder(t *testing.T) {
	end := event{name: "end", data: []byte("{}")}
	for name, tc := range map[string]struct {
		events []event
		want   string
	}{
		"in order":     {[]event{chunkEvent(t, 0, 0, "ab"), chunkEvent(t, 0, 2, "cd"), end}, "abcd"},
		"twice":        {[]event{chunkEvent(t, 0, 0, "ab"), chunkEvent(t, 0, 0, "abc"), end}, "abc"},
		"out of order": {[]event{chunkEvent(t, 0, 2, "cd"), chunkEvent(t, 0, 4, "ef"), chunkEvent(t, 0, 0, "ab"), end}, "abcdef"},
		"two items":    {[]event{chunkEvent(t, 0, 0, "ab"), chunkEvent(t, 1, 0, "x"), end}, "abx"},
		"a gap that is named": {
			[]event{chunkEvent(t, 0, 0, "ab"), chunkEvent(t, 0, 5, "fg"), {"gap", []byte(`{"item":0,"from":2,"to":5}`)}, end},
			"ab\n[3 bytes are missing here: item 0 from 2 to 5]\nfg",
		},
		"a gap at the end": {
			[]event{chunkEvent(t, 0, 0, "ab"), {"gap", []byte(`{"item":0,"from":2,"to":9}`)}, end},
			"ab\n[7 bytes are missing here: item 0 from 2 to 9]\n",
		},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			p := printer{out: &out, at: map[int]int64{}}
			for i, e := range tc.events {
				ended, err := p.take(e)
				if err != nil || ended != (i == len(tc.events)-1) {
					t.Fatalf("event %d: ended %t, %v", i, ended, err)
				}
			}
			if diff := cmp.Diff(tc.want, out.String()); diff != "" {
				t.Errorf("output (-want +got):\n%s", diff)
			}
		})
	}
}

func TestFollowOutputGoesOnWhereTheStreamWasCut(t *testing.T) {
	streams := []string{
		events("chunk", string(chunkEvent(t, 0, 0, "first ").data)),
		events("chunk", string(chunkEvent(t, 0, 0, "first ").data), "chunk", string(chunkEvent(t, 0, 6, "second\n").data), "end", "{}"),
	}
	n := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, streams[n])
		n++
	}))
	defer server.Close()
	c := Client{Server: server.URL, Project: "p", RetryPause: time.Millisecond}
	var out bytes.Buffer
	if err := c.FollowOutput(t.Context(), "j", "t", &out); err != nil || out.String() != "first second\n" {
		t.Errorf("output %q, %v", out.String(), err)
	}
}

func TestEndedNeedsAllTasks(t *testing.T) {
	for name, tc := range map[string]struct {
		status string
		tasks  []protocol.State
		want   bool
	}{
		"at work":                     {"PROCESSING", []protocol.State{protocol.Success, protocol.Processing}, false},
		"finished":                    {"FINISHED", []protocol.State{protocol.Success, protocol.Failed}, true},
		"deleted, a task still works": {"DELETED", []protocol.State{protocol.Deleted, protocol.Processing}, false},
		"deleted":                     {"DELETED", []protocol.State{protocol.Deleted}, true},
		"nothing was heard":           {"", nil, false},
	} {
		j := Job{Status: tc.status}
		for _, s := range tc.tasks {
			j.Tasks = append(j.Tasks, Task{Status: s})
		}
		if j.Ended() != tc.want {
			t.Errorf("%s: ended is %t", name, !tc.want)
		}
	}
}

func FuzzStream(f *testing.F) {
	f.Add([]byte(events("job", `{"id":"j","tasks":[{"id":"t"}]}`, "task", `{"id":"u"}`)))
	f.Add([]byte(events("chunk", `{"item":0,"offset":3,"data":"YWI="}`, "gap", `{"item":0,"from":1,"to":2}`, "end", "{}")))
	f.Add([]byte("data\ndata:\r\nevent:x\n\nid: 7\n\n"))
	f.Add([]byte(`event: chunk` + "\n" + `data: {"offset":-9223372036854775808,"data":"AA=="}` + "\n\n"))
	f.Fuzz(func(t *testing.T, stream []byte) {
		in := bufio.NewReader(bytes.NewReader(stream))
		var job Job
		var out bytes.Buffer
		p := printer{out: &out, at: map[int]int64{}}
		for {
			e, err := readEvent(in)
			if err != nil {
				break
			}
			if e.data == nil {
				t.Fatal("an event without data")
			}
			_ = job.apply(e) // what is not the API's is an error, never a panic
			if ended, err := p.take(e); ended || err != nil {
				break
			}
		}
		for item, at := range p.at {
			if at < 0 {
				t.Errorf("item %d is written up to %d", item, at)
			}
		}
	})
}

package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/google/go-cmp/cmp"

	"devserver-agent/controlplane/jobs"
	"devserver-agent/controlplane/view"
	"devserver-agent/protocol"
	"devserver-agent/test/support/golden"
)

// handler answers from what is in v.
func handler(v *view.View, numeric bool) http.Handler {
	b := &Backend{View: v}
	return New(Options{Backend: func() *Backend { return b }, Connected: func() bool { return true }, NumericTimes: numeric})
}

func get(t *testing.T, h http.Handler, path string) []byte {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
	if w.Code != http.StatusOK || w.Header().Get(requestID) == "" {
		t.Fatalf("GET %s: %d %s", path, w.Code, w.Body)
	}
	return w.Body.Bytes()
}

// apply puts a job of the API pages into a view, as its hosts would.
func apply(t *testing.T, v *view.View, page map[string]any, revision uint64) {
	t.Helper()
	text := func(m map[string]any, key string) string { s, _ := m[key].(string); return s }
	ms := func(m map[string]any, key string) int64 { return int64(m[key].(float64)) }
	r := jobs.Record{
		ID: text(page, "id"), ProjectID: "p", Name: text(page, "name"), Description: text(page, "description"),
		Type: text(page, "type"), TemplateID: text(page, "template_id"), UserName: text(page, "user_name"),
		CreatedAt: ms(page, "create_at"), Body: []byte("}"), Verdicts: map[string]jobs.Verdict{},
	}
	items, err := json.Marshal(page["items"])
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(items, &r.Items); err != nil {
		t.Fatal(err)
	}
	tasks, _ := page["tasks"].([]any)
	if len(tasks) == 0 { // of a list
		tasks = []any{map[string]any{"server_id": "server-1", "status": "SUCCESS", "update_at": page["update_at"]}}
	}
	for _, one := range tasks {
		task := one.(map[string]any)
		id := text(task, "server_id")
		r.Servers = append(r.Servers, id)
		r.Verdicts[id] = jobs.Verdict{
			Status: protocol.State(text(task, "status")), Message: text(task, "message"), InstallationID: "i",
			Phase: protocol.Done, At: ms(task, "update_at"),
		}
		if cloud, ok := task["cloud_server"].(map[string]any); ok {
			v.ApplyFacts(id, protocol.Facts{
				ServerID: id, ServerName: text(task, "server_name"),
				CloudServer: protocol.CloudServer{ID: text(cloud, "id"), Type: text(cloud, "type")},
			}, r.Created())
		}
	}
	r.ServerCount = len(r.Servers)
	v.ApplyRecord(r, revision)
}

func readPage(t *testing.T, name string) map[string]any {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name+".page.json"))
	if err != nil {
		t.Fatal(err)
	}
	var page map[string]any
	if err := json.Unmarshal(data, &page); err != nil {
		t.Fatal(err)
	}
	return page
}

// TestAnswersAreThoseOfTheAPIPages compares with the examples of the public API
// pages (testdata/*.page.json; task ids and hps_ecs_id left out, and a task's
// time is its job's). Ours may say more, never less or something else.
func TestAnswersAreThoseOfTheAPIPages(t *testing.T) {
	for _, name := range []string{"create", "show"} {
		t.Run(name, func(t *testing.T) {
			page := readPage(t, name)
			v := view.New(view.Options{})
			apply(t, v, page, 1)
			var got map[string]any
			if err := json.Unmarshal(get(t, handler(v, true), "/v1/p/dev-servers/jobs/"+page["id"].(string)), &got); err != nil {
				t.Fatal(err)
			}
			within(t, name, page, got)
		})
	}
	t.Run("list", func(t *testing.T) {
		page := readPage(t, "list")
		v := view.New(view.Options{})
		for i, one := range page["data"].([]any) {
			apply(t, v, one.(map[string]any), uint64(i+1))
		}
		var got map[string]any
		if err := json.Unmarshal(get(t, handler(v, true), "/v1/p/dev-servers/jobs"), &got); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(page, got); diff != "" {
			t.Error(diff)
		}
	})
}

// within reports what of want is not in got.
func within(t *testing.T, path string, want, got any) {
	t.Helper()
	switch want := want.(type) {
	case map[string]any:
		have, ok := got.(map[string]any)
		if !ok {
			t.Errorf("%s is %v", path, got)
			return
		}
		for key, value := range want {
			within(t, path+"."+key, value, have[key])
		}
	case []any:
		have, ok := got.([]any)
		if !ok || len(have) != len(want) {
			t.Errorf("%s is %v", path, got)
			return
		}
		for i := range want {
			within(t, fmt.Sprintf("%s[%d]", path, i), want[i], have[i])
		}
	default:
		if !reflect.DeepEqual(want, got) {
			t.Errorf("%s is %v, want %v", path, got, want)
		}
	}
}

func TestAnswersByDefault(t *testing.T) {
	v := view.New(view.Options{})
	apply(t, v, readPage(t, "show"), 1)
	for name, path := range map[string]string{
		"job":       "/v1/p/dev-servers/jobs/0319470a-7fad-452e-bff0-d3ba3bd83955",
		"jobs":      "/v1/p/dev-servers/jobs?limit=10&offset=0",
		"templates": "/v1/p/dev-servers/jobs/templates",
		"template":  "/v1/p/dev-servers/jobs/templates/6f02d33b-a5d6-485c-8d73-480da5870512",
	} {
		t.Run(name, func(t *testing.T) {
			var got bytes.Buffer
			if err := json.Indent(&got, get(t, handler(v, false), path), "", "  "); err != nil {
				t.Fatal(err)
			}
			golden.Compare(t, filepath.Join("testdata", name+".golden.json"), got.Bytes())
		})
	}
}

func TestPagesOfAList(t *testing.T) {
	all := []int{0, 1, 2, 3, 4}
	same := func(i int) int { return i }
	for name, test := range map[string]struct {
		limit, offset int
		want          pageAnswer[int]
	}{
		"without a limit":    {0, 0, pageAnswer[int]{1, all, 1, 5, 5}},
		"the first page":     {2, 0, pageAnswer[int]{1, []int{0, 1}, 3, 2, 5}},
		"the last page":      {2, 4, pageAnswer[int]{3, []int{4}, 3, 1, 5}},
		"past the end":       {2, 9, pageAnswer[int]{5, []int{}, 3, 0, 5}},
		"offset, no limit":   {0, 3, pageAnswer[int]{1, []int{3, 4}, 1, 2, 5}},
		"a limit for all":    {100, 0, pageAnswer[int]{1, all, 1, 5, 5}},
		"an offset too high": {0, 1 << 40, pageAnswer[int]{1, []int{}, 1, 0, 5}},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, page(all, test.limit, test.offset, same)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestRequestsThatCannotBeAnswered(t *testing.T) {
	v := view.New(view.Options{})
	busy := New(Options{Backend: func() *Backend { return nil }, Connected: func() bool { return true }})
	for name, test := range map[string]struct {
		handler http.Handler
		path    string
		status  int
		code    string
	}{
		"while the streams are read": {busy, "/v1/p/dev-servers/jobs", 503, codeInternal},
		"an unknown path":            {handler(v, false), "/v2/p/jobs", 404, codeNotFound},
		"an unknown template":        {handler(v, false), "/v1/p/dev-servers/jobs/templates/x", 404, codeNotFound},
		"an unknown server":          {handler(v, false), "/v1/p/dev-servers/x", 404, codeNotFound},
		"a project that is no id":    {handler(v, false), "/v1/p.q/dev-servers/jobs", 400, codeProject},
		"a limit that is no number":  {handler(v, false), "/v1/p/dev-servers/jobs?limit=x", 400, codeParameter},
		"a negative offset":          {handler(v, false), "/v1/p/dev-servers/jobs?offset=-1", 400, codeParameter},
		"visible that is neither":    {handler(v, false), "/v1/p/dev-servers/jobs?visible=x", 400, codeParameter},
		"what a job has nothing of":  {handler(v, false), "/v1/p/dev-servers/jobs/x/y", 404, codeNotFound},
	} {
		t.Run(name, func(t *testing.T) {
			w := httptest.NewRecorder()
			test.handler.ServeHTTP(w, httptest.NewRequest("GET", test.path, nil))
			var f failure
			if err := json.Unmarshal(w.Body.Bytes(), &f); err != nil || w.Code != test.status || f.Code != test.code || f.Message == "" || w.Header().Get(requestID) == "" {
				t.Errorf("%d %s %v", w.Code, w.Body, err)
			}
			if w.Code == 503 && w.Header().Get("Retry-After") == "" {
				t.Error("503 without Retry-After")
			}
		})
	}
}

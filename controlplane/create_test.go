package controlplane

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"devserver-agent/protocol"
	"devserver-agent/test/support/wait"
)

func contains(text string, parts ...string) bool {
	for _, part := range parts {
		if !strings.Contains(text, part) {
			return false
		}
	}
	return true
}

func TestAClientTokenMakesOneJob(t *testing.T) {
	t.Parallel()
	p := startPlane(t, testOptions(t))
	var first, again, other job
	p.into(&first, "POST", "/jobs", query("server-a"), "X-Client-Token", "token-1")
	p.into(&again, "POST", "/jobs", query("server-a"), "X-Client-Token", "token-1")
	if first.ID != again.ID {
		t.Errorf("the same token made %s and %s", first.ID, again.ID)
	}
	p.into(&other, "POST", "/jobs", query("server-a"), "X-Client-Token", "token-2")
	if other.ID == first.ID {
		t.Error("another token made the same job")
	}
	status, data := p.call("POST", "/jobs", query("server-b"), "X-Client-Token", "token-1")
	if status != http.StatusConflict || !contains(string(data), first.ID) {
		t.Errorf("the same token with another request: %d %s", status, data)
	}
	ids := map[string]bool{}
	results := make(chan string)
	for range 8 {
		go func() {
			var j job
			p.into(&j, "POST", "/jobs", query("server-c"), "X-Client-Token", "token-3")
			results <- j.ID
		}()
	}
	for range 8 {
		ids[<-results] = true
	}
	if len(ids) != 1 {
		t.Errorf("a token used eight times at once made %d jobs", len(ids))
	}
}

func TestAServerWithAllItsTasksOpenTakesNoMore(t *testing.T) {
	t.Parallel()
	p := startPlane(t, testOptions(t))
	var last job
	for range protocol.MaxOpenTasks {
		last = p.create("server-a")
	}
	status, data := p.call("POST", "/jobs", query("server-b", "server-a"))
	if status != http.StatusConflict || !contains(string(data), "server-a", "ModelArts.5044") || contains(string(data), "server-b") {
		t.Errorf("%d %s", status, data)
	}
	wait.Until(t, "all are in the mailbox", func() error {
		if got := p.statements("server-a")[protocol.TaskPayload]; got != protocol.MaxOpenTasks {
			return errorf("%d", got)
		}
		return nil
	})
	p.delete(last.ID)
	wait.Until(t, "there is room again", func() error {
		status, data := p.call("POST", "/jobs", query("server-a"))
		if status != http.StatusOK {
			return errorf("%d %s", status, data)
		}
		return nil
	})
}

func TestWhatDoesNotFitIsRefusedWithASentence(t *testing.T) {
	t.Parallel()
	p := startPlane(t, testOptions(t))
	h := p.host("server-a", succeed)
	h.facts("lite-a", protocol.ItemType{Type: "DISK_WIPE", Params: []protocol.Param{{Name: "disk", Required: true, Pattern: "[a-z]+"}}})
	wait.Until(t, "the facts are known", func() error {
		if status, data := p.call("GET", "/server-a", nil); !contains(string(data), "DISK_WIPE") {
			return errorf("%d %s", status, data)
		}
		return nil
	})
	many := make([]string, protocol.MaxJobServers+1)
	for i := range many {
		many[i] = fmt.Sprintf(`"s%d"`, i)
	}
	for name, test := range map[string]struct {
		body   string
		status int
		says   string
	}{
		"not JSON":                      {`{`, 400, "not the JSON"},
		"two documents":                 {`{} {}`, 400, "not the JSON"},
		"spec with a number":            {`{"name":"q","type":"COMMON","server_ids":["a"],"items":[{"type":"HDK_QUERY","spec":{"a":1}}]}`, 400, "not the JSON"},
		"no name":                       {`{"type":"HDK_QUERY","server_ids":["a"],"items":[{"type":"HDK_QUERY"}]}`, 400, "name must be"},
		"no servers":                    {`{"name":"q","type":"HDK_QUERY","items":[{"type":"HDK_QUERY"}]}`, 400, "server_ids has 0"},
		"too many servers":              {`{"name":"q","type":"HDK_QUERY","server_ids":[` + strings.Join(many, ",") + `],"items":[{"type":"HDK_QUERY"}]}`, 400, "1 to 1000"},
		"a server id that is a path":    {`{"name":"q","type":"HDK_QUERY","server_ids":["../x"],"items":[{"type":"HDK_QUERY"}]}`, 400, "../x"},
		"a server id that is a subject": {`{"name":"q","type":"HDK_QUERY","server_ids":[">"],"items":[{"type":"HDK_QUERY"}]}`, 400, "letters, digits and hyphens"},
		"a server twice":                {`{"name":"q","type":"HDK_QUERY","server_ids":["a","a"],"items":[{"type":"HDK_QUERY"}]}`, 400, "a twice"},
		"no items":                      {`{"name":"q","type":"HDK_QUERY","server_ids":["a"]}`, 400, "items has 0"},
		"an unknown job type":           {`{"name":"q","type":"NOPE","server_ids":["a"],"items":[{"type":"HDK_QUERY"}]}`, 400, "NOPE"},
		"an unknown item type":          {`{"name":"q","type":"COMMON","server_ids":["a"],"items":[{"type":"NOPE"}]}`, 400, "none of the servers announces it"},
		"announced by another server":   {`{"name":"q","type":"COMMON","server_ids":["a"],"items":[{"type":"DISK_WIPE","spec":{"disk":"sda"}}]}`, 400, "none of the servers announces it"},
		"announced, spec does not fit":  {`{"name":"q","type":"COMMON","server_ids":["server-a"],"items":[{"type":"DISK_WIPE","spec":{"disk":"../x"}}]}`, 400, "spec.disk"},
		"announced, spec fits":          {`{"name":"q","type":"COMMON","server_ids":["server-a"],"items":[{"type":"DISK_WIPE","spec":{"disk":"sda"}}]}`, 200, "COMMON"},
		"upgrade without a version":     {`{"name":"q","type":"HDK_UPGRADE","server_ids":["a"],"items":[{"type":"HDK_UPGRADE"}]}`, 400, "spec.version is missing"},
		"version that is a path":        {`{"name":"q","type":"HDK_UPGRADE","server_ids":["a"],"items":[{"type":"HDK_UPGRADE","spec":{"version":"../x"}}]}`, 400, "spec.version"},
		"a task that fits no envelope":  {`{"name":"q","type":"COMMON","server_ids":["a"],"items":[` + strings.TrimSuffix(strings.Repeat(`{"type":"HDK_QUERY"},`, 16), ",") + `],"description":"` + strings.Repeat("d", 1025) + `"}`, 400, "description"},
		"a huge body":                   {`{"name":"` + strings.Repeat("x", 300<<10) + `"}`, 413, "larger than"},
	} {
		t.Run(name, func(t *testing.T) {
			status, data := p.call("POST", "/jobs", test.body)
			if status != test.status || !contains(string(data), test.says) {
				t.Errorf("%d %s, want %d with %q", status, data, test.status, test.says)
			}
			if status != 200 && !contains(string(data), `"error_code":"ModelArts.`, `"error_msg":"`) {
				t.Errorf("error has not the API's form: %s", data)
			}
		})
	}
}

func TestAJobOfAThousandServersFits(t *testing.T) {
	t.Parallel()
	p := startPlane(t, testOptions(t))
	var ids []string
	for i := range protocol.MaxJobServers {
		ids = append(ids, fmt.Sprintf("66d210bc-023c-490a-8664-%012d", i))
	}
	p.host(ids[500], succeed)
	created := p.create(ids...)
	if len(created.Tasks) != len(ids) {
		t.Fatalf("job has %d tasks", len(created.Tasks))
	}
	p.until(created.ID, "one of the thousand has ended", func(j job) bool { return j.Tasks[500].Status == "SUCCESS" })
}

func TestABrowserPageCannotSendJobs(t *testing.T) {
	t.Parallel()
	p := startPlane(t, testOptions(t))
	status, _ := p.call("POST", "/jobs", query("server-a"), "Origin", "http://evil.example", "Sec-Fetch-Site", "cross-site")
	if status != http.StatusForbidden {
		t.Errorf("a cross-site POST is answered %d", status)
	}
}

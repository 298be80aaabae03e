package command

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/testscript"

	"devserver-agent/cmd/devserverctl/client"
	"devserver-agent/protocol"
	"devserver-agent/test/fakehost"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"devserverctl": func() {
		os.Exit(process("test", &session{client: client.Client{RetryPause: 10 * time.Millisecond}}))
	}})
}

// TestScripts runs whole commands. A script finds a control plane that answers
// from the files of its folder api, see answers, or starts a real one with
// "controlplane".
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(env *testscript.Env) error {
			server := httptest.NewServer(&answers{dir: env.WorkDir, calls: map[string]int{}})
			env.Defer(server.Close)
			env.Setenv("DEVSERVERCTL_API", server.URL)
			env.Setenv("TZ", "UTC")
			// The race detector looks on in every command, and has a program that ends well
			// wait a second before it does (https://go.dev/doc/articles/race_detector).
			env.Setenv("GORACE", "atexit_sleep_ms=0 "+os.Getenv("GORACE"))
			return nil
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"exits":        exits,
			"packages":     packages,
			"controlplane": startControlPlane,
			"host":         hostSays,
			"await":        await,
		},
	})
}

// exits runs a command and compares its exit code: exits CODE COMMAND...
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND [ARG...]")
	}
	err := ts.Exec(args[1], args[2:]...)
	code := "0"
	if err != nil {
		code = strings.TrimPrefix(err.Error(), "exit status ")
	}
	if code != args[0] {
		ts.Fatalf("exit code is %s, want %s", code, args[0])
	}
}

// packages builds a driver and a firmware: packages DIR FORMAT CHIP ARCH DRIVER FIRMWARE.
func packages(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 6 {
		ts.Fatalf("usage: packages DIR FORMAT CHIP ARCH DRIVER FIRMWARE")
	}
	_, err := fakehost.BuildPackages(ts.MkAbs(args[0]), []fakehost.Package{
		{Kind: fakehost.Driver, Format: args[1], Chip: args[2], Arch: args[3], Version: args[4], Requires: "[7.0.0,9.9.9]"},
		{Kind: fakehost.Firmware, Format: args[1], Chip: args[2], Version: args[5]},
	})
	ts.Check(err)
}

// answers is a control plane that gives the answers in the folder api below
// dir, by method and path: GET_jobs_J is the answer to GET .../jobs/J. The
// number of a call may follow: GET_jobs_J.2 is the second answer. The file's
// first line may be "HTTP 409", or "HTTP 307 URL". Every request is noted in the file
// requests.
type answers struct {
	dir string

	mu    sync.Mutex
	calls map[string]int
}

func (a *answers) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	text, err := a.answer(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	if strings.Contains(r.Header.Get("Accept"), "event-stream") {
		w.Header().Set("Content-Type", "text/event-stream")
	}
	status := http.StatusOK
	if line, rest, ok := bytes.Cut(text, []byte("\n")); ok && bytes.HasPrefix(line, []byte("HTTP ")) {
		var to string
		if n, _ := fmt.Sscanf(string(line), "HTTP %d %s", &status, &to); n == 0 {
			status = http.StatusInternalServerError
		}
		if to != "" {
			w.Header().Set("Location", to)
		}
		text = rest
	}
	w.WriteHeader(status)
	if _, err := w.Write(text); err != nil {
		panic(http.ErrAbortHandler)
	}
}

func (a *answers) answer(r *http.Request) ([]byte, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	log, err := os.OpenFile(filepath.Join(a.dir, "requests"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	fmt.Fprintf(log, "%s %s %s\n", r.Method, r.URL, body)
	_, path, _ := strings.Cut(r.URL.Path, "/dev-servers")
	name := r.Method + strings.ReplaceAll(path, "/", "_")
	a.calls[name]++
	text, err := os.ReadFile(filepath.Join(a.dir, "api", fmt.Sprintf("%s.%d", name, a.calls[name])))
	if err != nil {
		text, err = os.ReadFile(filepath.Join(a.dir, "api", name))
	}
	return text, err
}

func TestParseItem(t *testing.T) {
	for text, want := range map[string]protocol.Item{
		"HDK_QUERY":                           {Type: "HDK_QUERY"},
		"HDK_UPGRADE,version=24.1,force=true": {Type: "HDK_UPGRADE", Spec: map[string]string{"version": "24.1", "force": "true"}},
		`COMMON,cmd=a\,b\\c=d,e=`:             {Type: "COMMON", Spec: map[string]string{"cmd": `a,b\c=d`, "e": ""}},
	} {
		got, err := parseItem(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", text, diff)
		}
		if again, err := parseItem(formatItem(got)); err != nil || !cmp.Equal(got, again) {
			t.Errorf("%s is written as %s, which reads as %+v, %v", text, formatItem(got), again, err)
		}
	}
	for _, text := range []string{"", ",a=b", "A B", "X,a", "X,=b", "X,a=1,a=2", `X\`} {
		if got, err := parseItem(text); err == nil {
			t.Errorf("%q reads as %+v", text, got)
		}
	}
}

func FuzzParseItem(f *testing.F) {
	f.Add(`HDK_UPGRADE,version=24.1.rc3.10`)
	f.Add(`COMMON,cmd=a\,b\\c`)
	f.Fuzz(func(t *testing.T, text string) {
		item, err := parseItem(text)
		if err == nil && !protocol.ValidType(item.Type) {
			t.Errorf("%q reads as %+v", text, item)
		}
	})
}

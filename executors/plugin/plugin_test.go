package plugin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"devserver-agent/executors"
	"devserver-agent/protocol"
	"devserver-agent/test/hosttest"
	"devserver-agent/test/support/plainwords"
)

// rig is a host with a folder of plug-ins.
type rig struct {
	*testing.T
	host *hosttest.Host
	dir  string
}

func newRig(t *testing.T) *rig {
	t.Helper()
	host := hosttest.New(t, t.TempDir())
	scratch, err := host.Scratch()
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{t, host, filepath.Join(scratch, "plugins")}
	if err := os.Mkdir(r.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return r
}

// write puts a plug-in, or a file of the host, in its place.
func (r *rig) write(name, text string, mode os.FileMode) {
	r.Helper()
	err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o755), os.WriteFile(name, []byte(text), mode), os.Chmod(name, mode))
	if err != nil {
		r.Fatal(err)
	}
}

// plugin writes a shell script that describes one type X and goes on with body.
func (r *rig) plugin(more, body string) executors.Executor {
	r.Helper()
	script := fmt.Sprintf("#!/bin/sh\nif [ $1 = describe ]; then echo '{\"version\":\"1\",\"types\":[{\"type\":\"X\",\"timeout_seconds\":60%s}]}'; exit; fi\n%s\n", more, body)
	r.write(filepath.Join(r.dir, "x"), script, 0o755)
	return r.load()["X"]
}

func (r *rig) load() map[string]executors.Executor {
	r.Helper()
	found, err := Load(r.Context(), r.host, r.dir, func(string) bool { return false })
	if err != nil {
		r.Fatal(err)
	}
	return found
}

// run executes and, as the engine does, verifies.
func (r *rig) run(e executors.Executor, spec executors.Spec) (executors.Result, error) {
	result, err := e.Execute(r.Context(), r.host, spec)
	for err != nil && errors.Is(err, executors.ErrStopping) {
		r.host.Replay()
		result, err = e.Execute(r.Context(), r.host, spec)
	}
	if v, verifies := e.(executors.Verifier); verifies && err == nil {
		return v.Verify(r.Context(), r.host, spec)
	}
	return result, err
}

func TestWhatAPluginMayEndWith(t *testing.T) {
	for name, c := range map[string]struct {
		more, body string
		restarts   bool
		cut        bool
		want       executors.Result
		code       protocol.Code
		says       string
		starts     int // of the first call
	}{
		"done, with nothing to say": {body: "exit 0", starts: 1},
		"done":                      {body: `echo '{"message":"all is well","unchanged":true}' >$DEVSERVER_RESULT`, want: executors.Result{Message: "all is well", Unchanged: true}, starts: 1},
		"done, and a restart is wanted at the end": {body: `echo '{"message":"written","reboot_required":true}' >$DEVSERVER_RESULT`,
			want: executors.Result{Message: "written", RebootRequired: true}, starts: 1},
		"failed without a word": {body: "exit 3", code: protocol.ExecutorFailed, says: "X failed (exit code 3)", starts: 1},
		"failed with a code of its own": {body: `echo '{"message":"No luck.","code":"SITE_LUCK"}' >$DEVSERVER_RESULT; exit 3`,
			code: "SITE_LUCK", says: "No luck (X, exit code 3).", starts: 1},
		"failed with a full stop": {body: `echo '{"message":" . "}' >$DEVSERVER_RESULT; exit 3`, code: protocol.ExecutorFailed, says: "X failed (exit code 3)", starts: 1},
		"killed":                  {body: "kill -9 $$", code: protocol.ExecutorFailed, says: "signal: killed", starts: 1},
		"restart": {restarts: true, body: `grep -q '"restarts":1' || exit 194; echo '{"message":"after it"}' >$DEVSERVER_RESULT`,
			want: executors.Result{Message: "after it"}, starts: 1},
		"restart for ever":                {restarts: true, body: "exit 194", code: protocol.RebootLimit, says: "for the 4th time", starts: 1},
		"restart that is not allowed":     {body: "exit 194", code: protocol.RebootNotAllowed, says: "Create the job with is_reboot", starts: 1},
		"later":                           {body: `grep -q '"call":3' || exit 75; echo '{"message":"at last"}' >$DEVSERVER_RESULT`, want: executors.Result{Message: "at last"}, starts: 1},
		"later for ever":                  {body: "exit 75", code: protocol.ExecutorFailed, says: "called 24 times", starts: 1},
		"cut, and may be made again":      {more: `,"repeatable":true`, cut: true, body: `echo '{"message":"twice"}' >$DEVSERVER_RESULT`, want: executors.Result{Message: "twice"}, starts: 2},
		"cut, and must not be made again": {cut: true, body: "true", code: protocol.StepInterrupted, says: "does not say that it may be called again", starts: 1},
		"verified":                        {more: `,"verify":true`, body: `echo "{\"message\":\"by $1\"}" >$DEVSERVER_RESULT`, want: executors.Result{Message: "by verify"}, starts: 1},
		"not verified": {more: `,"verify":true`, body: `[ $1 = execute ] || { echo '{"message":"It is not so."}' >$DEVSERVER_RESULT; exit 1; }`,
			code: protocol.ExecutorFailed, says: "It is not so (X, exit code 1).", starts: 1},
		"verified with a restart": {more: `,"verify":true`, body: `[ $1 = execute ] || exit 194`, code: protocol.ExecutorFailed, says: "too late", starts: 1},

		"a result that is a link":     {body: "ln -s /etc/passwd $DEVSERVER_RESULT", code: protocol.ExecutorFailed, says: "its result cannot be read", starts: 1},
		"a result that is a pipe":     {body: "mkfifo $DEVSERVER_RESULT", code: protocol.ExecutorFailed, says: "its result cannot be read: it is no file", starts: 1},
		"a result without end":        {body: "head -c 200000 /dev/zero >$DEVSERVER_RESULT", code: protocol.ExecutorFailed, says: "it is larger than 65536 bytes", starts: 1},
		"a result that is no JSON":    {body: "echo done >$DEVSERVER_RESULT", code: protocol.ExecutorFailed, says: "its result cannot be read", starts: 1},
		"a result with a wicked code": {body: `echo '{"code":"../../etc"}' >$DEVSERVER_RESULT`, code: protocol.ExecutorFailed, says: "is no code", starts: 1},
		"output without end":          {body: "head -c 3000000 /dev/zero", starts: 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			e := hasten(r.plugin(c.more, c.body))
			if c.restarts {
				r.host.OnRestart = func(string) {}
			}
			if c.cut {
				r.host.Cut("execute-1")
			}
			for range 2 { // the second is a replay
				r.host.Replay()
				result, err := r.run(e, nil)
				var failure *executors.Failure
				switch {
				case c.code == "" && (err != nil || result != c.want):
					t.Errorf("it ends with %+v, %v, want %+v", result, err, c.want)
				case c.code != "" && (!errors.As(err, &failure) || failure.Code != c.code || !strings.Contains(failure.Message, c.says)):
					t.Errorf("it fails with %v, want [%s] ...%s...", err, c.code, c.says)
				case c.code != "":
					plainwords.Check(t, c.code, failure.Message)
				}
			}
			if n := r.host.Starts("execute-1"); n != c.starts {
				t.Errorf("the first call was made %d times, want %d", n, c.starts)
			}
		})
	}
}

// hasten makes the pause before another call short.
func hasten(e executors.Executor) executors.Executor {
	switch e := e.(type) {
	case Plugin:
		e.later = time.Millisecond
		return e
	case verifying:
		e.later = time.Millisecond
		return e
	}
	return e
}

// A plug-in gets its parameters, and nothing of the agent's.
func TestWhatAPluginIsGiven(t *testing.T) {
	t.Setenv("NATS_PASSWORD", "hunter2")
	r := newRig(t)
	e := r.plugin(`,"params":{"type":"object","properties":{"ld-preload":{"type":"string"},"days":{"type":"integer","default":30}}}`, "cat; env; echo $*")
	if _, err := r.run(e, executors.Spec{"ld-preload": "/tmp/evil.so"}); err != nil {
		t.Fatal(err)
	}
	input, rest, _ := strings.Cut(r.host.Output(), "\n")
	var got request
	if err := json.Unmarshal([]byte(input), &got); err != nil || got.Spec["days"] != "30" || got.Spec["ld-preload"] != "/tmp/evil.so" || got.Type != "X" || got.Call != 1 {
		t.Errorf("it reads %s, %v", input, err)
	}
	for _, line := range strings.Split(rest, "\n") {
		if strings.HasPrefix(line, "LD_PRELOAD=") || strings.Contains(line, "hunter2") {
			t.Errorf("its environment has %s", line)
		}
	}
	if !strings.Contains(rest, "DEVSERVER_SPEC_LD_PRELOAD=/tmp/evil.so\n") || !strings.Contains(rest, "\nexecute\n") {
		t.Errorf("it printed %s", rest)
	}
}

func TestPluginsThatAreRefused(t *testing.T) {
	good := func(r *rig) { r.plugin("", "exit 0") }
	for name, c := range map[string]struct {
		prepare func(r *rig)
		says    string
	}{
		"others may write to it":         {func(r *rig) { good(r); r.chmod("x", 0o777) }, "can be written by others"},
		"its group may write to it":      {func(r *rig) { good(r); r.chmod("x", 0o775) }, "can be written by others"},
		"others may write to its folder": {func(r *rig) { good(r); r.chmod(".", 0o777) }, "no plug-in is used"},
		"it is a link":                   {func(r *rig) { good(r); r.rename("x", ".x"); r.link(".x", "x") }, "it is no file, or a link"},
		"it describes nothing":           {func(r *rig) { r.write(filepath.Join(r.dir, "x"), "#!/bin/sh\n", 0o755) }, "describe: EOF"},
		"its description fails":          {func(r *rig) { r.write(filepath.Join(r.dir, "x"), "#!/bin/sh\necho no; exit 7\n", 0o755) }, `exit code 7: "no\n"`},
		"its description is endless":     {func(r *rig) { r.write(filepath.Join(r.dir, "x"), "#!/bin/sh\nexec cat /dev/zero\n", 0o755) }, "printed more than is reasonable"},
		"its description hangs": {func(r *rig) {
			r.host.QueryTimeout = 300 * time.Millisecond
			r.write(filepath.Join(r.dir, "x"), "#!/bin/sh\nexec sleep 60\n", 0o755)
		}, "did not end in time"},
		"it is no program": {func(r *rig) { r.write(filepath.Join(r.dir, "x"), "hello", 0o755) }, "plug-in"},
		"it takes a type of the agent's": {func(r *rig) {
			r.write(filepath.Join(r.dir, "x"), "#!/bin/sh\n"+`echo '{"types":[{"type":"HDK_UPGRADE","timeout_seconds":1}]}'`+"\n", 0o755)
		}, "there is a HDK_UPGRADE already"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			load := func() (map[string]executors.Executor, error) {
				return Load(t.Context(), r.host, r.dir, func(kind string) bool { return kind == "HDK_UPGRADE" })
			}
			c.prepare(r)
			found, err := load()
			if err == nil || !strings.Contains(err.Error(), c.says) || len(found) > 0 {
				t.Errorf("found %v, %v, want ...%s...", found, err, c.says)
			}
		})
	}
}

func (r *rig) chmod(name string, mode os.FileMode) {
	r.Helper()
	if err := os.Chmod(filepath.Join(r.dir, name), mode); err != nil {
		r.Fatal(err)
	}
}

func (r *rig) rename(from, to string) {
	r.Helper()
	if err := os.Rename(filepath.Join(r.dir, from), filepath.Join(r.dir, to)); err != nil {
		r.Fatal(err)
	}
}

func (r *rig) link(to, name string) {
	r.Helper()
	if err := os.Symlink(to, filepath.Join(r.dir, name)); err != nil {
		r.Fatal(err)
	}
}

// One that is not fit leaves the others be, and what is no plug-in is passed over.
func TestPluginsBesideOthers(t *testing.T) {
	r := newRig(t)
	r.write(filepath.Join(r.dir, "README"), "read me", 0o644)
	r.write(filepath.Join(r.dir, "bad"), "#!/bin/sh\nexit 1\n", 0o755)
	r.write(filepath.Join(r.dir, ".hidden"), "#!/bin/sh\nexit 1\n", 0o755)
	r.write(filepath.Join(r.dir, "x"), "#!/bin/sh\n"+`echo '{"types":[{"type":"X","timeout_seconds":1},{"type":"Y","timeout_seconds":1}]}'`+"\n", 0o755)
	found, err := Load(t.Context(), r.host, r.dir, func(string) bool { return false })
	if len(found) != 2 || err == nil || strings.Count(err.Error(), "plug-in ") != 1 {
		t.Errorf("found %v, %v", found, err)
	}
	if none, err := Load(t.Context(), r.host, "", nil); none != nil || err != nil {
		t.Errorf("without a folder: %v, %v", none, err)
	}
}

func TestTheShellExample(t *testing.T) {
	r := newRig(t)
	r.example("hugepages")
	e := r.load()["SITE_HUGEPAGES"]
	root := r.host.Root()
	now := filepath.Join(root, "proc/sys/vm/nr_hugepages")
	r.write(now, "0\n", 0o644)
	r.write(filepath.Join(root, "etc/sysctl.d/README"), "", 0o644)
	spec := executors.Spec{"pages": "64"}
	r.host.OnRestart = func(string) {
		text, err := os.ReadFile(filepath.Join(root, "etc/sysctl.d/90-hugepages.conf"))
		if err != nil || string(text) != "vm.nr_hugepages = 64\n" {
			t.Errorf("restarted with %q, %v", text, err)
		}
		r.write(now, "64\n", 0o644)
	}
	if result, err := r.run(e, spec); err != nil || result.Message != "64 huge pages are reserved" {
		t.Errorf("it ends with %+v, %v", result, err)
	}
	again := newRig(t)
	again.example("hugepages")
	again.write(filepath.Join(again.host.Root(), "etc/sysctl.d/README"), "", 0o644)
	again.write(filepath.Join(again.host.Root(), "proc/sys/vm/nr_hugepages"), "0\n", 0o644)
	again.host.OnRestart = func(string) {}
	_, err := again.run(again.load()["SITE_HUGEPAGES"], spec)
	var failure *executors.Failure
	if !errors.As(err, &failure) || failure.Code != "SITE_NO_MEMORY" {
		t.Errorf("without memory it ends with %v", err)
	}
}

func TestThePythonExample(t *testing.T) {
	r := newRig(t)
	r.example("logtrim")
	logs := filepath.Join(r.host.Root(), "var/log/npu")
	for _, name := range []string{"slog/old.log", "slog/new.log"} {
		r.write(filepath.Join(logs, name), "12345", 0o644)
	}
	past := time.Now().AddDate(0, 0, -40)
	if err := os.Chtimes(filepath.Join(logs, "slog/old.log"), past, past); err != nil {
		t.Fatal(err)
	}
	e := r.load()["SITE_LOG_TRIM"]
	if result, err := r.run(e, nil); err != nil || result.Message != "5 bytes of logs are left" {
		t.Errorf("it ends with %+v, %v\n%s", result, err, r.host.Output())
	}
	if _, err := os.Stat(filepath.Join(logs, "slog/old.log")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the old log is there: %v", err)
	}
}

func (r *rig) example(name string) {
	r.Helper()
	text, err := os.ReadFile(filepath.Join("../../docs/example-plugins", name))
	if err != nil {
		r.Fatal(err)
	}
	r.write(filepath.Join(r.dir, name), string(text), 0o755)
}

func TestDescriptions(t *testing.T) {
	params := func(properties string) string {
		return `{"types":[{"type":"X","timeout_seconds":1,"params":{"type":"object","properties":` + properties + `}}]}`
	}
	for name, c := range map[string]struct{ text, says string }{
		"unknown field":       {`{"types":[{"type":"X","timeout_seconds":1,"run_as":"root"}]}`, `unknown field "run_as"`},
		"no types":            {`{"types":[]}`, "0 types"},
		"two values":          {`{"types":[{"type":"X","timeout_seconds":1}]}{}`, "more than one value"},
		"twice":               {`{"types":[{"type":"X","timeout_seconds":1},{"type":"X","timeout_seconds":1}]}`, "twice"},
		"wicked name":         {`{"types":[{"type":"X/../Y","timeout_seconds":1}]}`, "a name of a type matches"},
		"disruptive, shared":  {`{"types":[{"type":"X","disruptive":true,"timeout_seconds":1}]}`, "disruptive work must be exclusive"},
		"no timeout":          {`{"types":[{"type":"X"}]}`, "timeout_seconds is 0"},
		"wrong kill":          {`{"types":[{"type":"X","timeout_seconds":1,"kill":"softly"}]}`, "kill is"},
		"wrong pattern":       {params(`{"a":{"type":"string","pattern":"("}}`), "its pattern (RE2)"},
		"unknown keyword":     {params(`{"a":{"type":"string","format":"uri"}}`), `unknown field "format"`},
		"wrong default":       {params(`{"a":{"type":"integer","default":"many"}}`), "its default"},
		"no type":             {params(`{"a":{}}`), "its type is"},
		"both":                {params(`{"a":{"type":"string","pattern":"a","enum":["a"]}}`), "a pattern and an enum"},
		"additional":          {`{"types":[{"type":"X","timeout_seconds":1,"params":{"type":"object","additionalProperties":true}}]}`, "additional properties"},
		"required, not there": {`{"types":[{"type":"X","timeout_seconds":1,"params":{"type":"object","required":["b"]}}]}`, `requires "b"`},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := parse([]byte(c.text)); err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v, want ...%s...", err, c.says)
			}
		})
	}
}

func TestParametersAreCheckedAsTheirSchemaSays(t *testing.T) {
	kinds, err := parse([]byte(`{"types":[{"type":"X","timeout_seconds":1,"params":{"type":"object","required":["word"],"properties":{
		"word":{"type":"string","enum":["a.b","c"]},"n":{"type":"integer"},"on":{"type":"boolean"},"part":{"type":"string","pattern":"b+"},
		"all":{"type":"string","pattern":"^b+$"},"text":{"type":"string"}}}}]}`))
	if err != nil {
		t.Fatal(err)
	}
	for value, good := range map[string]bool{
		"word=a.b": true, "word=axb": false, "n=-12": true, "n=1.5": false, "on=true": true, "on=yes": false,
		"part=abc": true, "part=ac": false, "all=bb": true, "all=abc": false, "text=any\nthing": true,
	} {
		name, value, _ := strings.Cut(value, "=")
		spec := map[string]string{"word": "c", name: value}
		if err := kinds[0].CheckSpec(spec); (err == nil) != good {
			t.Errorf("%s=%s: %v", name, value, err)
		}
	}
	if err := kinds[0].CheckSpec(nil); err == nil {
		t.Error("what is required may be missing")
	}
}

func FuzzDescription(f *testing.F) {
	f.Add([]byte(`{"version":"1","types":[{"type":"X","timeout_seconds":60,"params":{"type":"object","properties":{"a":{"type":"string","pattern":"^a|b$","default":"a"}}}}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		kinds, err := parse(text)
		if err != nil {
			return
		}
		for _, k := range kinds {
			if !protocol.ValidType(k.Type) || k.Timeout() <= 0 || !slices.IsSortedFunc(k.Params, func(a, b protocol.Param) int { return strings.Compare(a.Name, b.Name) }) {
				t.Errorf("%+v", k)
			}
			_ = k.CheckSpec(map[string]string{"a": "b"})
		}
	})
}

func FuzzResult(f *testing.F) {
	f.Add([]byte(`{"message":"m","code":"SITE_X","reboot_required":true}`))
	name := filepath.Join(f.TempDir(), "result")
	f.Fuzz(func(t *testing.T, text []byte) {
		if err := os.WriteFile(name, text, 0o600); err != nil {
			t.Fatal(err)
		}
		o, err := readResult(name)
		if err == nil && (!codePattern.MatchString(o.Code) || o.Message != protocol.Clip(o.Message)) {
			t.Errorf("%+v", o)
		}
	})
}

func TestACancelledWaitEnds(t *testing.T) {
	r := newRig(t)
	e := r.plugin("", "exit 75")
	ctx, cancel := context.WithCancelCause(t.Context())
	r.host.OnProgress = func(hosttest.Progress) { cancel(executors.ErrCancelled) }
	if _, err := e.Execute(ctx, r.host, nil); !errors.Is(err, executors.ErrCancelled) {
		t.Errorf("it ends with %v", err)
	}
}

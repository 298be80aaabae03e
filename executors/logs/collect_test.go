package logs_test

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"devserver-agent/executors"
	"devserver-agent/executors/logs"
	"devserver-agent/protocol"
	"devserver-agent/test/fakehost"
	"devserver-agent/test/hosttest"
)

func TestMain(m *testing.M) { os.Exit(fakehost.Main(m)) }

// bed is a fake host, and an HTTP server that keeps what is put to it.
type bed struct {
	*testing.T
	fake    *fakehost.Host
	host    *hosttest.Host
	collect logs.Collect
	url     string
	put     [][]byte
	answers []int // status codes to give, then 200
}

func newBed(t *testing.T) *bed {
	t.Helper()
	fake := fakehost.ForTest(t, fakehost.A2, fakehost.Options{})
	b := &bed{T: t, fake: fake, host: hosttest.New(t, fake.Root()), collect: logs.Collect{Root: fake.Root(), StateDir: t.TempDir(), ServerID: "srv-1", SendPause: time.Millisecond}}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if r.Method != http.MethodPut || err != nil || r.ContentLength != int64(len(body)) {
			t.Errorf("%s of %d bytes, %v", r.Method, r.ContentLength, err)
		}
		b.put = append(b.put, body)
		if len(b.answers) > 0 {
			w.WriteHeader(b.answers[0])
			fmt.Fprint(w, "<Error>token=abc</Error>")
			b.answers = b.answers[1:]
		}
	}))
	t.Cleanup(server.Close)
	b.url = server.URL + "/logs/a?X-Amz-Signature=0123456789abcdef"
	return b
}

func (b *bed) write(name, text string) {
	b.Helper()
	path := b.fake.Path(name)
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
		b.Fatal(err)
	}
}

// unpack is a bundle's files by name.
func unpack(t *testing.T, packed []byte) map[string]string {
	t.Helper()
	plain, err := zstd.NewReader(bytes.NewReader(packed))
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	files := map[string]string{}
	for in := tar.NewReader(plain); ; {
		header, err := in.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(in)
		if err != nil {
			t.Fatal(err)
		}
		files[header.Name] = string(text)
	}
}

func TestABundleHasWhatAnEngineerAsksFor(t *testing.T) {
	b := newBed(t)
	b.write("/var/log/ascend_seclog/ascend_install.log", "[Driver] [INFO]Start time\n")
	b.write("/var/log/npu/slog/host-0.log", "connect with password=hunter2 to https://u:pw@example.com/x?Signature=abc&y=1\n")
	b.write("/root/ascend/log/plog/bin", "\x00\x01\x02password=kept, it is no text")
	result, err := b.collect.Execute(t.Context(), b.host, executors.Spec{"url": b.url})
	if err != nil {
		t.Fatal(err)
	}
	files := unpack(t, b.put[0])
	for name, want := range map[string]string{
		"host/var/log/ascend_seclog/ascend_install.log":               "[Driver] [INFO]Start time\n",
		"host/var/log/npu/slog/host-0.log":                            "connect with password=*** to https://***@example.com/x?Signature=***&y=1\n",
		"host/root/ascend/log/plog/bin":                               "\x00\x01\x02password=kept, it is no text",
		"msnpureport/2026-03-02-09-20-00/slog/dev-os-7/device-os.log": "[INFO] TSDEV(0,tsfw): heartbeat\n",
		"npu-smi/info.txt":                                            "| NPU   Name ",
		"host/dmesg.txt":                                              "Linux version",
		"host/agent.txt":                                              "connected to nats://***@10.0.0.5:4222\n",
		"host/usr/local/Ascend/driver/version.info":                   "Version=24.1.0\n",
		"MISSING": "host/lspci.txt: lspci is not installed",
	} {
		if !strings.Contains(files[name], want) {
			t.Errorf("%s is %q, want ...%q...", name, files[name], want)
		}
	}
	if !strings.HasSuffix(result.Message, "; left out: 1, see MISSING in it") || strings.Contains(result.Message, "Signature") || !strings.Contains(result.Message, "are at http://127.0.0.1:") {
		t.Errorf("message is %q", result.Message)
	}
	if strings.Contains(b.host.Output(), "0123456789abcdef") {
		t.Errorf("output has the key: %s", b.host.Output())
	}
}

// Whoever may write a log must not choose what is sent.
func TestWhatIsNoFileOfTheFolderStaysWhereItIs(t *testing.T) {
	b := newBed(t)
	b.write("/etc/shadow", "root:secret\n")
	b.write("/var/log/npu/slog/a.log", "a\n")
	for link, to := range map[string]string{
		"/var/log/npu/slog/b.log": "/etc/shadow", "/var/log/npu/slog/c.log": "../../../../etc/shadow", "/var/log/npu/slog/dir": b.fake.Path("/etc"), "/var/log/ascend_check": b.fake.Path("/etc"),
		"/etc/ascend_install.info": b.fake.Path("/etc/shadow"),
	} {
		path := b.fake.Path(link)
		if err := errors.Join(os.RemoveAll(path), os.Symlink(to, path)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := b.collect.Execute(t.Context(), b.host, executors.Spec{"url": b.url}); err != nil {
		t.Fatal(err)
	}
	files := unpack(t, b.put[0])
	for name, text := range files {
		if strings.Contains(text, "root:secret") {
			t.Errorf("%s has what a link points at", name)
		}
	}
	for _, name := range []string{"host/var/log/npu/slog/b.log", "host/var/log/npu/slog/dir", "host/var/log/ascend_check"} {
		if !strings.Contains(files["MISSING"], name+": it is no f") {
			t.Errorf("MISSING does not have %s:\n%s", name, files["MISSING"])
		}
	}
	if files["host/var/log/npu/slog/a.log"] != "a\n" {
		t.Errorf("the file beside them is %q", files["host/var/log/npu/slog/a.log"])
	}
}

func TestABundleIsBounded(t *testing.T) {
	b := newBed(t)
	b.write("/var/log/npu/a.log", strings.Repeat("a", 700<<10))
	b.write("/var/log/npu/b.log", strings.Repeat("b", 700<<10))
	if _, err := b.collect.Execute(t.Context(), b.host, executors.Spec{"url": b.url, "max_mb": "1"}); err != nil {
		t.Fatal(err)
	}
	files := unpack(t, b.put[0])
	if len(files["host/var/log/npu/a.log"]) != 700<<10 || files["host/var/log/npu/b.log"] != "" || !strings.Contains(files["MISSING"], "host/var/log/npu/b.log: no room") {
		t.Errorf("a has %d bytes, b %d:\n%s", len(files["host/var/log/npu/a.log"]), len(files["host/var/log/npu/b.log"]), files["MISSING"])
	}
}

func TestWhatBecomesOfABundle(t *testing.T) {
	var tested []fakehost.Fault
	for name, c := range map[string]struct {
		faults  map[fakehost.Fault][]string
		answers []int
		cut     bool
		spec    executors.Spec
		code    protocol.Code
		says    string
		starts  int // of msnpureport
		puts    int
	}{
		"sent":                     {says: "are at", starts: 1, puts: 1},
		"refused":                  {answers: []int{403}, code: protocol.LogsNotSent, says: `it answers 403 Forbidden: "<Error>token=***`, starts: 1, puts: 1},
		"sent at the second try":   {answers: []int{503}, says: "are at", starts: 1, puts: 2},
		"a redirect":               {answers: []int{307}, code: protocol.LogsNotSent, says: "it answers 307", starts: 1, puts: 1},
		"msnpureport was cut":      {cut: true, says: "are at", starts: 2, puts: 1},
		"msnpureport hangs":        {faults: map[fakehost.Fault][]string{fakehost.ReportHangs: nil}, says: "left out: 2", starts: 1, puts: 1},
		"nowhere to go":            {spec: executors.Spec{}, code: protocol.LogsNotSent, says: "Nothing was collected", starts: 0},
		"the driver does not work": {faults: map[fakehost.Fault][]string{fakehost.DriverDown: nil}, says: "are at", starts: 1, puts: 1},
	} {
		tested = slices.AppendSeq(tested, maps.Keys(c.faults))
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBed(t)
			b.answers = c.answers
			for f, args := range c.faults {
				if err := b.fake.SetFault(f, args...); err != nil {
					t.Fatal(err)
				}
			}
			if c.cut {
				b.host.Cut("msnpureport")
			}
			b.host.Hang("msnpureport", func() bool { // once it runs
				_, hangs := c.faults[fakehost.ReportHangs]
				journal, err := b.fake.Events()
				return hangs && err == nil && len(journal.Of(fakehost.KindStart, "msnpureport")) > 0
			})
			spec := c.spec
			if spec == nil {
				spec = executors.Spec{"url": b.url}
			}
			result, err := b.collect.Execute(t.Context(), b.host, spec)
			message := result.Message
			var failure *executors.Failure
			if errors.As(err, &failure) {
				message = failure.Message
			}
			if (c.code == "") != (err == nil) || failure != nil && failure.Code != c.code || !strings.Contains(message, c.says) || strings.Contains(message, "0123456789abcdef") {
				t.Errorf("it ends with %q, %v, want [%s] ...%s...", message, err, c.code, c.says)
			}
			if n := b.host.Starts("msnpureport"); n != c.starts || len(b.put) != c.puts {
				t.Errorf("msnpureport was started %d times, the bundle put %d times", n, len(b.put))
			}
		})
	}
	if missing := fakehost.Missing(fakehost.LogCollection, tested); missing != nil {
		t.Errorf("no row has %v", missing)
	}
}

// Replayed, it sends what it packed, and not what the host has by then.
func TestAReplaySendsTheSameBundle(t *testing.T) {
	b := newBed(t)
	first, err := b.collect.Execute(t.Context(), b.host, executors.Spec{"url": b.url})
	if err != nil {
		t.Fatal(err)
	}
	b.write("/var/log/npu/new.log", "new\n")
	b.host.Replay()
	again, err := b.collect.Execute(t.Context(), b.host, executors.Spec{"url": b.url})
	if err != nil || again != first || !bytes.Equal(b.put[0], b.put[1]) || b.host.Starts("msnpureport") != 1 {
		t.Errorf("first %+v, then %+v, %v", first, again, err)
	}
}

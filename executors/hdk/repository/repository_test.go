package repository_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"devserver-agent/executors/hdk/repository"
)

// content is a package of n bytes, and what an index says of it.
func content(name string, n int) ([]byte, repository.Package) {
	data := bytes.Repeat([]byte(name), n/len(name)+1)[:n]
	sum := sha256.Sum256(data)
	return data, repository.Package{Kind: repository.Driver, Version: "1.0", File: name, Size: int64(n), SHA256: hex.EncodeToString(sum[:])}
}

func folder(t *testing.T, files map[string][]byte) repository.Folder {
	t.Helper()
	dir := t.TempDir()
	for name, data := range files {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return repository.Folder(dir)
}

func cache(t *testing.T) *repository.Cache {
	return &repository.Cache{Dir: filepath.Join(t.TempDir(), "cache"), Pause: time.Millisecond}
}

func TestFetchPutsAVerifiedPackageIntoTheFolder(t *testing.T) {
	data, p := content("a.run", 100_000)
	source, c, dir := folder(t, map[string][]byte{"a.run": data}), cache(t), t.TempDir()
	var told int64
	path, err := c.Fetch(context.Background(), source, p, dir, func(n int64) { told = n })
	if err != nil || repository.Verify(path, p) != nil || told != p.Size {
		t.Fatalf("%s, %v, told %d", path, err, told)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	// Now without the source: from the cache for another task, from the folder for this one.
	nowhere := repository.Folder(filepath.Join(t.TempDir(), "gone"))
	for _, dir := range []string{dir, t.TempDir()} {
		if _, err := c.Fetch(context.Background(), nowhere, p, dir, nil); err != nil {
			t.Error(err)
		}
	}
	if err := os.WriteFile(path, []byte("changed"), 0o700); err != nil { // the cache's file too: it is a link
		t.Fatal(err)
	}
	if _, err := c.Fetch(context.Background(), source, p, dir, nil); err != nil || repository.Verify(path, p) != nil {
		t.Errorf("a changed file was not fetched again: %v", err)
	}
}

func TestFetchRefusesWhatIsNotDeclared(t *testing.T) {
	data, p := content("a.run", 1000)
	for name, c := range map[string]struct {
		files map[string][]byte
		want  error
	}{
		"other bytes":    {map[string][]byte{"a.run": bytes.Repeat([]byte("x"), 1000)}, repository.ErrDamaged},
		"a byte more":    {map[string][]byte{"a.run": append(bytes.Clone(data), 'x')}, repository.ErrDamaged},
		"a byte less":    {map[string][]byte{"a.run": data[:999]}, repository.ErrDamaged},
		"an empty file":  {map[string][]byte{"a.run": nil}, repository.ErrDamaged},
		"no such file":   {nil, fs.ErrNotExist},
		"another folder": {map[string][]byte{"b/a.run": data}, fs.ErrNotExist},
	} {
		t.Run(name, func(t *testing.T) {
			store, dir := cache(t), t.TempDir()
			path, err := store.Fetch(context.Background(), folder(t, c.files), p, dir, nil)
			if !errors.Is(err, c.want) || path != "" {
				t.Errorf("%s, %v", path, err)
			}
			if left, _ := os.ReadDir(dir); len(left) > 0 {
				t.Errorf("left %v", left)
			}
		})
	}
	if _, err := cache(t).Fetch(context.Background(), repository.Folder(t.TempDir()), repository.Package{File: "../a.run"}, t.TempDir(), nil); err == nil {
		t.Error("a file outside of the repository was read")
	}
}

func TestACacheEvictsTheOldestThatNoTaskNames(t *testing.T) {
	files := map[string][]byte{}
	var packages []repository.Package
	for i := range 5 {
		data, p := content(fmt.Sprintf("%d.run", i), 1000)
		files[p.File], packages = data, append(packages, p)
	}
	source, c := folder(t, files), cache(t)
	c.Limit = 2500
	live := t.TempDir()
	for i, p := range packages {
		dir := live // the first is named by a task all the time
		if i > 0 {
			dir = t.TempDir()
		}
		path, err := c.Fetch(context.Background(), source, p, dir, nil)
		if err != nil {
			t.Fatal(err)
		}
		if i > 0 {
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
		}
		old := time.Now().Add(time.Duration(i-10) * time.Hour)
		if err := os.Chtimes(filepath.Join(c.Dir, p.SHA256), old, old); err != nil {
			t.Fatal(err)
		}
	}
	for i, kept := range []bool{true, false, false, true, true} {
		if _, err := os.Stat(filepath.Join(c.Dir, packages[i].SHA256)); (err == nil) != kept {
			t.Errorf("package %d: %v", i, err)
		}
	}
}

// server serves a package and breaks the connection after some bytes, as often
// as it is told to.
type server struct {
	data     []byte
	cuts     int
	noRanges bool
	asked    []string // ranges
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.asked = append(s.asked, r.Header.Get("Range"))
	if s.noRanges {
		r.Header.Del("Range")
		w.Header().Set("Accept-Ranges", "none")
	}
	if s.cuts > 0 {
		s.cuts--
		var from int64
		if header := r.Header.Get("Range"); header != "" {
			if _, err := fmt.Sscanf(header, "bytes=%d-", &from); err != nil {
				http.Error(w, err.Error(), http.StatusBadRequest)
				return
			}
			w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, len(s.data)-1, len(s.data)))
		}
		w.Header().Set("Content-Length", fmt.Sprint(int64(len(s.data))-from))
		if from > 0 {
			w.WriteHeader(http.StatusPartialContent)
		}
		if _, err := w.Write(s.data[from : from+1000]); err == nil {
			w.(http.Flusher).Flush()
		}
		panic(http.ErrAbortHandler)
	}
	http.ServeContent(w, r, "a.run", time.Time{}, bytes.NewReader(s.data))
}

func TestADownloadIsResumed(t *testing.T) {
	data, p := content("a.run", 10_000)
	for name, s := range map[string]*server{
		"in one go":          {data: data},
		"after three cuts":   {data: data, cuts: 3},
		"without its ranges": {data: data, noRanges: true},
	} {
		t.Run(name, func(t *testing.T) {
			cuts := s.cuts
			web := httptest.NewServer(s)
			defer web.Close()
			source, err := repository.NewHTTP(web.URL + "/hdk/")
			if err != nil {
				t.Fatal(err)
			}
			c := cache(t)
			if s.noRanges { // the beginning is there already
				if err := os.MkdirAll(c.Dir, 0o700); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(filepath.Join(c.Dir, p.SHA256+".part"), data[:4000], 0o700); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := c.Fetch(context.Background(), source, p, t.TempDir(), nil); err != nil {
				t.Fatal(err)
			}
			if len(s.asked) != cuts+1 || cuts > 0 && s.asked[cuts] != fmt.Sprintf("bytes=%d-", 1000*cuts) {
				t.Errorf("asked for %q", s.asked)
			}
		})
	}
}

func TestAWrongPartIsThrownAway(t *testing.T) {
	data, p := content("a.run", 10_000)
	c := cache(t)
	if err := os.MkdirAll(c.Dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, part := range map[string][]byte{"other bytes": bytes.Repeat([]byte("?"), 4000), "too long": bytes.Repeat([]byte("?"), 20_000)} {
		t.Run(name, func(t *testing.T) {
			if err := os.WriteFile(filepath.Join(c.Dir, p.SHA256+".part"), part, 0o700); err != nil {
				t.Fatal(err)
			}
			path, err := c.Fetch(context.Background(), folder(t, map[string][]byte{"a.run": data}), p, t.TempDir(), nil)
			if err != nil || repository.Verify(path, p) != nil {
				t.Error(err)
			}
			if err := os.Remove(filepath.Join(c.Dir, p.SHA256)); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func TestADownloadGivesUpAndEndsWithItsTask(t *testing.T) {
	_, p := content("a.run", 10_000)
	asked := 0
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked++
		http.Error(w, "no", http.StatusServiceUnavailable)
	}))
	defer web.Close()
	source, err := repository.NewHTTP(web.URL)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := cache(t).Fetch(context.Background(), source, p, t.TempDir(), nil); err == nil || !strings.Contains(err.Error(), "503") || asked != 6 {
		t.Errorf("after %d requests: %v", asked, err)
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	stopped := errors.New("stopped")
	cancel(stopped)
	if _, err := cache(t).Fetch(ctx, source, p, t.TempDir(), nil); !errors.Is(err, stopped) {
		t.Errorf("got %v", err)
	}
}

func TestAnIndexIsAskedForAgainWhereThatHelps(t *testing.T) {
	const index = `{"releases":[{"version":"24.1.0"}]}`
	status := func(code int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
	}
	for name, c := range map[string]struct {
		first http.HandlerFunc // what the first two requests get
		asked int
		says  string // "": the third is answered
	}{
		"a server that is being restarted": {status(http.StatusServiceUnavailable), 3, ""},
		"one that is asked too often":      {status(http.StatusTooManyRequests), 3, ""},
		"a connection that is cut":         {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, 3, ""},
		"an answer that is cut": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1000")
			fmt.Fprint(w, index)
		}, 3, ""},
		"no such file":       {status(http.StatusNotFound), 1, "404"},
		"not without a name": {status(http.StatusUnauthorized), 1, "401"},
		"not for this one":   {status(http.StatusForbidden), 1, "403"},
		"no index":           {func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>") }, 1, "invalid character"},
	} {
		t.Run(name, func(t *testing.T) {
			asked := 0
			web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if asked++; asked <= 2 {
					c.first(w, r)
					return
				}
				fmt.Fprint(w, index)
			}))
			defer web.Close()
			source, err := repository.NewHTTP(strings.Replace(web.URL, "http://", "http://operator:hidden@", 1) + "?token=hidden")
			if err != nil {
				t.Fatal(err)
			}
			got, err := cache(t).Index(context.Background(), source)
			if (err == nil) != (c.says == "") || err != nil && (!strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "hidden")) {
				t.Errorf("error is %v", err)
			}
			if asked != c.asked || err == nil && len(got.Releases) != 1 {
				t.Errorf("asked %d times, got %+v", asked, got)
			}
		})
	}
}

func TestAnIndexThatCannotBeHadIsGivenUp(t *testing.T) {
	web := httptest.NewServer(nil)
	web.Close() // nobody listens there
	source, err := repository.NewHTTP(strings.Replace(web.URL, "http://", "http://operator:hidden@", 1) + "?token=hidden")
	if err != nil {
		t.Fatal(err)
	}
	_, err = cache(t).Index(context.Background(), source)
	if err == nil || !strings.Contains(err.Error(), "connection refused (tried 6 times)") || strings.Contains(err.Error(), "hidden") {
		t.Errorf("error is %v", err)
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	stopped := errors.New("stopped")
	cancel(stopped)
	if _, err := cache(t).Index(ctx, source); !errors.Is(err, stopped) {
		t.Errorf("error is %v", err)
	}
}

func TestRedirectsKeepTheirScheme(t *testing.T) {
	data, p := content("a.run", 1000)
	plain := httptest.NewServer(&server{data: data})
	defer plain.Close()
	for name, c := range map[string]struct {
		to  string
		bad bool
	}{"to the same": {plain.URL + "/there", false}, "to another": {"https://127.0.0.1:1/there", true}} {
		t.Run(name, func(t *testing.T) {
			web := httptest.NewServer(http.RedirectHandler(c.to, http.StatusFound))
			defer web.Close()
			source, err := repository.NewHTTP(web.URL)
			if err != nil {
				t.Fatal(err)
			}
			_, err = cache(t).Fetch(context.Background(), source, p, t.TempDir(), nil)
			if (err != nil) != c.bad || c.bad && !strings.Contains(err.Error(), "redirect from http to https is refused") {
				t.Error(err)
			}
		})
	}
}

func TestLocate(t *testing.T) {
	for location, ok := range map[string]bool{
		"/srv/hdk": true, "http://mirror/hdk": true, "https://mirror/hdk": true, "object://hdk": true,
		"": false, "srv/hdk": false, "ftp://mirror": false, "https://": false,
	} {
		source, err := repository.Locate(location, func(bucket string) (repository.Source, error) { return repository.Folder("/" + bucket), nil })
		if (err == nil) != ok || ok && source == nil {
			t.Errorf("%q: %v, %v", location, source, err)
		}
	}
	if _, err := repository.Locate("object://hdk", nil); err == nil {
		t.Error("an object store that nobody has")
	}
	if _, err := repository.Locate("", nil); !errors.Is(err, repository.ErrNone) {
		t.Error(err)
	}
}

func TestALinkOutOfTheFolderIsNotFollowed(t *testing.T) {
	source := folder(t, map[string][]byte{"a.run": nil})
	if err := os.Symlink("/etc/passwd", filepath.Join(string(source), "b.run")); err != nil {
		t.Fatal(err)
	}
	if file, err := source.Open(context.Background(), "b.run", 0); err == nil {
		text, _ := io.ReadAll(file)
		t.Errorf("read %q", text)
	} else if want := "b.run is a link that leads out of the folder"; !strings.Contains(err.Error(), want) {
		t.Error(err)
	}
}

func TestIndexesThatMakeNoSenseAreRefused(t *testing.T) {
	good := `{"releases":[{"version":"24.1.RC3.10","more":1,"packages":[{"kind":"mcu","chip":"910b","arch":"noarch","version":"1.0","file":"a/b.run","size":1,"sha256":"` + strings.Repeat("A", 64) + `","requires":"[1.0,2.0]"}]}]}`
	index, err := repository.ParseIndex([]byte(good))
	if err != nil || index.Releases[0].Version != "24.1.rc3.10" || index.Releases[0].Packages[0].SHA256 != strings.Repeat("a", 64) {
		t.Fatalf("%+v, %v", index, err)
	}
	for name, change := range map[string][2]string{
		"no JSON":           {`{"releases"`, `["releases"`},
		"a release of none": {"24.1.RC3.10", "newest"},
		"a path upwards":    {"a/b.run", "../b.run"},
		"an absolute path":  {"a/b.run", "/b.run"},
		"an option":         {"a/b.run", "-b.run"},
		"an empty file":     {`"size":1`, `"size":0`},
		"a huge file":       {`"size":1`, `"size":9000000000000`},
		"a short digest":    {strings.Repeat("A", 64), "A"},
		"ranges of nothing": {"[1.0,2.0]", "[2.0,1.0]"},
		"a wrong version":   {`"version":"1.0"`, `"version":"?"`},
	} {
		if _, err := repository.ParseIndex([]byte(strings.Replace(good, change[0], change[1], 1))); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
}

func FuzzIndex(f *testing.F) {
	f.Add([]byte(`{"releases":[{"version":"1.0","packages":[{"kind":"driver","chip":"910b","arch":"aarch64","version":"1.0","file":"a.run","size":1,"sha256":""}]}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		index, err := repository.ParseIndex(data)
		if err != nil {
			return
		}
		for _, r := range index.Releases {
			for _, p := range r.Packages {
				if p.Size <= 0 || len(p.SHA256) != 64 || strings.Contains(p.File, "..") && !fs.ValidPath(p.File) || strings.HasPrefix(p.File, "/") {
					t.Errorf("took %+v", p)
				}
			}
		}
	})
}

package container

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// lines are numbered lines, as a container prints them: from included, to not.
func lines(from, to int) string {
	var b strings.Builder
	for i := from; i < to; i++ {
		fmt.Fprintf(&b, "line %d\n", i)
	}
	return b.String()
}

func ticks(n int) string { return strings.Repeat("tick\n", n) }

// send writes text as an engine does, a frame for each line, and at once.
func send(w http.ResponseWriter, text string) {
	for line := range strings.Lines(text) {
		length := len(line)
		_, _ = w.Write([]byte{1, 0, 0, 0, byte(length >> 24), byte(length >> 16), byte(length >> 8), byte(length)})
		_, _ = io.WriteString(w, line) // a reader that is gone is the test's own
	}
	_ = http.NewResponseController(w).Flush()
}

// follows tells a request for the log that follows it from one that reads it.
func follows(r *http.Request) bool { return r.URL.Query().Get("follow") == "true" }

// ran are the answers of an engine whose container starts and ends with exit code 9.
func ran(logs http.HandlerFunc) map[string]http.HandlerFunc {
	return map[string]http.HandlerFunc{
		"GET json":   func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"State":{"Status":"created"}}`) },
		"POST start": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) },
		"POST wait":  func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"StatusCode":9}`) },
		"GET logs":   logs,
	}
}

const missing = "[output is missing above. This is all that the container engine kept:]\n"

// What the follow of an engine leaves out is printed when the container has ended. The
// engine imitates what output.go says of Podman 4.3.1 and Docker.
func TestAllOutputIsPrinted(t *testing.T) {
	for name, c := range map[string]struct {
		follow, log string // what the engine gives
		want        string
	}{
		"followed to its end":                  {lines(0, 3000), lines(0, 3000), lines(0, 3000)},
		"nothing printed":                      {"", "", ""},
		"followed from too late":               {"", "asked\n", "asked\n"},
		"Podman: the follow ends early":        {lines(0, 1), lines(0, 3), lines(0, 3)},
		"Podman: it ends early in much output": {lines(0, 2000), lines(0, 30000), lines(0, 30000)},
		"Podman: it skips lines": {lines(0, 1000) + lines(1100, 3000), lines(0, 3000),
			lines(0, 1000) + lines(1100, 3000) + missing + lines(0, 3000)},
		"Podman: it skips lines and ends early": {lines(0, 1000) + lines(1100, 2000), lines(0, 3000),
			lines(0, 1000) + lines(1100, 2000) + missing + lines(0, 3000)},
		"Podman: it skips the last lines but one": {lines(0, 1) + lines(2, 3), lines(0, 3), lines(0, 1) + lines(2, 3) + missing + lines(0, 3)},
		"Podman: it ends in half a line":          {"a\nb", "a\nc\n", "a\nb\n" + missing + "a\nc\n"},
		"Docker: the log was rotated":             {lines(0, 2500), lines(1000, 3000), lines(0, 3000)},
		"Docker: it was rotated after the end":    {lines(0, 3000), lines(1000, 3000), lines(0, 3000)},
		"Docker: it was rotated too far":          {lines(0, 2000), lines(2500, 3000), lines(0, 2000) + missing + lines(2500, 3000)},
		"Docker: rotations were missed":           {lines(0, 1000) + lines(1500, 2500), lines(2000, 3000), lines(0, 1000) + lines(1500, 3000)},
		"the same again and again":                {ticks(3000), ticks(4000), ticks(4000)},
		"the same again and again, rotated":       {ticks(3000), ticks(2000), ticks(3000) + missing + ticks(2000)},
		"an error among the same, rotated":        {ticks(2000) + "error\n" + ticks(1000), ticks(1000) + "error\n" + ticks(1100), ticks(2000) + "error\n" + ticks(1000) + missing + ticks(1000) + "error\n" + ticks(1100)},
		"the log is gone":                         {lines(0, 10), "", lines(0, 10)},
	} {
		t.Run(name, func(t *testing.T) {
			socket := engineOf(t, ran(func(w http.ResponseWriter, r *http.Request) {
				if follows(r) {
					send(w, c.follow)
				} else {
					send(w, c.log)
				}
			}))
			var out bytes.Buffer
			if code := Main(t.Context(), "run", strings.NewReader(fmt.Sprintf(`{"name":"n","image":"i","sockets":[%q]}`, socket)), &out); code != 9 {
				t.Errorf("it ends with %d", code)
			}
			if diff := cmp.Diff(c.want, out.String()); diff != "" {
				t.Errorf("it printed (-want +got):\n%s", diff)
			}
		})
	}
}

// A connection that breaks in the middle of a frame loses nothing, and a log that
// nobody can read (Docker answers so for its log driver "none") changes no exit code.
func TestAFollowThatBreaks(t *testing.T) {
	for name, c := range map[string]struct {
		logs http.HandlerFunc
		want string
	}{
		"in a frame": {func(w http.ResponseWriter, r *http.Request) {
			if !follows(r) {
				send(w, "one\nand two\n")
				return
			}
			send(w, "one\n")
			fmt.Fprint(w, "\x01\x00\x00\x00\x00\x00\x00\x08and ")
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler) // the connection is closed
		}, "one\nand [its output is read on when it has ended: unexpected EOF]\ntwo\n"},
		"before it begins": {func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusNotImplemented)
			fmt.Fprint(w, `{"message":"configured logging driver does not support reading"}`)
		}, "[its output is read on when it has ended: the container engine answers 501: configured logging driver does not support reading]\n" +
			"[its output may be missing here: the container engine answers 501: configured logging driver does not support reading]\n"},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			code := Main(t.Context(), "run", strings.NewReader(fmt.Sprintf(`{"name":"n","image":"i","sockets":[%q]}`, engineOf(t, ran(c.logs)))), &out)
			if diff := cmp.Diff(c.want, out.String()); diff != "" || code != 9 {
				t.Errorf("it ends with %d and printed (-want +got):\n%s", code, diff)
			}
		})
	}
}

// pipes is a listener in memory: what is dialled is accepted.
type pipes chan net.Conn

func (p pipes) Accept() (net.Conn, error) {
	if c, open := <-p; open {
		return c, nil
	}
	return nil, net.ErrClosed
}
func (p pipes) Close() error   { return nil }
func (p pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "unix"} }

// engineInMemory is like engineOf, for a bubble of synctest.
func engineInMemory(answers map[string]http.HandlerFunc) (e engine, end func()) {
	listener, server := make(pipes), &http.Server{Handler: handler(answers)}
	go func() { _ = server.Serve(listener) }() // it ends with the listener
	transport := &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
		here, there := net.Pipe()
		listener <- there
		return here, nil
	}}
	return engine{&http.Client{Transport: transport}}, func() {
		transport.CloseIdleConnections()
		close(listener)
		server.Close()
	}
}

// Podman's follow does not end when the container dies while it turns to the events;
// Docker's did not when the log was rotated.
func TestAFollowThatDoesNotEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ends := time.Now().Add(time.Hour)
		answers := ran(func(w http.ResponseWriter, r *http.Request) {
			if follows(r) {
				send(w, "early\n")
				<-r.Context().Done()
				return
			}
			if time.Now().Before(ends) {
				t.Error("the log is read before the container has ended")
			}
			send(w, "early\nlate\n")
		})
		started := false
		answers["POST start"] = func(w http.ResponseWriter, _ *http.Request) {
			started = true
			w.WriteHeader(http.StatusNoContent)
		}
		answers["GET json"] = func(w http.ResponseWriter, _ *http.Request) {
			status := "stopping" // Podman, which says that Running is false then
			switch {
			case !started:
				status = "created"
			case !time.Now().Before(ends):
				status = "exited"
			}
			fmt.Fprintf(w, `{"State":{"Status":%q}}`, status)
		}
		e, end := engineInMemory(answers)
		defer end()
		var out bytes.Buffer
		code, err := e.run(t.Context(), Run{Name: "n"}, &out)
		if code != 9 || err != nil || out.String() != "early\nlate\n" {
			t.Errorf("it ends with %d, %v and printed %q", code, err, out.String())
		}
		if late := time.Since(ends); late > 3*lookEvery {
			t.Errorf("it ends %v after its container", late)
		}
	})
}

// Told to stop, the program prints what its container says to that, but ends before it
// is killed, which would lose the exit code too.
func TestToldToStopTheLogIsReadInAHurry(t *testing.T) {
	for name, c := range map[string]struct {
		hangs  bool // the log, when it is read
		follow bool // goes on when the container has ended
		want   string
	}{
		"in time":                     {false, false, "start\nasked\n"},
		"late":                        {true, false, "start\nasked\n[its output may be missing here: " + errHurry.Error() + "]\n"},
		"and the follow does not end": {false, true, "start\nasked\n"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, stop := context.WithCancel(t.Context())
				stopped := make(chan struct{})
				answers := ran(func(w http.ResponseWriter, r *http.Request) {
					if follows(r) { // Podman: it ends while the container is being stopped
						send(w, "start\n")
						stop()
						if c.follow {
							<-r.Context().Done()
						}
						return
					}
					send(w, "start\nasked\n")
					if c.hangs {
						<-r.Context().Done()
					}
				})
				answers["POST stop"] = func(w http.ResponseWriter, r *http.Request) {
					if seconds := r.URL.Query().Get("t"); seconds != "25" {
						t.Errorf("the container may take %s s", seconds)
					}
					<-time.After(stopTimeout) // then the engine kills it
					close(stopped)
					w.WriteHeader(http.StatusNoContent)
				}
				answers["GET json"] = func(w http.ResponseWriter, _ *http.Request) {
					status := "created"
					select {
					case <-stopped:
						status = "exited"
					default:
					}
					fmt.Fprintf(w, `{"State":{"Status":%q}}`, status)
				}
				answers["POST wait"] = func(w http.ResponseWriter, _ *http.Request) {
					<-stopped
					fmt.Fprint(w, `{"StatusCode":137}`)
				}
				e, end := engineInMemory(answers)
				defer end()
				began := time.Now()
				var out bytes.Buffer
				code, err := e.run(ctx, Run{Name: "n"}, &out)
				if diff := cmp.Diff(c.want, out.String()); diff != "" || code != 137 || err != nil {
					t.Errorf("it ends with %d, %v and printed (-want +got):\n%s", code, err, diff)
				}
				if took := time.Since(began); took >= stopTimeout+stopMargin {
					t.Errorf("it ends after %v and is killed before", took)
				}
			})
		})
	}
}

// What is kept of the output does not grow with it.
func TestMuchOutputTakesLittleMemory(t *testing.T) {
	chunk := []byte(strings.Repeat("a line like all the others\n", 1000))
	const chunks = 2000 // 54 MB
	var printed printed
	printed.to = io.Discard
	grown := testing.AllocsPerRun(1, func() {
		for range chunks {
			if _, err := printed.Write(chunk); err != nil {
				t.Fatal(err)
			}
		}
		place := printed.place()
		for range chunks {
			if _, err := place.Write(chunk); err != nil {
				t.Fatal(err)
			}
		}
		place.rest()
		if kept := cap(printed.end) + cap(place.window); kept > 256<<10 {
			t.Errorf("%d bytes are kept", kept)
		}
	})
	if grown > 100 {
		t.Errorf("%v allocations", grown)
	}
}

// Whatever a follow gave of a log, each of the log's lines is printed.
func FuzzAllLinesArePrinted(f *testing.F) {
	f.Add(uint16(1000), uint16(0), uint16(0), uint16(900), uint16(0))
	f.Add(uint16(3000), uint16(500), uint16(600), uint16(2000), uint16(0))
	f.Add(uint16(3000), uint16(0), uint16(0), uint16(2900), uint16(2500))
	f.Add(uint16(3000), uint16(0), uint16(0), uint16(2000), uint16(2500))
	f.Fuzz(func(t *testing.T, size, holeFrom, holeTo, followed, kept uint16) {
		all := int(size % 5000)
		end := int(followed) % (all + 1)
		from, to := int(holeFrom)%(end+1), int(holeTo)%(end+1)
		if from > to {
			from, to = to, from
		}
		rotated := 0
		if from == to { // else a hole is not told from what was rotated away
			rotated = int(kept) % (all + 1)
		}
		var out bytes.Buffer
		seen := &printed{to: &out}
		fmt.Fprint(seen, lines(0, from)+lines(to, end))
		log := lines(rotated, all)
		place := seen.place()
		for text := log; text != ""; { // in pieces that end somewhere
			n := min(len(text), 1+len(text)%977)
			if _, err := io.WriteString(place, text[:n]); err != nil {
				t.Fatal(err)
			}
			text = text[n:]
		}
		if begins, _ := place.rest(); begins < int64(len(log)) {
			fmt.Fprint(&skipper{&out, begins}, log)
		}
		if from == to && rotated == 0 && out.String() != log {
			t.Fatalf("%d lines after a follow of %d are not printed as they are", all, end)
		}
		have := map[string]bool{}
		for line := range strings.Lines(out.String()) {
			have[line] = true
		}
		for line := range strings.Lines(log) {
			if !have[line] {
				t.Fatalf("%q of %d to %d is not printed after a follow of %d to %d and %d to %d", line, rotated, all, 0, from, to, end)
			}
		}
	})
}

var errFull = errors.New("full")

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errFull }

// A writer that fails is reported wherever output goes through.
func TestOutputThatCannotBeWritten(t *testing.T) {
	seen := &printed{to: full{}}
	if _, err := io.WriteString(seen, "x"); !errors.Is(err, errFull) || seen.size != 0 {
		t.Errorf("printed: %v, %d bytes", err, seen.size)
	}
	if _, err := io.WriteString(seen.place(), "x"); !errors.Is(err, errFull) {
		t.Errorf("the rest: %v", err)
	}
	if _, err := io.WriteString(&skipper{full{}, 1}, "xy"); !errors.Is(err, errFull) {
		t.Errorf("the log again: %v", err)
	}
}

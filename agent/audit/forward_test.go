package audit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"devserver-agent/protocol"
)

// receiver is a broker that takes lines, and may be away.
type receiver struct {
	t *testing.T

	mu    sync.Mutex
	lines []string
	away  bool
	tries int
}

// goAway goes or comes back, and says how often it was tried.
func (r *receiver) goAway(away bool) (tries int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.away = away
	return r.tries
}

func (r *receiver) take(_ context.Context, lines []string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.tries++; r.away {
		return errors.New("away")
	}
	size := 0
	for _, l := range lines {
		size += len(l)
	}
	if size > 2*protocol.MaxAuditLine {
		r.t.Errorf("%d bytes at once", size)
	}
	r.lines = append(r.lines, lines...)
	return nil
}

// chained checks that what has arrived is the chain, from number first on.
func (r *receiver) chained(first, last int64) {
	r.t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if int64(len(r.lines)) != last-first+1 {
		r.t.Fatalf("%d lines have arrived, not those from %d to %d", len(r.lines), first, last)
	}
	prev := ""
	for n, text := range r.lines {
		var line Line
		if err := json.Unmarshal([]byte(text), &line); err != nil || line.Seq != first+int64(n) || n > 0 && line.Prev != prev {
			r.t.Fatalf("line %d is %s, %v", n, text, err)
		}
		prev = digest([]byte(text))
	}
}

// forwarding runs Forward for a while.
func forwarding(l *Log, r *receiver, while func()) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); l.Forward(ctx, r.take, func(error) {}) }()
	while()
	cancel()
	<-ended
}

func TestLinesAreForwardedOnceAndInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		l, err := Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		l.limit = 4 << 10 // it is put aside again and again
		r := &receiver{t: t}
		add := func(n int) {
			for range n {
				l.Add(Entry{Event: Begun, Message: strings.Repeat("x", 200)})
			}
		}
		forwarding(l, r, func() {
			add(3)
			sleep(time.Minute)
			r.chained(1, 3)
			add(60)
			sleep(time.Minute)
			r.chained(1, 63)
			r.goAway(true)
			add(20)
			sleep(time.Hour)
			if tries := r.goAway(false); tries > 40 {
				t.Errorf("a broker that is away is tried %d times in an hour", tries)
			}
			sleep(10 * time.Minute)
			r.chained(1, 83)
		})
		add(5) // nobody sends them
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		again, err := Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		forwarding(again, r, func() {
			again.Add(Entry{Event: Started})
			sleep(time.Minute)
			r.chained(1, 89)
		})
		if err := again.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

// TestAForwardedLogThatWasLost: what is left of it is sent, and a new one from its
// beginning.
func TestAForwardedLogThatWasLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, c := range map[string]struct {
			spoil       func(dir string) error
			first, last int64
		}{
			"the note of what was sent":  {func(dir string) error { return os.Remove(filepath.Join(dir, sentFile)) }, 1, 5},
			"a note that cannot be read": {func(dir string) error { return os.WriteFile(filepath.Join(dir, sentFile), []byte("{"), 0o600) }, 1, 5},
			"the log itself":             {func(dir string) error { return os.Remove(filepath.Join(dir, current)) }, 1, 1},
			"nothing":                    {func(string) error { return nil }, 5, 5},
		} {
			dir := t.TempDir()
			for round := range 2 {
				l, err := Open(dir)
				if err != nil {
					t.Fatal(err)
				}
				r := &receiver{t: t}
				forwarding(l, r, func() {
					for n := range 4 - 3*round {
						l.Add(Entry{Event: Begun, Task: fmt.Sprint("t", n)})
					}
					sleep(time.Minute)
				})
				if err := l.Close(); err != nil {
					t.Fatal(err)
				}
				if round == 1 {
					t.Log(name)
					r.chained(c.first, c.last)
				} else if err := c.spoil(dir); err != nil {
					t.Fatal(err)
				}
			}
		}
	})
}

// sleep lets time pass in a bubble of synctest, and what waits in it do its work.
func sleep(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

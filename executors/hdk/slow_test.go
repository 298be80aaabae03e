package hdk_test

import (
	"context"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/tools/txtar"

	"devserver-agent/executors"
	"devserver-agent/executors/hdk"
	"devserver-agent/test/hosttest"
)

// slowHost is a host whose every call of npu-smi takes a while. It answers with a layout
// written by hand, for each card with that of one.
type slowHost struct {
	*hosttest.Host
	takes time.Duration
	list  string
	board string
	card  string // whose board it is

	mu                     sync.Mutex
	calls, running, atOnce int
}

var ofCard = regexp.MustCompile(`^npu-smi info -t board -i (\d+)$`)

// Query answers after a while, or is cut.
func (h *slowHost) Query(ctx context.Context, argv ...string) (executors.Reply, error) {
	h.begin(1)
	defer h.begin(-1)
	timer := time.NewTimer(h.takes)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
		return executors.Reply{}, context.Cause(ctx)
	}
	line := strings.Join(argv, " ")
	if line == "npu-smi info -l" {
		return executors.Reply{Output: []byte(h.list)}, nil
	}
	card := ofCard.FindStringSubmatch(line)
	if card == nil {
		return executors.Reply{}, fmt.Errorf("%s: %w", line, executors.ErrNotFound)
	}
	own := regexp.MustCompile(`(\tNPU ID +: )` + h.card + `\n`)
	return executors.Reply{Output: []byte(own.ReplaceAllString(h.board, "${1}"+card[1]+"\n"))}, nil
}

// begin counts a call that begins, or ends with -1.
func (h *slowHost) begin(n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.calls += max(0, n)
	h.running += n
	h.atOnce = max(h.atOnce, h.running)
}

// newSlowHost is a host of the family of a layout, without version.info.
func newSlowHost(t *testing.T, layout string, takes time.Duration) *slowHost {
	t.Helper()
	archive, err := txtar.ParseFile(filepath.Join("..", "..", "test", "fakehost", "tool", "testdata", "layouts", layout+".txtar"))
	if err != nil {
		t.Fatal(err)
	}
	h := &slowHost{Host: hosttest.New(t, t.TempDir()), takes: takes}
	for _, f := range archive.Files {
		switch card := ofCard.FindStringSubmatch(f.Name); {
		case f.Name == "npu-smi info -l":
			h.list = string(f.Data)
		case card != nil:
			h.board, h.card = string(f.Data), card[1]
		}
	}
	if h.list == "" || h.board == "" {
		t.Fatalf("%s has no list of cards or no board", layout)
	}
	return h
}

// HDK_QUERY answers within two seconds on a host with eight cards whose every call takes
// 0.6 s: it asks four at a time and no more. The time is that of a bubble, so that no
// machine is too slow for it.
func TestAQueryOfEightSlowCardsTakesTwoSeconds(t *testing.T) {
	for _, layout := range []string{"A2-metal", "A3-metal"} {
		t.Run(layout, func(t *testing.T) {
			host := newSlowHost(t, layout, 600*time.Millisecond)
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				result, err := hdk.Query{}.Execute(t.Context(), host, nil)
				took := time.Since(began)
				if err != nil || result.Code != "" || !strings.Contains(result.Message, " | running: driver ") {
					t.Errorf("it ends with %+v, %v", result, err)
				}
				if took > 2*time.Second {
					t.Errorf("it took %v", took)
				}
				if host.calls != 1+8 || host.atOnce > 4 {
					t.Errorf("%d calls, %d at a time", host.calls, host.atOnce)
				}
			})
		})
	}
}

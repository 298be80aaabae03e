package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strconv"

	"devserver-agent/agent/journal"
	"devserver-agent/protocol"
	"devserver-agent/test/support/wait"
)

// closed waits until the agent knows that all a task said has arrived.
func (r *rig) closed(task string) {
	r.t.Helper()
	wait.Until(r.t, task+" is closed on the host", func() error {
		_, err := os.Stat(filepath.Join(r.stateDir(), "open", task))
		switch {
		case errors.Is(err, os.ErrNotExist):
			return nil
		case err != nil:
			return err
		}
		return errors.New("it is open")
	})
}

// check says what of the promise does not hold for a task that has ended and is
// closed.
func (r *rig) check(task string) []error {
	return append(checkStatuses(r.of(task)), r.checkOutput(task)...)
}

// checkStatuses looks at what the broker has of one task, in stream order. Each
// installation counts its transitions without a gap, says one verdict and nothing
// after it, and what it says twice it says in the same words.
func checkStatuses(said []protocol.Status) []error {
	wrong := checkSame(said)
	last := map[string]int{}
	for _, s := range said {
		if s.Seq > last[s.InstallationID]+1 {
			wrong = append(wrong, fmt.Errorf("%s: status %d follows status %d", s.TaskID, s.Seq, last[s.InstallationID]))
		}
		last[s.InstallationID] = max(s.Seq, last[s.InstallationID])
	}
	return wrong
}

// checkSame is checkStatuses for a broker that forgot and is told again: in any
// order.
func checkSame(said []protocol.Status) (wrong []error) {
	speakers := map[string]map[int]protocol.Status{}
	for _, s := range said {
		if s.InstallationID == "" {
			continue // a verdict of the control plane has no number
		}
		bySeq := speakers[s.InstallationID]
		if bySeq == nil {
			bySeq = map[int]protocol.Status{}
			speakers[s.InstallationID] = bySeq
		}
		if former, again := bySeq[s.Seq]; again && !reflect.DeepEqual(former, s) {
			wrong = append(wrong, fmt.Errorf("%s: status %d was said as %+v and as %+v", s.TaskID, s.Seq, former, s))
		}
		bySeq[s.Seq] = s
	}
	for installation, bySeq := range speakers {
		task := said[0].TaskID
		for n := 1; n <= len(bySeq); n++ {
			s, there := bySeq[n]
			switch {
			case !there:
				wrong = append(wrong, fmt.Errorf("%s: installation %s said %d statuses, and none has the number %d", task, installation, len(bySeq), n))
			case s.Status.Terminal() && n < len(bySeq):
				wrong = append(wrong, fmt.Errorf("%s: the verdict %s is status %d of %d", s.TaskID, s.Status, n, len(bySeq)))
			}
		}
	}
	return wrong
}

// checkOutput compares what the broker has of a task's output, put together by
// its offsets, with the files on the host.
func (r *rig) checkOutput(task string) (wrong []error) {
	verdict := r.verdict(task)
	for item, extent := range verdict.Items {
		name := fmt.Sprintf("%s: output %d", task, item)
		file, err := os.ReadFile(filepath.Join(r.stateDir(), "tasks", task, "output", strconv.Itoa(item)))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return append(wrong, err)
		}
		if int64(len(file)) != extent.Bytes && verdict.Code != protocol.StepStuck || int64(len(file)) < extent.Bytes {
			wrong = append(wrong, fmt.Errorf("%s has %d bytes on the host, the verdict says %d", name, len(file), extent.Bytes))
		}
		arrived, have := make([]byte, len(file)), make([]bool, len(file))
		for _, c := range r.chunks() {
			if c.TaskID != task || c.Item != item || c.InstallationID != verdict.InstallationID {
				continue
			}
			if c.Offset+int64(len(c.Data)) > int64(len(file)) {
				wrong = append(wrong, fmt.Errorf("%s: the broker has bytes past its end", name))
				continue
			}
			copy(arrived[c.Offset:], c.Data)
			for i := range c.Data {
				have[c.Offset+int64(i)] = true
			}
		}
		if gap := bytes.IndexByte(boolBytes(have), 0); gap >= 0 {
			wrong = append(wrong, fmt.Errorf("%s: byte %d of %d did not arrive", name, gap, len(file)))
		} else if !bytes.Equal(arrived, file) {
			wrong = append(wrong, fmt.Errorf("%s differs from what arrived", name))
		}
	}
	return wrong
}

func boolBytes(have []bool) []byte {
	out := make([]byte, len(have))
	for i, b := range have {
		if b {
			out[i] = 1
		}
	}
	return out
}

var interruptedNote = regexp.MustCompile(`([A-Za-z0-9-]+) was interrupted(?: by a restart of the host)? and started (\d+) times`)

// allowedStarts is how often a step's program may have been started: once, and
// once more for each interruption that the verdict names.
func allowedStarts(verdict protocol.Status, step string) int {
	for _, m := range interruptedNote.FindAllStringSubmatch(verdict.Message, -1) {
		if m[1] == step {
			n, _ := strconv.Atoi(m[2]) // they are digits
			return n
		}
	}
	return 1
}

// checkState opens the state directory after the agent has ended: nothing may be
// left open or damaged.
func (h *host) checkState() (wrong []error) {
	store, err := journal.Open(journal.Options{Dir: h.stateDir(), ServerID: h.server, BootID: "check"})
	if err != nil {
		return []error{err}
	}
	for _, t := range store.AllOpen() {
		wrong = append(wrong, fmt.Errorf("%s is still open: %+v", t.ID(), t.Latest()))
		if t.Damage() != nil {
			wrong = append(wrong, t.Damage())
		}
	}
	if err := store.Close(); err != nil {
		wrong = append(wrong, err)
	}
	return wrong
}

package journal

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"strconv"

	"devserver-agent/protocol"
)

// Record is one line of a task's log. Exactly one of Accept, Status, Memo,
// Start, End and Cancel is set.
type Record struct {
	N      int    `json:"n"`  // from 1, without a gap
	At     int64  `json:"at"` // host's clock, epoch ms
	Boot   string `json:"boot"`
	Uptime int64  `json:"uptime"` // ms of CLOCK_BOOTTIME
	Spent  int64  `json:"spent"`  // ms of the task's time used until here

	Accept *AcceptRecord `json:"accept,omitempty"`
	Status *StatusRecord `json:"status,omitempty"`
	Memo   *MemoRecord   `json:"memo,omitempty"`
	Start  *StartRecord  `json:"start,omitempty"`
	End    *EndRecord    `json:"end,omitempty"`
	Cancel *CancelRecord `json:"cancel,omitempty"`
}

// AcceptRecord is the first record of every log.
type AcceptRecord struct {
	Digest    string `json:"digest"` // of the signed payload
	KeyID     string `json:"key_id,omitempty"`
	ExpiresAt int64  `json:"expires_at"`
	Order     int64  `json:"order"` // tasks run in this order; given by the store
	// Local work was asked for on the host itself; no broker hears of it.
	Local bool `json:"local,omitempty"`
	// Replaced names the installation that had accepted the task before, whose
	// state is gone: this one ends it without starting anything.
	Replaced string `json:"replaced,omitempty"`
	// Task is nil for a tombstone: a cancel that came before its task.
	Task *protocol.Task `json:"task,omitempty"`
}

// StatusRecord is a transition and, in the same write, the status that reports
// it. MsgID is its deduplication id on the broker: random, because a guessable
// one lets another host suppress it.
type StatusRecord struct {
	MsgID  string          `json:"msg_id"`
	Status protocol.Status `json:"status"`
}

// MemoRecord is a decision's ground: what was read when it was made.
type MemoRecord struct {
	Item  int             `json:"item"`
	Name  string          `json:"name"`
	Value json.RawMessage `json:"value"`
}

// StartRecord says that an attempt at a step is about to start.
type StartRecord struct {
	Item    int      `json:"item"`
	Step    string   `json:"step"`
	Attempt int      `json:"attempt"` // from 1
	Argv    []string `json:"argv"`    // as the executor asked for it
	Dir     string   `json:"dir"`     // its folder, below the task's
}

// EndRecord says how an attempt ended.
type EndRecord struct {
	Item    int     `json:"item"`
	Step    string  `json:"step"`
	Attempt int     `json:"attempt"`
	Outcome Outcome `json:"outcome"`
	Code    int     `json:"code"`
	Signal  string  `json:"signal,omitempty"`
	TookMS  int64   `json:"took_ms"`
}

// Outcome tells the ends of an attempt apart.
type Outcome string

const (
	Exited      Outcome = "exited"      // it ended by itself or by a signal
	TimedOut    Outcome = "timed-out"   // it was ended at its deadline
	Cancelled   Outcome = "cancelled"   // it was ended because the task was
	Interrupted Outcome = "interrupted" // it started and was cut; nobody saw its end
	Abandoned   Outcome = "abandoned"   // it never started
	Stuck       Outcome = "stuck"       // it runs on past its deadline and is not killed
)

// CancelRecord is a cancel that reached the task.
type CancelRecord struct {
	Reason string `json:"reason"`
}

// errTorn marks a line that is not whole, or not what was written.
var errTorn = errors.New("record is torn")

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// encode writes a record as a line: the CRC-32C of its JSON in eight hex
// digits, a blank, the JSON, a newline.
func encode(r Record) ([]byte, error) {
	body, err := json.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("encode record %d: %w", r.N, err)
	}
	line := make([]byte, 0, len(body)+10)
	line = fmt.Appendf(line, "%08x ", crc32.Checksum(body, castagnoli))
	line = append(line, body...)
	return append(line, '\n'), nil
}

// decode reads a line without its newline.
func decode(line []byte) (Record, error) {
	sum, body, ok := bytes.Cut(line, []byte(" "))
	if !ok || len(sum) != 8 {
		return Record{}, errTorn
	}
	want, err := strconv.ParseUint(string(sum), 16, 32)
	if err != nil || uint32(want) != crc32.Checksum(body, castagnoli) {
		return Record{}, errTorn
	}
	var r Record
	if err := json.Unmarshal(body, &r); err != nil {
		return Record{}, fmt.Errorf("%w: %w", errTorn, err)
	}
	return r, nil
}

// parse reads a log. good is the length of the part that is whole. err is
// ErrDamaged when something after a bad record is whole, so that the bad one is
// not just the torn end of the last write; records then hold what came before.
func parse(data []byte) (records []Record, good int64, err error) {
	for rest := data; len(rest) > 0; {
		line, after, whole := bytes.Cut(rest, []byte("\n"))
		r, lineErr := decode(line)
		if lineErr == nil && r.N != len(records)+1 {
			return records, good, fmt.Errorf("%w: record %d follows record %d", ErrDamaged, r.N, len(records))
		}
		if lineErr != nil || !whole {
			if anyWhole(after) {
				return records, good, fmt.Errorf("%w: record %d cannot be read", ErrDamaged, len(records)+1)
			}
			return records, good, nil
		}
		records = append(records, r)
		good += int64(len(line)) + 1
		rest = after
	}
	return records, good, nil
}

func anyWhole(data []byte) bool {
	for len(data) > 0 {
		line, after, _ := bytes.Cut(data, []byte("\n"))
		if _, err := decode(line); err == nil {
			return true
		}
		data = after
	}
	return false
}

package journal

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"

	"devserver-agent/protocol"
)

// Record is one line of a task's log. Exactly one of its pointers is set.
type Record struct {
	N      int    `json:"n"`  // from 1, without a gap
	At     int64  `json:"at"` // host's clock, epoch ms
	Boot   string `json:"boot"`
	Uptime int64  `json:"uptime"` // ms of CLOCK_BOOTTIME
	Spent  int64  `json:"spent"`  // ms of the task's time used until here

	Accept  *AcceptRecord  `json:"accept,omitempty"`
	Status  *StatusRecord  `json:"status,omitempty"`
	Memo    *MemoRecord    `json:"memo,omitempty"`
	Start   *StartRecord   `json:"start,omitempty"`
	End     *EndRecord     `json:"end,omitempty"`
	Restart *RestartRecord `json:"restart,omitempty"`
	Cancel  *CancelRecord  `json:"cancel,omitempty"`
	Damage  *DamageRecord  `json:"damage,omitempty"`
}

// AcceptRecord is the first record of every log.
type AcceptRecord struct {
	Digest    string `json:"digest"` // of the signed payload
	KeyID     string `json:"key_id,omitempty"`
	ExpiresAt int64  `json:"expires_at"`
	Order     int64  `json:"order"` // tasks run in this order; given by the store, µs of its clock or a little more
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
	Attempt int      `json:"attempt"`           // from 1
	Argv    []string `json:"argv"`              // as the executor asked for it
	Dir     string   `json:"dir"`               // its folder, below the task's
	From    int64    `json:"from,omitempty"`    // where its output begins in the item's
	Program string   `json:"program,omitempty"` // the file that argv[0] was found to be
	SHA256  string   `json:"sha256,omitempty"`  // of that file, where it is known
	Boot    string   `json:"-"`                 // as its Record has it
	At      int64    `json:"-"`                 // likewise
}

// RestartRecord says that the host is about to be restarted for a task.
type RestartRecord struct {
	Name  string `json:"name"`
	Boot  string `json:"boot"` // the boot that is to end
	Asked int    `json:"-"`    // how often this was recorded: by agents of the same boot
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
	To      int64   `json:"to,omitempty"` // where its output ends in the item's
	// Restarted says of an interrupted attempt that the host was restarted in
	// its middle.
	Restarted bool `json:"restarted,omitempty"`
}

// Outcome tells the ends of an attempt apart.
type Outcome string

// The ends of an attempt.
const (
	Exited      Outcome = "exited"      // it ended by itself or by a signal
	TimedOut    Outcome = "timed-out"   // it was ended at its deadline
	Cancelled   Outcome = "cancelled"   // it was ended because the task was
	GivenUp     Outcome = "given-up"    // it was ended because it could come to no good end
	Interrupted Outcome = "interrupted" // it started and was cut; nobody saw its end
	Abandoned   Outcome = "abandoned"   // it never started
	Stuck       Outcome = "stuck"       // it runs on past its deadline and is not killed
)

// CancelRecord is a cancel that reached the task.
type CancelRecord struct {
	Reason string `json:"reason"`
}

// DamageRecord says that what is before it is not all that the log once held.
type DamageRecord struct {
	Why string `json:"why"`
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
	line = append(line, checksum(body)...)
	line = append(line, ' ')
	line = append(line, body...)
	return append(line, '\n'), nil
}

func checksum(body []byte) string { return fmt.Sprintf("%08x", crc32.Checksum(body, castagnoli)) }

// decode reads a line without its newline.
func decode(line []byte) (Record, error) {
	sum, body, ok := bytes.Cut(line, []byte(" "))
	if !ok || len(sum) != 8 {
		return Record{}, errTorn
	}
	if string(sum) != checksum(body) {
		return Record{}, errTorn
	}
	var r Record
	if err := json.Unmarshal(body, &r); err != nil {
		return Record{}, fmt.Errorf("%w: %w", errTorn, err)
	}
	return r, nil
}

// parse reads a log. good is the length of the part that is whole; what follows
// it is the torn end of the last append, which never ends in the middle of a
// line and holds no whole record. Anything else is ErrDamaged; records then hold
// what came before. So is a log of less than two records: the first two were
// written before the log had its name.
func parse(data []byte) (records []Record, good int64, err error) {
	for rest := data; len(rest) > 0; {
		line, after, whole := bytes.Cut(rest, []byte("\n"))
		r, lineErr := decode(line)
		if lineErr != nil && (len(after) > 0 || len(recordsIn(line)) > 0) {
			return records, good, fmt.Errorf("%w: record %d cannot be read", ErrDamaged, len(records)+1)
		}
		if lineErr != nil || !whole {
			break
		}
		if r.N != len(records)+1 {
			return records, good, fmt.Errorf("%w: record %d follows record %d", ErrDamaged, r.N, len(records))
		}
		records = append(records, r)
		good += int64(len(line)) + 1
		rest = after
	}
	if len(records) < 2 || records[0].Accept == nil {
		return records, good, fmt.Errorf("%w: its first records are lost", ErrDamaged)
	}
	return records, good, nil
}

// salvage reads whatever is still whole in a damaged log, in the order of the
// log.
func salvage(data []byte) []Record {
	var records []Record
	for line := range bytes.SplitSeq(data, []byte("\n")) {
		records = append(records, recordsIn(line)...)
	}
	return records
}

// recordsIn finds the whole records in a line: one, or those that a lost newline
// has joined. Every record's JSON begins alike, which tells where to look.
func recordsIn(line []byte) []Record {
	const sum = len("00000000 ")
	head := []byte(`{"n":`)
	var records []Record
	begin := 0
	for at := sum; begin < len(line); {
		next := bytes.Index(line[min(at, len(line)):], head)
		if next < 0 {
			if r, err := decode(line[begin:]); err == nil {
				records = append(records, r)
			}
			return records
		}
		start := at + next - sum // where a record may begin
		if start > begin {
			if r, err := decode(line[begin : start-1]); err == nil {
				records = append(records, r)
				begin = start
			} else if _, err := decode(line[start:]); err == nil {
				begin = start // what is before is lost
			}
		}
		at += next + len(head)
	}
	return records
}

package ascend

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"devserver-agent/executors"
	"devserver-agent/executors/lazyregexp"
)

// What keeps a tool from answering, to be matched with errors.Is.
var (
	ErrDriverDown  = errors.New("the driver does not run")
	ErrNotLoaded   = errors.New("cannot be loaded")
	ErrInUse       = errors.New("the device is in use")
	ErrNoCards     = errors.New("no NPU card on this host")
	ErrNoCard      = errors.New("no such card")
	ErrUnsupported = errors.New("not supported here")
	ErrBusy        = errors.New("is busy with another call")
	ErrFailed      = errors.New("ended with an error")
	ErrGarbled     = errors.New("the answer cannot be understood")
)

// byCode holds the DCMI codes that mean more than a failure. Huawei's manual of
// DCMI lists them all; -8005 is its "inner error", which every tool gives while
// the driver is unusable.
var byCode = map[int]error{
	-8002: ErrUnsupported, // not permitted, to root: a container or a virtual machine
	-8005: ErrDriverDown, -8007: ErrNoCard, -8008: ErrNoCard,
	-8013: ErrUnsupported, // not in a container
	-8020: ErrInUse, -8255: ErrUnsupported,
}

const maxSaid = 120 // bytes of a tool's own words that are kept

// ToolError says that a tool gave no answer, and what it said instead.
type ToolError struct {
	Tool   string // as it was asked, such as "npu-smi info -l"
	Said   string // its own words, shortened; "" when there were none
	Status int    // exit status
	DCMI   int    // DCMI code, from its words or else its status; 0 when there is none
	Err    error  // one of the above, or what executors.Host.Query returned
	Reason error  // with ErrGarbled: what is wrong, a sentence about "the answer"
}

func (e *ToolError) Unwrap() error { return e.Err }

func (e *ToolError) Error() string {
	text := fmt.Sprintf("%s: %v", e.Tool, e.Err)
	if e.Reason != nil {
		text += fmt.Sprintf(": it %v", e.Reason)
	}
	if e.Said != "" {
		text += fmt.Sprintf(" (%q)", e.Said)
	}
	if e.Status != 0 {
		text += fmt.Sprintf(", exit status %d", e.Status)
	}
	return text
}

// dialect is how a tool says that it has no answer.
type dialect struct {
	sentences []sentence  // in the order in which they are tried on a line
	statuses  map[int]int // exit statuses that stand for a DCMI code
}

// dialects are those of the tools that are asked, by their names.
var dialects = map[string]dialect{
	"npu-smi":   {sentences, statuses},
	"hccn_tool": {hccnSentences, nil}, // statuses of different errors have the same low byte
}

// sentence is something of a tool's own that it says, at the beginning of a line, instead of an
// answer. Most of npu-smi's come with exit status 0.
type sentence struct {
	pattern *lazyregexp.Regexp // its group, if there is one, is a DCMI code
	means   error
}

// sentences are npu-smi's. ErrFailed is only as much as the sentence itself says;
// the code may tell more.
var sentences = append([]sentence{
	{lazyregexp.New(`^dcmi mod(?:ule|el) initialized? failed, because the device is used\.(?: ret is (-?\d{1,6}))?`), ErrInUse},
	{lazyregexp.New(`^dcmi mod(?:ule|el) initialized? failed.* ret is (-8020)\b`), ErrInUse},
	{lazyregexp.New(`^dcmi mod(?:ule|el) initialized? failed.* ret is (-?\d{1,6})`), ErrDriverDown},
	{lazyregexp.New(`^npu get board type failed.* ret is (-?\d{1,6})`), ErrFailed},
	{lazyregexp.New(`^There is no NPU card on this server`), ErrNoCards},
	{lazyregexp.New(`^Invalid card id`), ErrNoCard},
	{lazyregexp.New(`^Failed to (?:query|get) `), ErrFailed},
	{lazyregexp.New(`^npu_get_card_device_id failed\. err is (-?\d{1,6})`), ErrFailed},
	{lazyregexp.New(`^Command or option is not found`), ErrFailed},
}, shared...)

var hccnSentences = append([]sentence{
	{lazyregexp.New(`^Get invalid device id`), ErrNoCard},
	{lazyregexp.New(`^.{0,80}(?i:busy)\b`), ErrBusy},
	{lazyregexp.New(`^The cmd line execute timeout`), ErrFailed},
	{lazyregexp.New(`^Cmd execute failed`), ErrFailed},
}, shared...)

// shared are what the dynamic loader (ld.so) says of both tools when they do not start.
var shared = []sentence{
	{lazyregexp.New(`^.{0,200}error while loading shared libraries: `), ErrNotLoaded},
	{lazyregexp.New(`^.{0,200}cannot open shared object file`), ErrNotLoaded},
	{lazyregexp.New(`^.{0,200}symbol lookup error: `), ErrNotLoaded},
}

// statuses are the exit statuses of npu-smi that stand for a DCMI code: the
// code's low byte (187 is -8005 & 0xff).
var statuses = map[int]int{
	187: -8005, 172: -8020, 185: -8007, 184: -8008, 180: -8012, 186: -8006, 182: -8010, 193: -8255,
}

// refusal tells what a reply that is not data means: by its text, which is
// authoritative, then by the DCMI code in its text or status, else by why it
// did not parse.
func (t dialect) refusal(tool string, reply executors.Reply, parsing error) *ToolError {
	e := &ToolError{Tool: tool, Status: reply.Code, DCMI: t.statuses[reply.Code]}
	said, code, means := t.recognise(reply.Output)
	if means == nil {
		said = excerpt(reply.Output, maxSaid)
	}
	if code != 0 {
		e.DCMI = code
	}
	e.Said, e.Err = said, means
	if means != nil && !errors.Is(means, ErrFailed) {
		return e
	}
	switch {
	case byCode[e.DCMI] != nil:
		e.Err = byCode[e.DCMI]
	case errors.Is(parsing, ErrNoCards):
		e.Err = ErrNoCards
	case means == nil && reply.Code == 0:
		e.Err, e.Reason, e.Said = ErrGarbled, parsing, quote(reply.Output, maxSaid)
	default:
		e.Err = ErrFailed
	}
	return e
}

// recognise finds the first line that is a sentence.
func (t dialect) recognise(out []byte) (said string, code int, means error) {
	if len(out) > maxText {
		out = out[:maxText]
	}
	for line := range lines(out) {
		line = strings.TrimSpace(line)
		for _, s := range t.sentences {
			match := s.pattern.FindStringSubmatch(line)
			if match == nil {
				continue
			}
			if len(match) > 1 {
				code, _ = strconv.Atoi(match[1]) // "" or, by the patterns, six digits at most
			}
			if errors.Is(s.means, ErrFailed) && code == 0 && refuses(line) {
				return clip(line, maxSaid), 0, ErrUnsupported // the line has the reason, too
			}
			return clip(line, maxSaid), code, s.means
		}
		if refuses(line) {
			return clip(line, maxSaid), 0, ErrUnsupported
		}
	}
	return "", 0, nil
}

package protocol

import (
	"strings"
	"unicode/utf8"
)

// State is a task's status as the job API knows it.
type State string

// The states of a task.
const (
	Processing State = "PROCESSING"
	Success    State = "SUCCESS"
	Failed     State = "FAILED"
	Deleted    State = "DELETE" // cancelled; the API's word
)

// Terminal reports whether a task in this state has its verdict.
func (s State) Terminal() bool { return s == Success || s == Failed || s == Deleted }

// Phase says where on its way a task is.
type Phase string

// The phases, in the order a task passes them; one without a restart leaves out
// Rebooting.
const (
	Accepted  Phase = "ACCEPTED"
	Queued    Phase = "QUEUED"
	Running   Phase = "RUNNING"
	Rebooting Phase = "REBOOTING"
	Verifying Phase = "VERIFYING"
	Done      Phase = "DONE"
)

// Status is one transition of a task, or its progress, or its verdict. The
// first terminal status of a task in stream order is its verdict.
type Status struct {
	TaskID         string `json:"task_id"`
	JobID          string `json:"job_id"`
	ServerID       string `json:"server_id"`
	InstallationID string `json:"installation_id,omitempty"` // "" when the control plane gave it
	// Seq numbers the transitions of a task on one installation from 1.
	// Progress carries the number of the transition it follows.
	Seq      int    `json:"seq"`
	Progress bool   `json:"progress,omitempty"` // not a transition: only the latest matters
	Status   State  `json:"status"`
	Phase    Phase  `json:"phase"`
	Item     int    `json:"item"` // index of the item it speaks of
	ItemType string `json:"item_type,omitempty"`
	Step     string `json:"step,omitempty"`
	Percent  int    `json:"percent"`
	Message  string `json:"message"`
	Code     Code   `json:"code,omitempty"`
	// RebootRequired says that something is installed that becomes active only
	// after a restart of the host.
	RebootRequired bool `json:"reboot_required,omitempty"`
	// Attempts counts the starts of the step that was started most often; above
	// 1 the message names it.
	Attempts     int          `json:"attempts,omitempty"`
	Items        []ItemOutput `json:"items,omitempty"` // with a verdict
	BootID       string       `json:"boot_id,omitempty"`
	AgentVersion string       `json:"agent_version,omitempty"`
	At           int64        `json:"at"` // the host's clock
	// Envelope is the task as it was signed; it travels with the first status
	// only, so that a control plane that forgot the job can rebuild it.
	Envelope *Envelope `json:"envelope,omitempty"`
}

// ItemOutput is the extent of one item's output: its length in bytes and how
// many of them the host no longer has. What is dropped lies between the first
// OutputHead and the last OutputTail bytes.
type ItemOutput struct {
	Bytes   int64 `json:"bytes"`
	Dropped int64 `json:"dropped,omitempty"`
}

// Chunk is a piece of one item's output. Offsets count all bytes ever written,
// so chunks may come twice and in any order.
type Chunk struct {
	TaskID         string `json:"task_id"`
	ServerID       string `json:"server_id"`
	InstallationID string `json:"installation_id"`
	Item           int    `json:"item"`
	Offset         int64  `json:"offset"`
	Data           []byte `json:"data"`
}

// Clip shortens a message to MaxMessage bytes, at a character's edge, and marks
// that it did. What is not UTF-8 in it becomes the replacement character, as it
// would in JSON, where it takes more room.
func Clip(message string) string {
	const mark = " [...]"
	message = strings.ToValidUTF8(message, string(utf8.RuneError))
	if len(message) <= MaxMessage {
		return message
	}
	cut := MaxMessage - len(mark)
	for !utf8.RuneStart(message[cut]) {
		cut--
	}
	return message[:cut] + mark
}

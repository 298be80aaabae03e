// Package jobs keeps what users asked for: one record a job, in the bucket
// DEVSERVER_JOBS. The record is the commit. Mailboxes are written from it, as
// often as needed and always with the same bytes, and when all tasks have ended
// their verdicts are written into it, so that the status stream may forget.
//
// Dies before Create's write: there is no job, and the client gets no answer.
// Dies after it: the job is there, any replica delivers it, and the same
// X-Client-Token answers with it. Dies before Finish's write: the verdicts are
// still in the status stream and the next fold finishes the record.
//
// Orders of operators (pause, cancel, stop of the whole fleet) are written here
// too and hold once written: dies before the write: nobody was told that it
// holds; dies after it: every replica reads it before it hands anything out. How
// many tasks may be handed out follows from the verdicts alone. Dies before
// Halt's write: the next fold counts the same failures.
package jobs

import (
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"devserver-agent/protocol"
)

// Record is a job as it was asked, and in the end what became of it.
type Record struct {
	ID          string          `json:"id"`
	ProjectID   string          `json:"project_id"`
	Name        string          `json:"name"`
	Description string          `json:"description,omitempty"`
	Type        string          `json:"type"` // template type
	TemplateID  string          `json:"template_id"`
	UserName    string          `json:"user_name"`
	Items       []protocol.Item `json:"items"`
	Servers     []string        `json:"servers"`
	// ServerCount is larger than the number of Servers while a job of many
	// servers is being rebuilt from what each of them says.
	ServerCount int   `json:"server_count"`
	CreatedAt   int64 `json:"created_at"`
	ExpiresAt   int64 `json:"expires_at"`
	// MaxConcurrent is how many of its servers may be at work at once, 0 for
	// all. The others' tasks wait, in the order of Servers.
	MaxConcurrent int `json:"max_concurrent,omitempty"`
	// MaxFailures is after how many failed tasks no more is handed out, 0 for
	// never.
	MaxFailures int `json:"max_failures,omitempty"`
	// Body is what the payloads of all its tasks share, byte for byte: the JSON
	// after the ids.
	Body []byte `json:"body"`
	// Request is the SHA-256 of the request, to tell a repeated X-Client-Token
	// from a reused one. "" without a token.
	Request string `json:"request,omitempty"`
	// DeletedAt is when the job was deleted, 0 if it was not.
	DeletedAt int64  `json:"deleted_at,omitempty"`
	Paused    *Order `json:"paused,omitempty"`    // nothing new is handed out
	Cancelled *Order `json:"cancelled,omitempty"` // as deleted, and still in the lists
	Halted    *Halt  `json:"halted,omitempty"`    // MaxFailures was reached
	// Verdicts, by server, are complete when there are any.
	Verdicts   map[string]Verdict `json:"verdicts,omitempty"`
	FinishedAt int64              `json:"finished_at,omitempty"`
}

// Created is when the job was asked for.
func (r Record) Created() time.Time { return time.UnixMilli(r.CreatedAt) }

// Verdict is how a task ended.
type Verdict struct {
	Status         protocol.State        `json:"status"`
	Phase          protocol.Phase        `json:"phase,omitempty"`
	Code           protocol.Code         `json:"code,omitempty"`
	Message        string                `json:"message"`
	InstallationID string                `json:"installation_id,omitempty"` // "": the control plane gave it
	Seq            int                   `json:"seq,omitempty"`
	AcceptedBy     string                `json:"accepted_by,omitempty"`
	RebootRequired bool                  `json:"reboot_required,omitempty"`
	Attempts       int                   `json:"attempts,omitempty"`
	Items          []protocol.ItemOutput `json:"items,omitempty"`
	At             int64                 `json:"at"` // the broker's clock
}

// Waits reports whether tasks of the job may have to wait for others.
func (r Record) Waits() bool { return r.MaxConcurrent > 0 && r.MaxConcurrent < r.ServerCount }

// Revoked is since when nothing of the job should be begun any more because an
// operator said so, in ms, and the reason for its hosts; 0 if it should.
func (r Record) Revoked() (at int64, why string) {
	switch {
	case r.Cancelled != nil: // it may be deleted after that
		return r.Cancelled.At, "the job was cancelled"
	case r.DeletedAt != 0:
		return r.DeletedAt, "the job was deleted"
	}
	return 0, ""
}

// taskSpace is the name space of task ids.
var taskSpace = uuid.MustParse("6c1f2f52-6a3e-5b07-9d63-0f6f7a0c9b11")

// TaskID is the id of a job's task for one server: the same whoever computes
// it, so that a job that is rebuilt has the tasks it had.
func TaskID(job, server string) string {
	return uuid.NewSHA1(taskSpace, []byte(job+"/"+server)).String()
}

// Payload is the signed content of a server's task. Its bytes never change.
func (r Record) Payload(server string) []byte {
	return append([]byte(header(TaskID(r.ID, server), r.ID, server)), r.Body...)
}

// header is how encoding/json begins a protocol.Task. Ids need no escaping.
func header(task, job, server string) string {
	return fmt.Sprintf(`{"task_id":"%s","job_id":"%s","server_id":"%s",`, task, job, server)
}

// splitPayload takes the ids off a task's payload.
func splitPayload(payload []byte, t protocol.Task) (body []byte, err error) {
	rest, ok := strings.CutPrefix(string(payload), header(t.TaskID, t.JobID, t.ServerID))
	if !ok {
		return nil, fmt.Errorf("payload of task %s does not begin with its ids", t.TaskID)
	}
	return []byte(rest), nil
}

// CancelOf is the statement that cancels a server's task since at, by the wall
// clock in ms. It outlives every validity a task can have, and its bytes are
// the same from every replica.
func CancelOf(job, server, reason string, at int64) protocol.Cancel {
	return protocol.Cancel{
		TaskID: TaskID(job, server), ServerID: server, Reason: reason,
		ExpiresAt: at + protocol.MaxValidity.Milliseconds(),
	}
}

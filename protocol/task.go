package protocol

import (
	"fmt"
	"time"
	"unicode"
	"unicode/utf8"
)

// Task is the part of a job for one server.
type Task struct {
	TaskID         string `json:"task_id"`
	JobID          string `json:"job_id"`
	ServerID       string `json:"server_id"`
	Job            Job    `json:"job"`
	Type           string `json:"type"` // template type
	IsReboot       bool   `json:"is_reboot"`
	Items          []Item `json:"items"`
	IssuedAt       int64  `json:"issued_at"`
	ExpiresAt      int64  `json:"expires_at"`      // bounds acceptance and the first action
	TimeoutSeconds int64  `json:"timeout_seconds"` // of the whole task; 0: the items' own
}

// Item is one piece of work in a task.
type Item struct {
	Type string            `json:"type"`
	Spec map[string]string `json:"spec,omitempty"`
}

// Job is what a task carries of its job, enough for a control plane that has
// lost its record to write it again.
type Job struct {
	ProjectID   string   `json:"project_id"`
	Name        string   `json:"name"`
	Description string   `json:"description,omitempty"`
	Type        string   `json:"type"`
	TemplateID  string   `json:"template_id"`
	UserName    string   `json:"user_name"`
	CreatedAt   int64    `json:"created_at"`
	ServerCount int      `json:"server_count"`
	Servers     []string `json:"servers,omitempty"` // left out above MaxListedServers
	// MaxConcurrent is how many tasks of the job may be at work at once, and
	// MaxFailures after how many that failed no more are handed out; 0: no
	// limit. A host has no use for them.
	MaxConcurrent int `json:"max_concurrent,omitempty"`
	MaxFailures   int `json:"max_failures,omitempty"`
}

// Cancel asks for the end of a task. For a task that is not known it is a
// tombstone: the task will not run whenever it comes.
type Cancel struct {
	TaskID    string `json:"task_id"`
	ServerID  string `json:"server_id"`
	ExpiresAt int64  `json:"expires_at"`
	Reason    string `json:"reason"`
}

// Resend asks for the output of one item again, beginning at an offset.
type Resend struct {
	TaskID   string `json:"task_id"`
	ServerID string `json:"server_id"`
	Item     int    `json:"item"`
	From     int64  `json:"from"`
}

// Mailbox is the set of statements for one server. Its order means nothing and
// what is absent means nothing: an agent merges it into its journal.
type Mailbox struct {
	ServerID   string     `json:"server_id"`
	Epoch      string     `json:"epoch"` // changes when the broker's streams were made anew
	Statements []Envelope `json:"statements"`
	// AcceptedBy names, by task, the installation that accepted it.
	AcceptedBy map[string]string `json:"accepted_by,omitempty"`
}

// Check says what makes a task unfit to be carried at all: its ids, bounds and
// times. It does not know item types; see Catalogue.
func (t Task) Check() error {
	for _, id := range []struct{ name, value string }{
		{"task_id", t.TaskID}, {"job_id", t.JobID}, {"server_id", t.ServerID},
	} {
		if !ValidID(id.value) {
			return fmt.Errorf("%s %.80q is not an id (letters, digits and hyphens, 1 to 64)", id.name, id.value)
		}
	}
	if len(t.Items) == 0 || len(t.Items) > MaxItems {
		return fmt.Errorf("task has %d items, must have 1 to %d", len(t.Items), MaxItems)
	}
	if limit := int64(MaxTimeout / time.Second); t.TimeoutSeconds < 0 || t.TimeoutSeconds > limit {
		return fmt.Errorf("timeout_seconds is %d, must be 0 to %d", t.TimeoutSeconds, limit)
	}
	if t.IssuedAt < 0 { // a difference of times would overflow
		return fmt.Errorf("issued_at is negative: %d", t.IssuedAt)
	}
	if t.ExpiresAt <= t.IssuedAt || t.ExpiresAt-t.IssuedAt > MaxValidity.Milliseconds() {
		return fmt.Errorf("expires_at must be after issued_at by at most %s", MaxValidity)
	}
	for i, item := range t.Items {
		if err := item.check(); err != nil {
			return fmt.Errorf("item %d: %w", i, err)
		}
	}
	return nil
}

func (it Item) check() error {
	if !ValidType(it.Type) {
		return fmt.Errorf("type %.80q is not a type name", it.Type)
	}
	if len(it.Spec) > MaxSpecKeys {
		return fmt.Errorf("spec has %d parameters, at most %d are allowed", len(it.Spec), MaxSpecKeys)
	}
	for key, value := range it.Spec {
		if len(key) > 64 || !printable(key) {
			return fmt.Errorf("spec has a parameter name that is too long or not printable: %.80q", key)
		}
		if len(value) > MaxSpecValue {
			return fmt.Errorf("spec.%s is %d bytes long, at most %d are allowed", key, len(value), MaxSpecValue)
		}
		if !printable(value) {
			return fmt.Errorf("spec.%s has control characters or is not UTF-8", key)
		}
	}
	return nil
}

func printable(s string) bool {
	if !utf8.ValidString(s) {
		return false
	}
	for _, r := range s {
		if unicode.IsControl(r) {
			return false
		}
	}
	return true
}

package jobs

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"devserver-agent/protocol"
)

// Request is what a new job is made from. It was checked against the catalogue.
type Request struct {
	ProjectID   string
	Name        string
	Description string
	Type        string // template type
	TemplateID  string
	UserName    string
	IsReboot    bool
	Items       []protocol.Item
	// Work is what agents are given for Items; nil: just these. A job that is built
	// again from what an agent has shows it as its items.
	Work           []protocol.Item
	TimeoutSeconds int64 // that a task may take; 0: what its items may together
	Servers        []string
	// MaxConcurrent and MaxFailures are those of the Record.
	MaxConcurrent int
	MaxFailures   int
	Token         string // X-Client-Token; "" for none
	Digest        string // of the request as it came, with a token
}

// clientSpace is the name space of job ids that follow from a client's token.
var clientSpace = uuid.MustParse("0d2c3f5e-51f0-5a0f-8f4e-3f1d1b1b7a42")

// ErrUnfit is returned for a request whose tasks cannot be carried.
var ErrUnfit = errors.New("job cannot be carried")

// New builds the record of a job that begins now and may be accepted for
// validity; one whose tasks may wait for each other for protocol.MaxValidity,
// since expires_at is a part of the task that is signed before anybody knows
// how long it will wait.
func New(req Request, now time.Time, validity time.Duration) (Record, error) {
	r := Record{
		ID: uuid.NewString(), ProjectID: req.ProjectID, Name: req.Name, Description: req.Description,
		Type: req.Type, TemplateID: req.TemplateID, UserName: req.UserName,
		Items: req.Items, Servers: req.Servers, ServerCount: len(req.Servers),
		MaxConcurrent: req.MaxConcurrent, MaxFailures: req.MaxFailures, CreatedAt: protocol.Millis(now),
	}
	if r.Waits() {
		validity = protocol.MaxValidity
	}
	r.ExpiresAt = protocol.Millis(now.Add(validity))
	if req.Token != "" {
		r.ID = uuid.NewSHA1(clientSpace, []byte(req.ProjectID+"/"+req.Token)).String()
		r.Request = req.Digest
	}
	task := protocol.Task{
		JobID: r.ID,
		Job: protocol.Job{
			ProjectID: r.ProjectID, Name: r.Name, Description: r.Description, Type: r.Type,
			TemplateID: r.TemplateID, UserName: r.UserName, CreatedAt: r.CreatedAt, ServerCount: r.ServerCount,
			MaxConcurrent: r.MaxConcurrent, MaxFailures: r.MaxFailures,
		},
		Type: r.Type, IsReboot: req.IsReboot, Items: r.Items, IssuedAt: r.CreatedAt, ExpiresAt: r.ExpiresAt,
		TimeoutSeconds: req.TimeoutSeconds,
	}
	if req.Work != nil {
		task.Items = req.Work
	}
	if len(r.Servers) <= protocol.MaxListedServers {
		task.Job.Servers = r.Servers
	}
	if err := r.setBody(task); err != nil {
		return Record{}, err
	}
	return r, nil
}

func (r *Record) setBody(task protocol.Task) error {
	longest := r.Servers[0]
	for _, server := range r.Servers {
		if len(server) > len(longest) {
			longest = server
		}
	}
	task.ServerID, task.TaskID = longest, TaskID(r.ID, longest)
	if err := task.Check(); err != nil {
		return fmt.Errorf("%w: %w", ErrUnfit, err)
	}
	payload, err := json.Marshal(task)
	if err != nil {
		return fmt.Errorf("encode task: %w", err)
	}
	// Sealed without a key only to learn its size; a signature adds a little.
	envelope, err := protocol.SealPayload(nil, protocol.TaskPayload, payload)
	if err != nil || len(envelope.Payload) > protocol.MaxEnvelope-512 {
		return fmt.Errorf("%w: a task may be %d bytes, this one is %d: shorten items, spec or description",
			ErrUnfit, (protocol.MaxEnvelope-512)/4*3, len(payload))
	}
	r.Body, err = splitPayload(payload, task)
	return err
}

// Rebuild makes the record of a job again from one of its tasks, as an agent
// sends it back. payload is the content of the task's envelope, whose signature
// the caller has found good. A job whose tasks wait for each other comes back
// paused: what was paused, stopped or had failed is forgotten with the record,
// and only an operator can tell whether it should go on.
func Rebuild(t protocol.Task, payload []byte, now time.Time) (Record, error) {
	if t.TaskID != TaskID(t.JobID, t.ServerID) {
		return Record{}, fmt.Errorf("rebuild job %s: task %s of server %s is not of this job", t.JobID, t.TaskID, t.ServerID)
	}
	body, err := splitPayload(payload, t)
	if err != nil {
		return Record{}, fmt.Errorf("rebuild job %s: %w", t.JobID, err)
	}
	r := Record{
		ID: t.JobID, ProjectID: t.Job.ProjectID, Name: t.Job.Name, Description: t.Job.Description,
		Type: t.Job.Type, TemplateID: t.Job.TemplateID, UserName: t.Job.UserName, Items: t.Items,
		Servers: t.Job.Servers, ServerCount: t.Job.ServerCount,
		MaxConcurrent: t.Job.MaxConcurrent, MaxFailures: t.Job.MaxFailures,
		CreatedAt: t.Job.CreatedAt, ExpiresAt: t.ExpiresAt, Body: body,
	}
	if len(r.Servers) == 0 {
		r.Servers = []string{t.ServerID}
	}
	if r.Waits() {
		r.Paused = &Order{At: protocol.Millis(now), By: "the control plane", Reason: "the broker had lost the job and a host brought it back: " +
			"see which tasks have ended, then resume or cancel it"}
	}
	return r, nil
}

// Has reports whether the job has a task for server.
func (r Record) Has(server string) bool {
	for _, s := range r.Servers {
		if s == server {
			return true
		}
	}
	return false
}

// Messages of all verdicts together may take this much of a record, which has
// to stay below the broker's message limit of 1 MiB.
const messageBudget = 512 << 10

// clipMessages shortens the messages of a job of many servers, so that the
// record can be written. Up to 128 servers nothing is ever cut.
func clipMessages(verdicts map[string]Verdict) {
	if len(verdicts) == 0 {
		return
	}
	share := messageBudget / len(verdicts)
	for server, v := range verdicts {
		if len(v.Message) > share {
			v.Message = strings.ToValidUTF8(v.Message[:share], "") + " [...]"
			verdicts[server] = v
		}
	}
}

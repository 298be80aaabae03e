package agent

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"devserver-agent/agent/audit"
	"devserver-agent/agent/journal"
	"devserver-agent/agent/local"
	"devserver-agent/protocol"
)

// localValidity is how long work asked for on the host itself may wait for its
// turn.
const localValidity = time.Hour

// Status implements local.Agent.
func (a *Agent) Status() local.Status {
	s := local.Status{
		ServerID: a.opts.Config.ServerID, InstallationID: a.store.Installation().ID, BootID: a.boot,
		Version: a.opts.Version, StartedAt: protocol.Millis(a.started), Queue: a.queue.State(),
		Open: len(a.store.AllOpen()), DiskFull: a.store.Full(), Unsigned: a.opts.Config.Trust.AllowUnsigned,
		Notices: a.notices.all(),
	}
	s.Broker = a.conn.Load().State()
	return s
}

// Exec implements local.Agent: it runs one item that nobody but the host's own
// operator asked for.
func (a *Agent) Exec(work local.Work) (string, error) {
	t, err := a.admit(work)
	if err != nil {
		return "", err
	}
	a.engine.Submit(t)
	return t.ID(), nil
}

// admit puts local work into the journal.
func (a *Agent) admit(work local.Work) (*journal.Task, error) {
	_, t, ok := a.opts.Registry.Lookup(work.Type)
	if !ok {
		return nil, fmt.Errorf("this agent has no executor for %.80q", work.Type)
	}
	if err := t.CheckSpec(work.Spec); err != nil {
		return nil, fmt.Errorf("%s: %w", work.Type, err)
	}
	now := time.Now()
	id := "local-" + randomID()
	task := protocol.Task{
		TaskID: id, JobID: id, ServerID: a.opts.Config.ServerID, Type: t.Template,
		Items:    []protocol.Item{{Type: work.Type, Spec: work.Spec}},
		IssuedAt: protocol.Millis(now), ExpiresAt: protocol.Millis(now.Add(localValidity)),
	}
	if err := task.Check(); err != nil {
		return nil, err
	}
	return a.store.Admit(journal.Admission{
		ID:     id,
		Accept: journal.AcceptRecord{Local: true, ExpiresAt: task.ExpiresAt, Task: &task},
		First:  protocol.Status{Status: protocol.Processing, Phase: protocol.Accepted, Message: "Accepted."},
	})
}

// ExecAlone runs one item while no daemon does, and returns when it has its
// verdict. What a daemon left open stays for the next one.
func (a *Agent) ExecAlone(ctx context.Context, work local.Work, accepted func(id string)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	a.engine.Start(ctx)
	t, err := a.admit(work)
	if err != nil {
		return err
	}
	a.store.Listen(func(changed *journal.Task) {
		if changed == t && t.Latest().Status.Terminal() {
			cancel()
		}
	})
	a.engine.Submit(t)
	accepted(t.ID())
	if err := a.engine.Wait(); err != nil || !t.Latest().Status.Terminal() {
		return err
	}
	return a.store.Finish(t)
}

// Hold implements local.Agent.
func (a *Agent) Hold(on bool) error {
	if err := SetHold(a.store.Dir(), on); err != nil {
		return err
	}
	a.queue.Hold(on)
	a.audit.Add(audit.Entry{Event: either(on, audit.Held, audit.Released)})
	a.facts.due()
	return nil
}

func either(on bool, yes, no audit.Event) audit.Event {
	if on {
		return yes
	}
	return no
}

// SetHold notes in a state directory whether exclusive work is stopped, for the
// agent that runs next.
func SetHold(stateDir string, on bool) error {
	path := filepath.Join(stateDir, holdFile)
	if on {
		return os.WriteFile(path, nil, 0o600)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// Drain implements local.Agent.
func (a *Agent) Drain(on bool) error {
	a.queue.Drain(on)
	a.audit.Add(audit.Entry{Event: either(on, audit.Drained, audit.Resumed)})
	a.facts.due()
	return nil
}

func randomID() string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails: see crypto/rand
	return hex.EncodeToString(b[:])
}

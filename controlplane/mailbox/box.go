package mailbox

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"devserver-agent/controlplane/view"
	"devserver-agent/protocol"
)

// box is a mailbox with what its statements are about.
type box struct {
	protocol.Mailbox
	listed   []listed // beside Statements
	sequence uint64   // of the mailbox in the stream, 0: there is none
}

type listed struct {
	view.Statement
	expires int64
	bytes   int
}

// decode reads a mailbox as far as it can be read. What cannot be read is left
// out, and so replaced by the next write.
func decode(server string, data []byte, sequence uint64) *box {
	b := &box{sequence: sequence}
	var read protocol.Mailbox
	if len(data) > 0 && json.Unmarshal(data, &read) == nil {
		b.Epoch, b.AcceptedBy = read.Epoch, read.AcceptedBy
	}
	b.ServerID = server
	for _, envelope := range read.Statements {
		payload, err := envelope.Content()
		if err != nil {
			continue
		}
		var about struct {
			TaskID    string `json:"task_id"`
			Item      int    `json:"item"`
			ExpiresAt int64  `json:"expires_at"`
		}
		if json.Unmarshal(payload, &about) != nil {
			continue
		}
		b.add(envelope, listed{
			Statement: view.Statement{Type: envelope.PayloadType, TaskID: about.TaskID, Item: about.Item, Payload: payload},
			expires:   about.ExpiresAt,
		})
	}
	return b
}

func (b *box) add(envelope protocol.Envelope, l listed) {
	l.bytes = len(envelope.Payload) + view.EnvelopeBytes(0)
	b.Statements = append(b.Statements, envelope)
	b.listed = append(b.listed, l)
}

func (b *box) size() (tasks, bytes int) {
	for _, l := range b.listed {
		bytes += l.bytes
		if l.Type == protocol.TaskPayload {
			tasks++
			bytes += 128 // accepted_by
		}
	}
	return tasks, bytes
}

// unknownFor is how long after its expires_at a statement of an unknown task
// stays: some other replica may know it.
const unknownFor = 24 * time.Hour

// next is the mailbox that should follow current, and whether it says anything
// else.
func (w *Writer) next(server string, current *box) (next *box, changed bool, err error) {
	now := time.Now()
	next = &box{sequence: current.sequence}
	next.ServerID, next.Epoch, next.Statements = server, w.opts.Epoch, []protocol.Envelope{}
	wanted := map[string]view.Statement{}
	for _, s := range w.opts.View.Wanted(server, now) {
		wanted[key(s)] = s
	}
	for i, l := range current.listed {
		k := key(l.Statement)
		same, isWanted := wanted[k]
		switch {
		case isWanted && string(same.Payload) == string(l.Payload) && w.signed(current.Statements[i]):
			delete(wanted, k)
		case isWanted, w.opts.View.Settled(l.Statement, now):
			changed = true // replaced below, or gone
			continue
		case l.expires != 0 && now.After(time.UnixMilli(l.expires).Add(unknownFor)) && l.Type != protocol.ResendPayload:
			changed = true
			continue
		}
		next.add(current.Statements[i], l)
	}
	added, err := w.addWanted(next, wanted)
	next.AcceptedBy = w.acceptedBy(next, current)
	changed = changed || added || !maps.Equal(next.AcceptedBy, current.AcceptedBy) ||
		current.sequence != 0 && current.Epoch != next.Epoch || w.greets(server)
	return next, changed, err
}

// key is what a mailbox lists at most once.
func key(s view.Statement) string { return fmt.Sprintf("%s %s %d", s.Type, s.TaskID, s.Item) }

// signed reports whether a statement carries this control plane's key. After a
// change of the key the same bytes are signed again.
func (w *Writer) signed(e protocol.Envelope) bool {
	id := protocol.KeyOf(w.opts.Key).ID()
	for _, s := range e.Signatures {
		if s.KeyID == id {
			return true
		}
	}
	return false
}

// addWanted adds what fits, cancels first. What does not fit waits until
// something is removed.
func (w *Writer) addWanted(next *box, wanted map[string]view.Statement) (added bool, err error) {
	for _, k := range slices.Sorted(maps.Keys(wanted)) {
		s := wanted[k]
		tasks, bytes := next.size()
		if s.Type == protocol.TaskPayload && tasks >= protocol.MaxOpenTasks ||
			bytes+view.EnvelopeBytes(len(s.Payload)) > protocol.MaxMailbox-1024 {
			continue
		}
		envelope, err := protocol.SealPayload(w.opts.Key, s.Type, s.Payload)
		if err != nil {
			return added, fmt.Errorf("sign statement for task %s: %w", s.TaskID, err)
		}
		next.add(envelope, listed{Statement: s})
		added = true
	}
	return added, nil
}

// acceptedBy names for every listed task who accepted it: what is known here
// and what another replica wrote.
func (w *Writer) acceptedBy(next, current *box) map[string]string {
	var by map[string]string
	for _, l := range next.listed {
		if l.Type != protocol.TaskPayload {
			continue
		}
		installation := current.AcceptedBy[l.TaskID]
		if installation == "" {
			installation = w.opts.View.Accepted(l.TaskID)
		}
		if installation != "" {
			if by == nil {
				by = map[string]string{}
			}
			by[l.TaskID] = installation
		}
	}
	return by
}

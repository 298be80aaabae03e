// Package audit reads the audit logs that hosts have sent, and follows their chains: a
// host that is taken over later can write its own log anew, but not what the broker has.
//
// It writes nothing.
package audit

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"devserver-agent/protocol"
)

// Trail is what the broker has of a host's audit log, of its newest installation.
type Trail struct {
	ServerID       string            `json:"server_id"`
	InstallationID string            `json:"installation_id"`
	First          int64             `json:"first"` // number of the oldest line, 0: there is none
	Last           int64             `json:"last"`
	Head           string            `json:"head"`             // SHA-256 of the last line, as the host's audit verify prints it
	Missing        int64             `json:"missing"`          // lines between First and Last that did not arrive
	Broken         string            `json:"broken,omitempty"` // where the chain does not hold, and why
	Lines          []json.RawMessage `json:"lines"`            // the newest ones, the oldest of them first
}

// Read reads a host's trail with up to limit lines of it.
func Read(ctx context.Context, js jetstream.JetStream, server string, limit int) (Trail, error) {
	f := follower{trail: Trail{ServerID: server, Lines: []json.RawMessage{}}, limit: limit}
	stream, err := js.Stream(ctx, protocol.AuditStream)
	if err != nil {
		return Trail{}, fmt.Errorf("read the audit log of %s: %w", server, err)
	}
	last, err := stream.GetLastMsgForSubject(ctx, protocol.AuditSubject(server))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return f.trail, nil
	}
	if err == nil {
		err = f.read(ctx, js, last.Sequence)
	}
	if err != nil {
		return Trail{}, fmt.Errorf("read the audit log of %s: %w", server, err)
	}
	return f.trail, nil
}

type follower struct {
	trail Trail
	limit int
	known map[int64][sha256.Size]byte // of every line that came
}

func (f *follower) read(ctx context.Context, js jetstream.JetStream, last uint64) error {
	consumer, err := js.OrderedConsumer(ctx, protocol.AuditStream, jetstream.OrderedConsumerConfig{
		FilterSubjects: []string{protocol.AuditSubject(f.trail.ServerID)}, InactiveThreshold: 10 * time.Second,
	})
	if err != nil {
		return err
	}
	messages, err := consumer.Messages()
	if err != nil {
		return err
	}
	defer messages.Stop()
	for {
		msg, err := messages.Next(jetstream.NextContext(ctx))
		if err != nil {
			return err
		}
		var sent protocol.AuditLines
		if json.Unmarshal(msg.Data(), &sent) == nil && sent.ServerID == f.trail.ServerID {
			f.take(sent)
		}
		if meta, err := msg.Metadata(); err != nil || meta.Sequence.Stream >= last {
			return err
		}
	}
}

// take follows the lines of a message.
func (f *follower) take(sent protocol.AuditLines) {
	if sent.InstallationID != f.trail.InstallationID { // another state directory has another log
		f.trail = Trail{ServerID: f.trail.ServerID, InstallationID: sent.InstallationID, Lines: f.trail.Lines[:0]}
		f.known = map[int64][sha256.Size]byte{}
	}
	for _, text := range sent.Lines {
		f.line(text)
	}
}

func (f *follower) line(text string) {
	var at protocol.AuditPosition
	if json.Unmarshal([]byte(text), &at) != nil || at.Seq <= 0 {
		f.broken("a line cannot be read")
		return
	}
	t, sum := &f.trail, sha256.Sum256([]byte(text))
	if before, came := f.known[at.Seq]; came {
		if before != sum {
			f.broken("line %d came a second time and says something else: the host's log was written anew", at.Seq)
		}
		return
	}
	switch {
	case t.Last == 0:
		t.First = at.Seq
	case at.Seq < t.Last:
		f.broken("line %d came after line %d", at.Seq, t.Last)
		return
	case at.Seq > t.Last+1:
		t.Missing += at.Seq - t.Last - 1
	case at.Prev != t.Head:
		f.broken("line %d does not follow on the line %d that is here: the host's log was written anew", at.Seq, t.Last)
	}
	f.known[at.Seq] = sum
	t.Last, t.Head = at.Seq, hex.EncodeToString(sum[:])
	if t.Lines = append(t.Lines, json.RawMessage(text)); len(t.Lines) > f.limit {
		t.Lines = t.Lines[1:]
	}
}

// broken notes the first place where the chain does not hold.
func (f *follower) broken(format string, args ...any) {
	if f.trail.Broken == "" {
		f.trail.Broken = fmt.Sprintf(format, args...)
	}
}

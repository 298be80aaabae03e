package main

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/nats-io/nats.go"

	"devserver-agent/protocol"
	"devserver-agent/test/brokertest"
)

const starts = 11

// mailer plays the control plane for one broker.
type mailer struct {
	nc  *nats.Conn
	key ed25519.PrivateKey
}

func newMailer(url string, options ...nats.Option) (*mailer, error) {
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		return nil, err
	}
	nc, err := nats.Connect(url, options...)
	return &mailer{nc: nc, key: key}, err
}

// deliver puts one task into a server's mailbox.
func (m *mailer) deliver(server, task string, item protocol.Item) error {
	now := time.Now()
	envelope, err := protocol.Seal(m.key, protocol.Task{
		TaskID: task, JobID: "bench", ServerID: server, Items: []protocol.Item{item},
		IssuedAt: protocol.Millis(now), ExpiresAt: protocol.Millis(now.Add(time.Hour)),
	})
	if err != nil {
		return err
	}
	return m.put(server, []protocol.Envelope{envelope})
}

// epoch is that of every mailbox of the bench.
const epoch = "bench"

// put replaces a server's mailbox.
func (m *mailer) put(server string, statements []protocol.Envelope) error {
	raw, err := json.Marshal(protocol.Mailbox{ServerID: server, Epoch: epoch, Statements: statements})
	if err != nil {
		return err
	}
	_, err = m.nc.Request(protocol.MailboxSubject(server), raw, 5*time.Second)
	return err
}

// await waits for a status of a server that satisfies ok.
func (m *mailer) await(ctx context.Context, sub *nats.Subscription, ok func(protocol.Status) bool) (protocol.Status, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	for {
		msg, err := sub.NextMsgWithContext(ctx)
		if err != nil {
			return protocol.Status{}, err
		}
		var s protocol.Status
		if err := json.Unmarshal(msg.Data, &s); err != nil {
			return s, err
		}
		if ok(s) {
			return s, nil
		}
	}
}

// stage is what a measurement of one agent needs: a broker, who plays the control
// plane on it, and the file of the host's boot id.
func (b bench) stage() (broker *brokertest.Broker, m *mailer, bootID string, err error) {
	bootID = filepath.Join(b.dir, "boot_id")
	if err := os.WriteFile(bootID, []byte("bench-boot\n"), 0o600); err != nil {
		return nil, nil, "", err
	}
	if broker, err = brokertest.Start(filepath.Join(b.dir, "broker"), brokertest.SyncAlways); err != nil {
		return nil, nil, "", err
	}
	if m, err = newMailer(broker.ClientURL()); err != nil {
		broker.Stop()
		return nil, nil, "", err
	}
	return broker, m, bootID, nil
}

// start measures from the start of the process to the first task accepted,
// which is later than the first mailbox read: the task is on disk and told. The
// floor is a program of the same language that connects and reads the mailbox.
func start(ctx context.Context, b bench) ([]figure, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	broker, m, bootID, err := b.stage()
	if err != nil {
		return nil, err
	}
	defer broker.Stop()
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	var took, floors []time.Duration
	for n := range starts {
		id := fmt.Sprintf("start-%d", n)
		if err := m.deliver(id, "task-"+id, protocol.Item{Type: "HDK_QUERY"}); err != nil {
			return nil, err
		}
		read, err := m.nc.SubscribeSync("bench.read." + id)
		if err != nil {
			return nil, err
		}
		began := time.Now()
		if _, err := b.program(ctx, id+"-floor.log", self, floorArg, "read", broker.ClientURL(), id); err != nil {
			return nil, err
		}
		if _, err := read.NextMsg(time.Minute); err != nil {
			return nil, err
		}
		floors = append(floors, time.Since(began))
		said, err := m.nc.SubscribeSync(protocol.StatusSubject(id))
		if err != nil {
			return nil, err
		}
		began = time.Now()
		p := &plane{nats: broker.ClientURL(), key: protocol.KeyOf(m.key).String()}
		cmd, err := b.startAgent(ctx, "devserver-agent", id, p, b.dir, bootID, "")
		if err != nil {
			return nil, err
		}
		if _, err := m.await(ctx, said, func(s protocol.Status) bool { return s.Phase == protocol.Accepted }); err != nil {
			return nil, err
		}
		took = append(took, time.Since(began))
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
	value, least := median(took), median(floors)
	return []figure{{
		what:  fmt.Sprintf("start of the process to first task accepted (median of %d)", starts),
		value: value.Round(100 * time.Microsecond).String(), floor: least.Round(100 * time.Microsecond).String(),
		ratio: fmt.Sprintf("%.2f", float64(value)/float64(least)), limit: "50 ms", missed: value > 50*time.Millisecond,
	}}, nil
}

// floorRead connects, reads a mailbox and says so.
func floorRead(url, id string) error {
	nc, err := nats.Connect(url)
	if err != nil {
		return err
	}
	if _, err := nc.Request(protocol.FetchSubject(id), nil, 5*time.Second); err != nil {
		return err
	}
	if err := nc.Publish("bench.read."+id, nil); err != nil {
		return err
	}
	return nc.Flush()
}

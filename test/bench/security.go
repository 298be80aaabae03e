package main

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"devserver-agent/protocol"
	"devserver-agent/test/brokertest"
)

const (
	opened    = 3000 // statements
	published = 500  // statuses
	connects  = 50
)

// security measures what signatures and TLS cost, each beside the same without.
func security(ctx context.Context, b bench) ([]figure, error) {
	figures, err := signatures()
	if err != nil {
		return nil, err
	}
	caFile, certificate, err := b.certificate()
	if err != nil {
		return nil, err
	}
	plain, err := brokertest.Start(filepath.Join(b.dir, "plain"), brokertest.SyncAlways)
	if err != nil {
		return nil, err
	}
	defer plain.Stop()
	secret, err := brokertest.Start(filepath.Join(b.dir, "tls"), brokertest.SyncAlways, brokertest.TLS(certificate, caFile))
	if err != nil {
		return nil, err
	}
	defer secret.Stop()
	over := func() (*nats.Conn, error) {
		return nats.Connect(strings.Replace(secret.ClientURL(), "nats://", "tls://", 1), nats.RootCAs(caFile))
	}
	without := func() (*nats.Conn, error) { return nats.Connect(plain.ClientURL()) }
	for _, part := range []struct {
		what    string
		measure func(context.Context, func() (*nats.Conn, error)) (time.Duration, error)
	}{
		{fmt.Sprintf("TLS: connect to the broker (median of %d; floor: without)", connects), connecting},
		{fmt.Sprintf("TLS: a status of 1 KiB until it is acknowledged (median of %d; floor: without)", published), acknowledging},
	} {
		value, err := part.measure(ctx, over)
		if err != nil {
			return nil, err
		}
		floor, err := part.measure(ctx, without)
		if err != nil {
			return nil, err
		}
		figures = append(figures, compared(part.what, value, floor))
	}
	return figures, nil
}

func compared(what string, value, floor time.Duration) figure {
	return figure{what: what, value: value.Round(time.Microsecond).String(), floor: floor.Round(time.Microsecond).String(), ratio: fmt.Sprintf("%.2f", float64(value)/float64(floor))}
}

// signatures opens statements that are signed, and the same that are not.
func signatures() ([]figure, error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	task := protocol.Task{TaskID: "task", JobID: "job", ServerID: "srv", Type: "COMMON", Items: []protocol.Item{{Type: "HDK_UPGRADE", Spec: map[string]string{"version": "24.1.rc3.10"}}},
		Job: protocol.Job{ProjectID: "project", Name: "bench", ServerCount: 1, Servers: []string{"srv"}}, IssuedAt: 1, ExpiresAt: 2}
	open := func(key ed25519.PrivateKey, ring protocol.Keyring) (time.Duration, error) {
		e, err := protocol.Seal(key, task)
		if err != nil {
			return 0, err
		}
		var all []time.Duration
		for range opened {
			began := time.Now()
			if _, err := ring.Open(e, began); err != nil {
				return 0, err
			}
			all = append(all, time.Since(began))
		}
		return median(all), nil
	}
	signed, err := open(key, protocol.Keyring{Keys: []protocol.Trusted{{Key: protocol.KeyOf(key)}}})
	if err != nil {
		return nil, err
	}
	unsigned, err := open(nil, protocol.Keyring{AllowUnsigned: true})
	if err != nil {
		return nil, err
	}
	return []figure{compared(fmt.Sprintf("signing: a task verified and read (median of %d; floor: read, unsigned)", opened), signed, unsigned)}, nil
}

func connecting(_ context.Context, connect func() (*nats.Conn, error)) (time.Duration, error) {
	var all []time.Duration
	for range connects {
		began := time.Now()
		conn, err := connect()
		if err != nil {
			return 0, err
		}
		all = append(all, time.Since(began))
		conn.Close()
	}
	return median(all), nil
}

func acknowledging(ctx context.Context, connect func() (*nats.Conn, error)) (time.Duration, error) {
	conn, err := connect()
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	js, err := jetstream.New(conn)
	if err != nil {
		return 0, err
	}
	message := make([]byte, 1024)
	var all []time.Duration
	for range published {
		began := time.Now()
		if _, err := js.Publish(ctx, protocol.StatusSubject("srv"), message); err != nil {
			return 0, err
		}
		all = append(all, time.Since(began))
	}
	return median(all), nil
}

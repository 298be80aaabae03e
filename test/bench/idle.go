package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"devserver-agent/agent/journal"
	"devserver-agent/protocol"
	"devserver-agent/test/brokertest"
)

const (
	historyTasks = 2000             // a busy month: more than 60 tasks a day
	settle       = 75 * time.Second // what the start needed is given back by then, and the mailbox read once more
	watched      = 60 * time.Second
)

// idle measures an agent that has nothing to do: TLS to its broker, a month of
// finished tasks in its journal.
func idle(ctx context.Context, b bench) ([]figure, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	caFile, certificate, err := b.certificate()
	if err != nil {
		return nil, err
	}
	broker, err := brokertest.Start(filepath.Join(b.dir, "broker"), brokertest.SyncAlways, brokertest.TLS(certificate, caFile))
	if err != nil {
		return nil, err
	}
	defer broker.Stop()
	if err := b.history("idle"); err != nil {
		return nil, err
	}
	m, err := newMailer(broker.ClientURL(), nats.RootCAs(caFile))
	if err != nil {
		return nil, err
	}
	if err := m.put("idle", nil); err != nil {
		return nil, err
	}
	bootID := filepath.Join(b.dir, "boot_id")
	if err := os.WriteFile(bootID, []byte("bench-boot\n"), 0o600); err != nil {
		return nil, err
	}
	url := strings.Replace(broker.ClientURL(), "nats://", "tls://", 1)
	cmd, err := b.startAgent(ctx, "devserver-agent", "idle", &plane{nats: url, key: someKey}, b.dir, bootID, ", ca_file: "+caFile)
	if err != nil {
		return nil, err
	}
	pid := cmd.Process.Pid
	if err := until(ctx, "the agent", func() bool { return broker.NumClients() > 1 }); err != nil {
		return nil, err
	}
	if err := pause(ctx, settle); err != nil {
		return nil, err
	}
	before, err := usage(pid)
	if err != nil {
		return nil, err
	}
	if err := pause(ctx, watched); err != nil {
		return nil, err
	}
	after, err := usage(pid)
	if err != nil {
		return nil, err
	}
	wakeups := float64(after.switches-before.switches) / watched.Seconds()
	written := after.written - before.written
	return []figure{
		{what: "idle agent, RSS", value: mb(after.rss), limit: "14 MB", missed: after.rss > 14e6},
		{what: "idle agent, RssAnon", value: mb(after.anon), limit: "6 MB", missed: after.anon > 6e6},
		{what: "idle agent, wakeups (all threads)", value: fmt.Sprintf("%.2f/s", wakeups), limit: "1/s", missed: wakeups > 1},
		{what: "idle agent, written to disk in a minute", value: fmt.Sprintf("%d bytes", written), limit: "0", missed: written > 0},
		{what: "idle agent, threads", value: strconv.Itoa(after.threads)},
	}, nil
}

// someKey is a public key whose private half nobody has.
const someKey = "ed25519:Q29udHJvbCBwbGFuZSdzIHB1YmxpYyBrZXkuIFNhbXA="

// history fills an agent's journal with finished tasks.
func (b bench) history(id string) error {
	store, err := journal.Open(journal.Options{Dir: filepath.Join(b.dir, id+"-state"), ServerID: id, BootID: "bench-boot"})
	if err != nil {
		return err
	}
	for n := range historyTasks {
		task := protocol.Task{TaskID: fmt.Sprintf("task-%06d", n), JobID: fmt.Sprintf("job-%06d", n), ServerID: id,
			Items: []protocol.Item{{Type: "HDK_QUERY"}}, IssuedAt: 1, ExpiresAt: protocol.Millis(time.Now().Add(time.Hour))}
		t, err := store.Admit(journal.Admission{ID: task.TaskID, Accept: journal.AcceptRecord{Task: &task, ExpiresAt: task.ExpiresAt},
			First: protocol.Status{Status: protocol.Processing, Phase: protocol.Accepted}})
		var verdict protocol.Status
		if err == nil {
			verdict, err = t.Say(protocol.Status{Status: protocol.Success, Phase: protocol.Done, Message: "Driver: 24.1.0.3 | Firmware: 7.5.0.5.220"})
		}
		if err == nil {
			err = t.Acknowledged(verdict)
		}
		if err == nil {
			err = store.Finish(t)
		}
		if err != nil {
			return errors.Join(err, store.Close())
		}
	}
	return errors.Join(store.SetEpoch(epoch), store.Close())
}

type figures struct {
	rss, anon, written, switches int64
	threads                      int
}

// usage reads what the kernel counts of a process: proc_pid_status(5) of every
// thread and proc_pid_io(5).
func usage(pid int) (figures, error) {
	var f figures
	proc := filepath.Join("/proc", strconv.Itoa(pid))
	status, err := fields(filepath.Join(proc, "status"))
	if err != nil {
		return f, err
	}
	f.rss, f.anon = status["VmRSS"]*1024, status["RssAnon"]*1024
	io, err := fields(filepath.Join(proc, "io"))
	if err != nil {
		return f, err
	}
	f.written = io["write_bytes"]
	threads, err := os.ReadDir(filepath.Join(proc, "task"))
	if err != nil {
		return f, err
	}
	f.threads = len(threads)
	for _, t := range threads {
		s, err := fields(filepath.Join(proc, "task", t.Name(), "status"))
		if err != nil {
			return f, err
		}
		f.switches += s["voluntary_ctxt_switches"]
	}
	return f, nil
}

func fields(path string) (map[string]int64, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	values := map[string]int64{}
	for line := range strings.Lines(string(raw)) {
		name, rest, _ := strings.Cut(line, ":")
		if words := strings.Fields(rest); len(words) > 0 {
			if n, err := strconv.ParseInt(words[0], 10, 64); err == nil {
				values[name] = n
			}
		}
	}
	return values, nil
}

func mb(n int64) string { return fmt.Sprintf("%.1f MB", float64(n)/1e6) }

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// certificate makes one for 127.0.0.1 that vouches for itself.
func (b bench) certificate() (caFile string, certificate tls.Certificate, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return "", certificate, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "bench"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return "", certificate, err
	}
	var out bytes.Buffer
	if err := pem.Encode(&out, &pem.Block{Type: "CERTIFICATE", Bytes: der}); err != nil {
		return "", certificate, err
	}
	caFile = filepath.Join(b.dir, "ca.pem")
	certificate = tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
	return caFile, certificate, os.WriteFile(caFile, out.Bytes(), 0o600)
}

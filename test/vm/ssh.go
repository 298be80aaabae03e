package vm

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
)

// answer is how long the machine may take to be reached.
const answer = 20 * time.Second

// dial is the connection to this boot of the machine.
func (m *Machine) dial() (*ssh.Client, error) {
	m.mu.Lock()
	client, boot := m.client, m.boots
	m.mu.Unlock()
	if client != nil {
		return client, nil
	}
	address := fmt.Sprintf("127.0.0.1:%d", m.port)
	conn, err := net.DialTimeout("tcp", address, answer)
	if err != nil {
		return nil, err
	}
	// qemu takes a connection before the machine does.
	err = conn.SetDeadline(time.Now().Add(answer))
	over, channels, requests, refused := ssh.NewClientConn(conn, address, &ssh.ClientConfig{
		User: "root", Auth: []ssh.AuthMethod{ssh.PublicKeys(m.signer)},
		HostKeyCallback: ssh.InsecureIgnoreHostKey(), // it is on the loopback, and made its key a moment ago
	})
	if err = errors.Join(err, refused); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	if err := conn.SetDeadline(time.Time{}); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	client = ssh.NewClient(over, channels, requests)
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.boots != boot {
		return nil, errors.Join(errors.New("it has been booted meanwhile"), client.Close())
	}
	m.client = client
	return client, nil
}

// Run runs a program in the machine and returns all it printed.
func (m *Machine) Run(argv ...string) (string, error) {
	out, err := m.combined(quoted(argv))
	if err != nil {
		err = fmt.Errorf("%v: %w\n%s", argv, err, out)
	}
	return string(bytes.TrimSpace(out)), err
}

// MustRun is Run for what has to succeed.
func (m *Machine) MustRun(argv ...string) string {
	m.t.Helper()
	out, err := m.Run(argv...)
	m.must(err)
	return out
}

func (m *Machine) combined(line string) ([]byte, error) {
	client, err := m.dial()
	if err != nil {
		return nil, err
	}
	s, err := client.NewSession()
	if err != nil {
		m.forget(client)
		return nil, err
	}
	defer s.Close()
	return s.CombinedOutput(line)
}

// forget has the next session make a connection of its own.
func (m *Machine) forget(client *ssh.Client) {
	_ = client.Close()
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.client == client {
		m.client = nil
	}
}

// quoted is a command line for the machine's shell.
func quoted(argv []string) string {
	var words []string
	for _, word := range argv {
		words = append(words, "'"+strings.ReplaceAll(word, "'", `'\''`)+"'")
	}
	return strings.Join(words, " ")
}

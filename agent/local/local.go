// Package local is the daemon's socket for those who ask on the host itself:
// status, work without a control plane, hold and drain. HTTP over a Unix socket
// that only root, and whoever runs the agent, may use.
//
// It keeps no state. Tasks and their logs need no socket: they are read from
// the journal's folders, whether a daemon runs or not.
package local

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"devserver-agent/agent/broker"
	"devserver-agent/agent/queue"
	"devserver-agent/protocol"
)

// Status is what a running agent says of itself.
type Status struct {
	ServerID       string       `json:"server_id"`
	InstallationID string       `json:"installation_id"`
	BootID         string       `json:"boot_id"`
	Version        string       `json:"version"`
	StartedAt      int64        `json:"started_at"` // epoch ms
	Broker         broker.State `json:"broker"`
	Queue          queue.State  `json:"queue"`
	Open           int          `json:"open"`      // tasks without an acknowledged verdict
	DiskFull       bool         `json:"disk_full"` // nothing new is accepted
	Unsigned       bool         `json:"unsigned"`  // trust.allow_unsigned: for development only
	// Notices counts by code what was refused or waits in the mailbox, since the start.
	Notices map[protocol.Code]uint64 `json:"notices,omitempty"`
}

// Work is one item to run on this host without a control plane.
type Work struct {
	Type string            `json:"type"`
	Spec map[string]string `json:"spec,omitempty"`
}

// Switch turns something on or off.
type Switch struct {
	On bool `json:"on"`
}

// Agent is who answers.
type Agent interface {
	Status() Status
	// Exec accepts local work and returns its task's id.
	Exec(Work) (string, error)
	Hold(on bool) error
	Drain(on bool) error
}

const maxRequest = 64 << 10 // bytes

// Server answers on a socket.
type Server struct {
	http     *http.Server
	listener net.Listener
}

// Listen takes the socket. One left by an agent that died is replaced: whoever
// holds the state directory's lock owns it.
func Listen(path string, a Agent) (*Server, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("local socket: %w", err)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("local socket: %w", err)
	}
	listener, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("local socket: %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(fmt.Errorf("local socket: %w", err), listener.Close())
	}
	s := &Server{listener: peers{listener}}
	s.http = &http.Server{Handler: handler(a), ReadHeaderTimeout: 5 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 8 << 10}
	return s, nil
}

// Serve answers until Close.
func (s *Server) Serve() error {
	if err := s.http.Serve(s.listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// Close ends the server and removes the socket.
func (s *Server) Close() error { return s.http.Close() }

// peers lets only root and the agent's own user in, whatever became of the
// socket's mode.
type peers struct{ net.Listener }

func (p peers) Accept() (net.Conn, error) {
	for {
		conn, err := p.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if permitted(conn) {
			return conn, nil
		}
		_ = conn.Close() // there is nobody to tell
	}
}

func permitted(conn net.Conn) bool {
	raw, err := conn.(*net.UnixConn).SyscallConn()
	if err != nil {
		return false
	}
	var cred *unix.Ucred
	var credErr error
	err = raw.Control(func(fd uintptr) {
		cred, credErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	})
	return err == nil && credErr == nil && (cred.Uid == 0 || int(cred.Uid) == os.Geteuid())
}

func handler(a Agent) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, _ *http.Request) { answer(w, a.Status(), nil) })
	mux.HandleFunc("POST /exec", func(w http.ResponseWriter, r *http.Request) {
		var work Work
		err := decode(w, r, &work)
		var id string
		if err == nil {
			id, err = a.Exec(work)
		}
		answer(w, map[string]string{"task_id": id}, err)
	})
	for name, turn := range map[string]func(bool) error{"hold": a.Hold, "drain": a.Drain} {
		mux.HandleFunc("POST /"+name, func(w http.ResponseWriter, r *http.Request) {
			var s Switch
			err := decode(w, r, &s)
			if err == nil {
				err = turn(s.On)
			}
			answer(w, s, err)
		})
	}
	return mux
}

func decode(w http.ResponseWriter, r *http.Request, into any) error {
	return json.NewDecoder(http.MaxBytesReader(w, r.Body, maxRequest)).Decode(into)
}

type failure struct {
	Error string `json:"error"`
}

func answer(w http.ResponseWriter, value any, err error) {
	w.Header().Set("Content-Type", "application/json")
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		value = failure{err.Error()}
	}
	// The asker may be gone by now, which is its own affair.
	_ = json.NewEncoder(w).Encode(value)
}

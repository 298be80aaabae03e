// Package controlplane is one replica of the control plane: it takes jobs over
// HTTP, delivers their tasks to agents over NATS, and tells what became of them.
//
// It keeps no state of its own but the signing key. Whenever it dies, the next
// start reads the broker's streams and goes on; see package jobs for the order
// of the writes.
package controlplane

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"devserver-agent/controlplane/access"
	"devserver-agent/controlplane/api"
	"devserver-agent/controlplane/broker"
	"devserver-agent/controlplane/enrolment"
	"devserver-agent/controlplane/signing"
	"devserver-agent/controlplane/templates"
	"devserver-agent/protocol"
)

// Options of a control plane. Zero durations have the defaults of the packages
// they go to.
type Options struct {
	// Listen is the address of HTTP, needed: a loopback address, unless Users says who
	// may ask for what and CertFile has a certificate.
	Listen   string
	Users    string // file of users (package access); empty: nobody is asked who he is
	CertFile string // PEM; empty: HTTP without TLS
	KeyFile  string // of CertFile
	// EnrolmentKey is the file with which hosts that bring a token are enrolled; empty:
	// none is.
	EnrolmentKey string
	DataDir      string // needed
	SigningKey   string // file; empty: signing.key in DataDir
	Templates    string // folder of templates of the site's own; empty: none
	// FormerKeys are keys that tasks were signed with before this one: jobs are
	// rebuilt of those tasks too, after the broker lost them.
	FormerKeys []protocol.Trusted

	Broker broker.Options // its DataDir and Log are set here

	LostAfter    time.Duration // silence after which an accepted task's host is lost
	SilentAfter  time.Duration // silence after which a task's message says so
	HaltGrace    time.Duration // after a job was called off, for hosts to say that they accepted what they were handed
	Expires      time.Duration // how long a job may be accepted
	EpochGrace   time.Duration // after streams were made anew, until absence means something; zero: 30 min
	WatchEvery   time.Duration // between looks at the streams; zero: 2 s
	RetryEvery   time.Duration // between attempts to read streams that cannot be read; zero: 1 s
	JudgeEvery   time.Duration // between looks for overdue tasks
	AuditAfter   time.Duration // between a verdict and the look at its output
	NumericTimes bool          // create_at and update_at as numbers
	// ReaderHeartbeat is how often the broker shows to those who read its streams that it
	// is there (package fold); zero: 5 s, at most 30 s.
	ReaderHeartbeat time.Duration

	Log *zap.Logger // nil: silent
}

// ControlPlane is a running replica.
type ControlPlane struct {
	opts      Options
	log       *zap.Logger
	key       ed25519.PrivateKey
	guard     *access.Guard   // nil: nobody is asked who he is
	desk      *enrolment.Desk // nil: nobody is enrolled
	templates templates.Set
	broker    *broker.Broker
	current   atomic.Pointer[generation] // nil while the streams are being read
	server    *http.Server
	addr      net.Addr

	stop   context.CancelFunc
	done   sync.WaitGroup
	failed chan error // has what ended it before Close
}

// Start returns when the streams were read and HTTP listens. Until then ctx
// ends it; afterwards Close does.
func Start(ctx context.Context, opts Options) (*ControlPlane, error) {
	c := &ControlPlane{opts: opts.withDefaults(), failed: make(chan error, 1)}
	c.log = c.opts.Log
	if err := c.openDoor(); err != nil {
		return nil, fmt.Errorf("HTTP: %w", err)
	}
	var err error
	if c.opts.Templates != "" {
		if c.templates, err = readTemplates(c.opts.Templates); err != nil {
			return nil, err
		}
	}
	if c.key, err = signing.Load(c.opts.SigningKey, filepath.Join(c.opts.DataDir, "signing.pub")); err != nil {
		return nil, err
	}
	c.opts.Broker.DataDir, c.opts.Broker.Log = c.opts.DataDir, c.log
	if c.broker, err = broker.Open(ctx, c.opts.Broker); err != nil {
		return nil, err
	}
	if err := c.start(ctx); err != nil {
		c.Close()
		return nil, err
	}
	c.log.Info("control plane is ready", zap.String("http", c.URL()), zap.String("nats", c.broker.Addr()),
		zap.String("trust_key", protocol.KeyOf(c.key).String()))
	return c, nil
}

func readTemplates(dir string) (templates.Set, error) {
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return templates.Set{}, fmt.Errorf("folder of templates %s: %w", dir, errors.Join(err, errors.New("it is no folder that can be read")))
	}
	return templates.Read(os.DirFS(dir))
}

func (o Options) withDefaults() Options {
	if o.SigningKey == "" {
		o.SigningKey = filepath.Join(o.DataDir, "signing.key")
	}
	if o.EpochGrace == 0 {
		o.EpochGrace = 30 * time.Minute
	}
	if o.WatchEvery == 0 {
		o.WatchEvery = 2 * time.Second
	}
	if o.RetryEvery == 0 {
		o.RetryEvery = time.Second
	}
	if o.Log == nil {
		o.Log = zap.NewNop()
	}
	return o
}

func (c *ControlPlane) start(ctx context.Context) error {
	first, err := c.first(ctx)
	if err != nil {
		return err
	}
	listener, err := c.listen()
	if err != nil {
		first.end()
		return fmt.Errorf("HTTP: %w", err)
	}
	c.addr = listener.Addr()
	c.current.Store(first)
	var life context.Context
	life, c.stop = context.WithCancel(context.WithoutCancel(ctx))
	c.serve(life, listener)
	c.done.Go(func() { c.live(life, first) })
	return nil
}

// Addr is where HTTP listens.
func (c *ControlPlane) Addr() string { return c.addr.String() }

// NATS is where agents connect.
func (c *ControlPlane) NATS() string { return c.broker.Addr() }

// Failed has an error when the control plane cannot go on.
func (c *ControlPlane) Failed() <-chan error { return c.failed }

// Reload has the embedded NATS read its configuration and certificates again. Users, and
// the certificate of HTTP, are read again without it.
func (c *ControlPlane) Reload() error { return c.broker.Reload() }

// Close ends requests and then the connection to NATS, and the embedded server.
func (c *ControlPlane) Close() {
	if c.stop != nil {
		c.stop()
	}
	c.done.Wait()
	if g := c.current.Swap(nil); g != nil {
		g.end()
	}
	c.broker.Close()
}

const drainRequests = 5 * time.Second

func (c *ControlPlane) serve(life context.Context, listener net.Listener) {
	c.server = &http.Server{
		Handler: api.New(api.Options{
			Backend: c.backend, Connected: c.broker.Conn.IsConnected, WhileConnected: c.broker.WhileConnected,
			NumericTimes: c.opts.NumericTimes, Guard: c.guard, Enrol: c.enrol(), Templates: c.templates, Expires: c.opts.Expires, Log: c.log,
		}),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       30 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		// Event streams end with it, so that Shutdown need not wait for them.
		BaseContext: func(net.Listener) context.Context { return life },
		ErrorLog:    zap.NewStdLog(c.log),
	}
	c.done.Go(func() {
		if err := c.server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			c.fail(fmt.Errorf("HTTP: %w", err))
		}
	})
	c.done.Go(func() {
		<-life.Done()
		ctx, cancel := context.WithTimeout(context.Background(), drainRequests)
		defer cancel()
		if err := c.server.Shutdown(ctx); err != nil {
			c.log.Warn("requests were cut", zap.Error(err))
		}
	})
}

func (c *ControlPlane) fail(err error) {
	select {
	case c.failed <- err:
	default:
	}
}

func (c *ControlPlane) backend() *api.Backend {
	if g := c.current.Load(); g != nil {
		return g.backend
	}
	return nil
}

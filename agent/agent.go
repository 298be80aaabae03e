// Package agent puts the daemon's stations together. A task's way:
//
//	broker -> inbox -> journal -> queue -> engine -> executor -> step
//	broker <- outbox <- journal
//
// Every station is a package below; this one only connects them, and answers
// those who ask on the host itself. The audit log listens to the journal and to what
// the outbox says of refusals. This package writes nothing of its own but the mark of
// a hold.
package agent

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"devserver-agent/agent/audit"
	"devserver-agent/agent/broker"
	"devserver-agent/agent/config"
	"devserver-agent/agent/engine"
	"devserver-agent/agent/facts"
	"devserver-agent/agent/inbox"
	"devserver-agent/agent/journal"
	"devserver-agent/agent/local"
	"devserver-agent/agent/outbox"
	"devserver-agent/agent/power"
	"devserver-agent/agent/queue"
	"devserver-agent/agent/step"
	"devserver-agent/executors"
	"devserver-agent/protocol"
)

// Options are what an agent is made of.
type Options struct {
	Config   config.Config
	Registry executors.Registry
	Version  string
	// Surroundings start the shims of steps, which outlive the agent.
	Surroundings step.Surroundings
	// Play answers queries on a simulated host; nil: its programs are run.
	Play func(ctx context.Context, argv []string) (executors.Reply, error)
	// Survey is asked for the host's state where a verdict has to say it; nil
	// if nobody can.
	Survey executors.Executor
	// Adopt takes over the state of another machine, after a planned swap of
	// the board.
	Adopt    bool
	Timeouts Timeouts
	Log      *zap.Logger
}

// Timeouts say how long an agent waits for others. Zero means the default; only tests set
// them.
type Timeouts struct {
	Query  time.Duration // for a program that only reads; default executors.QueryTimeout
	Answer time.Duration // for the broker's answer to what was published; default 10 s
	Broker time.Duration // for a broker, before the service is ready without one; default 10 s
}

const (
	keep      = 30 * 24 * time.Hour // of results
	restAfter = 30 * time.Second    // without anything to remember
)

// Agent is one agent over one state directory.
type Agent struct {
	opts   Options
	boot   string
	store  *journal.Store
	audit  *audit.Log
	queue  *queue.Queue
	engine *engine.Engine
	outbox *outbox.Outbox
	inbox  *inbox.Inbox
	// conn holds nil until the agent connects, and where work runs on the host
	// alone; a nil connection is a broker that is away.
	conn  atomic.Pointer[broker.Conn]
	facts *reporter
	// What was refused or waits in the mailbox, by code, and verdicts. caughtUp is set
	// when those of before the start were told.
	notices  counts[protocol.Code]
	verdicts counts[verdict]
	caughtUp bool
	// started is when this agent was made.
	started time.Time
	// asked is closed when the mailbox was asked for the first time, whatever the
	// answer was.
	asked    chan struct{}
	askedYet sync.Once
	// handingOver is closed when the agent is to end as soon as nothing runs.
	handingOver chan struct{}
	handOver    sync.Once
	fatal       chan error
}

// Open opens the state directory and makes the stations. Errors are those of
// journal.Open and of what the configuration names.
func Open(opts Options) (*Agent, error) {
	a, err := open(opts)
	if err != nil {
		return nil, notStarted{err}
	}
	return a, nil
}

func open(opts Options) (*Agent, error) {
	if opts.Log == nil {
		opts.Log = zap.NewNop()
	}
	registry, err := opts.Registry.Only(opts.Config.Executors.Allow)
	if err != nil {
		return nil, err
	}
	opts.Registry = registry
	c := opts.Config
	boot, err := facts.BootID(c.Host.BootIDFile)
	if err != nil {
		return nil, err
	}
	machine, err := facts.Machine(os.DirFS(c.Host.Root))
	if err != nil {
		return nil, err
	}
	store, err := journal.Open(journal.Options{
		Dir: c.StateDir, ServerID: c.ServerID, Version: opts.Version,
		Machine: machine, BootID: boot, Adopt: opts.Adopt,
	})
	if err != nil {
		return nil, err
	}
	a := &Agent{opts: opts, boot: boot, store: store, queue: &queue.Queue{}, started: time.Now(), asked: make(chan struct{}), handingOver: make(chan struct{}), fatal: make(chan error, 1)}
	if err := a.keepAudit(); err != nil {
		return nil, errors.Join(err, a.Close())
	}
	a.facts = newReporter(a)
	a.assemble()
	a.queue.Hold(a.held())
	// The host's memory belongs to training jobs: what work needed is given
	// back when there is none.
	idle := time.AfterFunc(restAfter, rest)
	store.Listen(func(t *journal.Task) {
		idle.Reset(restAfter)
		if t.Latest().Status.Terminal() {
			a.facts.taskEnded()
		}
	})
	return a, nil
}

// sendAudit gives the broker lines of the audit log.
func (a *Agent) sendAudit(ctx context.Context, lines []string) error {
	server := a.opts.Config.ServerID
	raw, err := json.Marshal(protocol.AuditLines{
		ServerID: server, InstallationID: a.store.Installation().ID, Lines: lines, At: protocol.Millis(time.Now()),
	})
	if err != nil {
		return err
	}
	return a.conn.Load().Publish(ctx, protocol.AuditSubject(server), "", raw)
}

// AuditDir is the folder of the audit log in a state directory.
func AuditDir(stateDir string) string { return filepath.Join(stateDir, "audit") }

// keepAudit opens the audit log and tells it what it may have missed.
func (a *Agent) keepAudit() (err error) {
	if a.audit, err = audit.Open(AuditDir(a.store.Dir())); err != nil {
		a.opts.Log.Warn("no audit log is kept for now", zap.Error(err)) // work does not wait for it
	}
	if err := a.store.ListenRecords(a.record); err != nil {
		return err
	}
	a.audit.CaughtUp()
	a.caughtUp = true
	message := "agent " + a.opts.Version
	if a.opts.Config.Trust.AllowUnsigned {
		message += ", trusts anyone who can write to the broker (trust.allow_unsigned)"
	}
	a.audit.Add(audit.Entry{Event: audit.Started, Message: message})
	return nil
}

func (a *Agent) assemble() {
	c := a.opts.Config
	tools := step.Tools{Root: c.Host.Root, Paths: c.ToolPaths(), Play: a.opts.Play, QueryTimeout: a.opts.Timeouts.Query}
	restarter := power.Restarter{Command: power.Command(c.Host.RebootCommand, c.Host.Root), Delay: c.Host.RebootDelay.Std(), Tools: tools}
	a.engine = engine.New(engine.Options{
		Store: a.store, Queue: a.queue, Registry: a.opts.Registry,
		Surroundings: a.opts.Surroundings, Tools: tools, Boot: a.boot,
		Limits:   step.Limits{Memory: uint64(c.Steps.MemoryMax), Tasks: uint64(c.Steps.TasksMax)},
		Progress: func(s protocol.Status) { a.outbox.Progress(s) },
		Power:    a.power(restarter),
		Survey:   a.opts.Survey, Log: a.opts.Log.Named("engine"),
		// A clock that is behind must not keep expired work alive.
		Now: func() time.Time { return a.inbox.Now() },
	})
	a.outbox = outbox.New(outbox.Options{
		Store: a.store, Publisher: link{a}, ServerID: c.ServerID, Spread: c.NATS.Spread.Std(), Noticed: a.audit.Notice, Log: a.opts.Log.Named("outbox"),
	})
	a.inbox = inbox.New(inbox.Options{
		ServerID: c.ServerID, Keyring: c.Keyring(), Registry: a.opts.Registry, Store: a.store, Fetcher: link{a},
		CanRestart: restarter.Available(),
		Accepted:   a.engine.Submit, Cancelled: a.engine.Cancel, Notice: a.notice,
		SawEpoch: func(epoch string) { a.outbox.SawEpoch(epoch); a.facts.sawEpoch(epoch) },
		Log:      a.opts.Log.Named("inbox"),
	})
}

// Run runs the daemon until ctx ends. What runs on the host then runs on.
func (a *Agent) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	a.engine.Start(ctx)
	a.engine.Resume()
	if err := a.connect(); err != nil {
		return err
	}
	defer a.conn.Load().Close()
	server, err := local.Listen(SocketPath(a.opts.Config), a)
	if err != nil {
		return err
	}
	defer server.Close()
	go func() { a.report(server.Serve()) }()
	go a.outbox.Run(ctx)
	go func() { a.report(a.inbox.Run(ctx)) }()
	go a.facts.run(ctx)
	go a.audit.Forward(ctx, a.sendAudit, func(err error) { a.opts.Log.Debug("audit log not sent yet", zap.Error(err)) })
	go a.housekeep(ctx)
	go a.awaitRest(ctx, cancel)
	announced := make(chan struct{})
	go func() { defer close(announced); a.announce(ctx) }()
	defer func() { cancel(); <-announced }()
	go func() { a.report(a.engine.Wait()) }()
	if listen := a.opts.Config.Metrics.Listen; listen != "" {
		go func() { a.report(a.serveMetrics(ctx, listen)) }()
	}
	a.opts.Log.Info("agent runs", zap.String("server", a.opts.Config.ServerID), zap.String("version", a.opts.Version),
		zap.String("installation", a.store.Installation().ID), zap.String("boot", a.boot))
	select {
	case err = <-a.fatal:
	case <-ctx.Done():
		err = a.engine.Wait()
	}
	return running(err)
}

// report keeps the first error that makes it pointless to go on.
func (a *Agent) report(err error) {
	if err == nil {
		return
	}
	select {
	case a.fatal <- err:
	default: // one reason is enough
	}
}

// connect makes the connection, which feeds the inbox.
func (a *Agent) connect() error {
	c := a.opts.Config
	if c.Trust.AllowUnsigned {
		a.opts.Log.Warn("trust.allow_unsigned is set: anyone who can write to the broker runs tasks here as root")
	}
	conn, err := broker.Connect(broker.Options{
		ServerID: c.ServerID, Version: a.opts.Version, Servers: c.NATS.Servers, CredentialsFile: c.NATS.CredentialsFile,
		CAFile: c.NATS.CAFile, CertFile: c.NATS.CertFile, KeyFile: c.NATS.KeyFile, TLSFirst: c.NATS.TLSFirst, MaxDelay: c.NATS.Spread.Std(),
		AnswerTimeout: a.opts.Timeouts.Answer,
		Log:           a.opts.Log.Named("broker"),
		OnPush:        func(raw []byte, stored time.Time) { a.report(a.inbox.Receive(raw, stored)) },
		OnConnect:     func() { a.inbox.Connected(); a.outbox.Wake(); a.facts.due() },
	})
	if err != nil {
		return err
	}
	a.conn.Store(conn)
	return nil
}

// Close gives the state directory up. Run has returned.
func (a *Agent) Close() error { return running(errors.Join(a.store.Close(), a.audit.Close())) }

// SocketPath is where a running agent answers on its host.
func SocketPath(c config.Config) string { return filepath.Join(c.RunDir, "agent.sock") }

// housekeep forgets old results, now and then, by a time that others vouch for.
func (a *Agent) housekeep(ctx context.Context) {
	tick := time.NewTicker(time.Hour)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		newest := a.inbox.Newest()
		if newest.IsZero() {
			continue
		}
		forgotten, err := a.store.Forget(newest, keep)
		if err != nil {
			a.opts.Log.Warn("forget old results", zap.Error(err))
		}
		if forgotten > 0 {
			a.opts.Log.Info("forgot old results", zap.Int("tasks", forgotten))
		}
	}
}

// held reports whether an operator stopped exclusive work. The file outlives
// the agent.
func (a *Agent) held() bool {
	_, err := os.Stat(filepath.Join(a.store.Dir(), holdFile))
	return err == nil
}

const holdFile = "hold"

// link is the connection as outbox and inbox need it, who are made before it.
type link struct{ a *Agent }

func (l link) Publish(ctx context.Context, subject, id string, data []byte) error {
	return l.a.conn.Load().Publish(ctx, subject, id, data)
}

func (l link) Send(subject string, data []byte) error { return l.a.conn.Load().Send(subject, data) }

func (l link) Connected() bool { return l.a.conn.Load().Connected() }

func (l link) Fetch(ctx context.Context) ([]byte, time.Time, error) {
	defer l.a.askedYet.Do(func() { close(l.a.asked) })
	return l.a.conn.Load().Fetch(ctx)
}

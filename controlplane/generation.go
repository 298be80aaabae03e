package controlplane

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"

	"devserver-agent/controlplane/api"
	"devserver-agent/controlplane/audit"
	"devserver-agent/controlplane/broker"
	"devserver-agent/controlplane/fold"
	"devserver-agent/controlplane/jobs"
	"devserver-agent/controlplane/mailbox"
	"devserver-agent/controlplane/output"
	"devserver-agent/controlplane/verdict"
	"devserver-agent/controlplane/view"
	"devserver-agent/protocol"
)

// generation is everything that is folded from one epoch of the broker. When
// the broker forgets its streams, it is thrown away and another one begins.
type generation struct {
	epoch   broker.Epoch
	backend *api.Backend
	cancel  context.CancelFunc
	workers sync.WaitGroup
}

func (g *generation) end() {
	g.cancel()
	g.workers.Wait()
}

// parts are what a generation consists of, before anything runs.
type parts struct {
	view    *view.View
	store   *jobs.Store
	output  *output.Reader
	writer  *mailbox.Writer
	keeper  *verdict.Keeper
	judge   *verdict.Judge
	auditor *output.Auditor
}

func (c *ControlPlane) assemble(ctx context.Context, epoch broker.Epoch) (*parts, error) {
	p := &parts{}
	var err error
	if p.store, err = jobs.Open(ctx, c.broker.JS); err != nil {
		return nil, err
	}
	if p.output, err = output.Open(ctx, c.broker.JS); err != nil {
		return nil, err
	}
	p.view = view.New(view.Options{
		SilentAfter: c.opts.SilentAfter,
		Changed:     func(server string, atOnce bool) { p.writer.Touch(server, atOnce) },
		Ended:       func(job string) { p.keeper.Ended(job) },
		Halted: func(job string) {
			p.keeper.Ended(job)
			p.judge.Look()
			time.AfterFunc(view.HaltSettle+100*time.Millisecond, p.judge.Look)
		},
		Told: func(task string) { p.auditor.Told(task) },
	})
	p.auditor = &output.Auditor{Reader: p.output, View: p.view, Log: c.log, After: c.opts.AuditAfter}
	p.keeper = verdict.NewKeeper(p.view, p.store, c.log)
	p.writer, err = mailbox.Open(ctx, mailbox.Options{JS: c.broker.JS, View: p.view, Key: c.key, Epoch: epoch.ID, Log: c.log})
	if err != nil {
		return nil, err
	}
	p.judge, err = verdict.New(ctx, verdict.Options{
		JS: c.broker.JS, View: p.view, LostAfter: c.opts.LostAfter, Every: c.opts.JudgeEvery, Log: c.log,
		Born: epoch.Born, Grace: c.opts.EpochGrace, HaltGrace: c.opts.HaltGrace, Listed: p.writer.Lists,
	})
	return p, err
}

// fold reads the streams and then starts what writes. greet has every known
// server told of the epoch.
func (c *ControlPlane) fold(ctx context.Context, epoch broker.Epoch, greet bool) (*generation, error) {
	p, err := c.assemble(ctx, epoch)
	if err != nil {
		return nil, fmt.Errorf("read the streams: %w", err)
	}
	life, cancel := context.WithCancel(context.WithoutCancel(ctx))
	g := &generation{epoch: epoch, cancel: cancel}
	defer context.AfterFunc(ctx, cancel)()
	err = fold.Run(life, fold.Options{
		Conn: c.broker.Conn, JS: c.broker.JS, View: p.view, Store: p.store, Heartbeat: c.opts.ReaderHeartbeat, Log: c.log,
		Trust:   protocol.Keyring{Keys: append([]protocol.Trusted{{Key: protocol.KeyOf(c.key)}}, c.opts.FormerKeys...)},
		Mailbox: seed(p.writer, p.view, epoch.ID),
	})
	if err != nil {
		g.end()
		return nil, fmt.Errorf("read the streams: %w", err)
	}
	if greet {
		for _, s := range p.view.Servers() {
			p.writer.Greet(s.ID)
		}
	}
	g.backend = &api.Backend{View: p.view, Store: p.store, Judge: p.judge, Output: p.output, Done: life.Done(),
		Audit: func(ctx context.Context, server string, lines int) (audit.Trail, error) {
			return audit.Read(ctx, c.broker.JS, server, lines)
		}}
	for _, run := range []func(context.Context){p.writer.Run, p.keeper.Run, p.judge.Run, p.auditor.Run} {
		g.workers.Go(func() { run(life) })
	}
	return g, nil
}

// seed takes a mailbox as it is in the stream. One of another epoch, or one that
// says something, is looked at.
func seed(writer *mailbox.Writer, v *view.View, epoch string) func(string, []byte, uint64) {
	return func(server string, data []byte, sequence uint64) {
		found := writer.Seed(server, data, sequence)
		for task, installation := range found.AcceptedBy {
			v.ApplyAcceptance(task, installation)
		}
		if found.Epoch != epoch || len(found.Statements) > 0 {
			writer.Touch(server, false)
		}
	}
}

// live follows the epochs of the broker until ctx ends.
func (c *ControlPlane) live(ctx context.Context, g *generation) {
	for {
		err := c.broker.Watch(ctx, g.epoch, c.opts.WatchEvery)
		if !errors.Is(err, broker.ErrForgot) {
			return // ctx has ended
		}
		c.log.Warn("broker lost its streams; recreating them, agents will republish if mailboxes or statuses were lost", zap.Error(err))
		c.current.Store(nil)
		g.end()
		if g = c.again(ctx); g == nil {
			return
		}
		c.current.Store(g)
		c.log.Info("streams were read again", zap.String("epoch", g.epoch.ID))
	}
}

// first makes the first generation. A broker that goes away or forgets in the middle
// is waited for, as one is that was not there to begin with.
func (c *ControlPlane) first(ctx context.Context) (*generation, error) {
	for {
		epoch, err := c.broker.Ensure(ctx)
		if err == nil {
			err = c.broker.CheckMapping(ctx)
		}
		var g *generation
		if err == nil {
			g, err = c.fold(ctx, epoch, false)
		}
		passes := broker.Away(err) || broker.Forgot(err)
		if err == nil || !passes || !c.pause(ctx, err) {
			return g, err
		}
	}
}

// again makes the next generation, however often it takes; nil when ctx ended.
func (c *ControlPlane) again(ctx context.Context) *generation {
	for {
		epoch, err := c.broker.Ensure(ctx)
		if err == nil {
			var g *generation
			if g, err = c.fold(ctx, epoch, true); err == nil {
				return g
			}
		}
		if !c.pause(ctx, err) {
			return nil
		}
	}
}

// pause waits for the broker to be able again; false when ctx ended.
func (c *ControlPlane) pause(ctx context.Context, err error) bool {
	if ctx.Err() != nil {
		return false
	}
	c.log.Warn("streams cannot be read; it is tried again", zap.Duration("in", c.opts.RetryEvery), zap.Error(err))
	select {
	case <-ctx.Done():
		return false
	case <-time.After(c.opts.RetryEvery):
		return true
	}
}

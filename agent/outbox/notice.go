package outbox

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"time"

	"go.uber.org/zap"

	"devserver-agent/agent/broker"
	"devserver-agent/protocol"
)

// Bounds of what a flood of bad statements may cost.
const (
	noticePause = time.Minute // between two notices alike
	maxNotices  = 64          // kinds remembered, and notices waiting
)

// notices holds what is to be reported, alike ones counted together.
type notices struct {
	mu      sync.Mutex
	waiting []protocol.Notice
	kinds   map[noticeKey]*noticeKind
	due     *time.Timer // of the next kind that has something to report
	sender  sender
	told    func(protocol.Notice) // nil: nobody
}

type noticeKey struct {
	code   protocol.Code
	digest string
}

// noticeKind is what came alike since it was reported last.
type noticeKind struct {
	reported time.Time
	newest   protocol.Notice // its Count says how many
}

// Notice reports something without a verdict. It does not block. The same
// again within a minute is counted and reported when the minute is over, and
// what comes beyond all bounds is counted with its code. Count says how many
// n stands for; 0 is 1.
func (o *Outbox) Notice(n protocol.Notice) {
	if o.opts.Publisher == nil {
		return
	}
	n.ServerID, n.InstallationID = o.opts.ServerID, o.opts.Store.Installation().ID
	n.At, n.Message = protocol.Millis(time.Now()), protocol.Clip(n.Message)
	o.notices.add(n, time.Now())
}

func (q *notices) add(n protocol.Notice, now time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	kind := q.kind(noticeKey{n.Code, n.Digest})
	n.Count = max(n.Count, 1) + kind.newest.Count
	kind.newest = n
	q.collect(now)
}

// kind finds what counts a kind of notices. Beyond the bound all of a code are
// one kind; codes are few.
func (q *notices) kind(key noticeKey) *noticeKind {
	if q.kinds == nil {
		q.kinds = map[noticeKey]*noticeKind{}
	}
	if _, known := q.kinds[key]; !known && len(q.kinds) >= maxNotices {
		key.digest = ""
	}
	if q.kinds[key] == nil {
		q.kinds[key] = &noticeKind{}
	}
	return q.kinds[key]
}

// collect puts what is due into the queue, forgets kinds that have not come for
// a while, and has itself called again when more becomes due.
func (q *notices) collect(now time.Time) {
	next := time.Duration(-1)
	for key, kind := range q.kinds {
		left := noticePause - now.Sub(kind.reported)
		switch {
		case kind.newest.Count == 0 && left <= 0:
			delete(q.kinds, key)
		case kind.newest.Count == 0 || len(q.waiting) >= maxNotices:
		case left <= 0:
			q.waiting = append(q.waiting, kind.newest)
			if q.told != nil {
				q.told(kind.newest)
			}
			kind.reported, kind.newest = now, protocol.Notice{}
		case next < 0 || left < next:
			next = left
		}
	}
	if len(q.waiting) > 0 {
		q.sender.more.fire()
	}
	if q.due != nil {
		q.due.Stop()
		q.due = nil
	}
	if next >= 0 {
		q.due = time.AfterFunc(next, func() {
			q.mu.Lock()
			defer q.mu.Unlock()
			q.collect(time.Now())
		})
	}
}

func (q *notices) first() (protocol.Notice, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.waiting) == 0 {
		return protocol.Notice{}, false
	}
	return q.waiting[0], true
}

// drop forgets the first and makes room for what waited for it.
func (q *notices) drop() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.waiting = q.waiting[1:]
	q.collect(time.Now())
}

func (o *Outbox) sendNotices(ctx context.Context) error {
	for {
		n, ok := o.notices.first()
		if !ok {
			return nil
		}
		raw, err := json.Marshal(n)
		if err != nil {
			return err
		}
		err = o.opts.Publisher.Publish(ctx, protocol.NoticeSubject(o.opts.ServerID), "", raw)
		if errors.Is(err, broker.ErrRefused) {
			// It is in the log; it must not keep the others back.
			o.opts.Log.Warn("notice refused", zap.String("code", string(n.Code)), zap.Error(err))
		} else if err != nil {
			return err
		}
		o.notices.drop()
	}
}

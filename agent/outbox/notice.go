package outbox

import (
	"context"
	"encoding/json"
	"sync"
	"time"

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
	seen    map[noticeKey]*noticeCount
	changed signal
}

type noticeKey struct {
	code   protocol.Code
	digest string
}

type noticeCount struct {
	last  time.Time
	count int
}

// Notice reports something without a verdict. It does not block. The same
// again within a minute is only counted, and what comes beyond all bounds is
// counted with its kind.
func (o *Outbox) Notice(n protocol.Notice) {
	n.ServerID, n.InstallationID = o.opts.ServerID, o.opts.Store.Installation().ID
	n.At, n.Message = protocol.Millis(time.Now()), protocol.Clip(n.Message)
	if o.notices.add(n, time.Now()) {
		o.notices.changed.fire()
	}
}

func (q *notices) add(n protocol.Notice, now time.Time) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	key := noticeKey{n.Code, n.Digest}
	if _, known := q.seen[key]; !known && len(q.seen) >= maxNotices {
		q.expire(now)
		if len(q.seen) >= maxNotices {
			key.digest = ""
		}
	}
	c := q.seen[key]
	if c == nil {
		if q.seen == nil {
			q.seen = map[noticeKey]*noticeCount{}
		}
		c = &noticeCount{}
		q.seen[key] = c
	}
	c.count++
	if now.Sub(c.last) < noticePause || len(q.waiting) >= maxNotices {
		return false
	}
	n.Count = c.count
	c.last, c.count = now, 0
	q.waiting = append(q.waiting, n)
	return true
}

// expire forgets kinds that have not come for a while.
func (q *notices) expire(now time.Time) {
	for key, c := range q.seen {
		if now.Sub(c.last) >= noticePause {
			delete(q.seen, key)
		}
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

func (q *notices) drop() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.waiting = q.waiting[1:]
}

func (o *Outbox) sendNotices(ctx context.Context) error {
	if o.opts.Publisher == nil {
		return nil
	}
	for {
		n, ok := o.notices.first()
		if !ok {
			return nil
		}
		raw, err := json.Marshal(n)
		if err != nil {
			return err
		}
		if err := o.publish(ctx, protocol.NoticeSubject(o.opts.ServerID), "", raw); err != nil {
			return err
		}
		o.notices.drop()
	}
}

package view

import (
	"slices"
	"sort"
	"time"

	"devserver-agent/protocol"
)

const (
	bootMemory   = 10 * time.Minute // how long a boot id is remembered to tell two hosts from a restart
	duplicateFor = 5 * time.Minute  // how long two hosts under one id are held against it
	keptNotices  = 16               // of one server
)

type server struct {
	id       string
	facts    *protocol.Facts
	presence *protocol.Presence
	sign     time.Time // the last sign of life
	boots    map[string]time.Time
	doubled  time.Time // when heartbeats of two hosts last alternated
	notices  []protocol.Notice
	active   map[string]*task // tasks its mailbox may have to speak of
}

func (s *server) heard(at time.Time) {
	if at.After(s.sign) {
		s.sign = at
	}
}

func (s *server) known() bool { return !s.sign.IsZero() }

// ApplyFacts takes in what a host says of itself.
func (v *View) ApplyFacts(id string, f protocol.Facts, at time.Time) Outcome {
	if f.ServerID != id {
		return Foreign
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	s := v.serverLocked(id)
	s.facts = &f
	s.heard(at)
	v.wakeServer(s)
	return Taken
}

// ApplyPresence takes in a heartbeat that was heard at the given time.
func (v *View) ApplyPresence(id string, p protocol.Presence, at time.Time) Outcome {
	if p.ServerID != id {
		return Foreign
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	s := v.serverLocked(id)
	s.boot(p.BootID, at)
	silent := at.Sub(s.sign) > v.opts.SilentAfter
	s.presence = &p
	s.heard(at)
	if silent {
		v.wakeServer(s)
	}
	return Taken
}

// boot notices two hosts under one id: after a restart the old boot id never
// comes back, so one that does belongs to a second host.
func (s *server) boot(id string, at time.Time) {
	if s.boots == nil {
		s.boots = map[string]time.Time{}
	}
	for other, seen := range s.boots {
		if at.Sub(seen) > bootMemory {
			delete(s.boots, other)
		}
	}
	_, before := s.boots[id]
	if before && s.presence != nil && s.presence.BootID != id {
		s.doubled = at
	}
	s.boots[id] = at
}

// ApplyNotice takes in what an agent refused.
func (v *View) ApplyNotice(id string, n protocol.Notice) Outcome {
	if n.ServerID != id {
		return Foreign
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	s := v.serverLocked(id)
	n.Message = protocol.Clip(n.Message)
	s.notices = append(s.notices, n)
	if len(s.notices) > keptNotices {
		s.notices = slices.Delete(s.notices, 0, len(s.notices)-keptNotices)
	}
	return Taken
}

// SetHearing tells since when heartbeats reach this process. Silence before it
// proves nothing.
func (v *View) SetHearing(since time.Time) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.hearing = since
}

func (v *View) wakeServer(s *server) {
	for _, t := range s.active {
		v.bump(t, 0)
	}
}

// silentSince is when a server was last heard of; zero while that is not too
// long ago to be called silence.
func (v *View) silentSince(s *server, now time.Time) time.Time {
	if last := v.lastHeard(s); s.known() && now.Sub(last) > v.opts.SilentAfter {
		return last
	}
	return time.Time{}
}

// lastHeard is never before this process could hear the server at all.
func (v *View) lastHeard(s *server) time.Time {
	if s.sign.Before(v.hearing) {
		return v.hearing
	}
	return s.sign
}

// Server is what is known of one.
type Server struct {
	ID          string
	Facts       *protocol.Facts    // nil: never told
	Presence    *protocol.Presence // nil: not heard since this process began
	LastSeen    time.Time          // zero: never
	SilentSince time.Time          // zero: it is not silent
	Duplicate   bool               // two hosts use this id
	Notices     []protocol.Notice  // the newest last
	Open        []Task             // tasks without a verdict, oldest first
}

// Server answers for one server; ok is false when nothing was ever heard of it
// and no job names it.
func (v *View) Server(id string) (s Server, ok bool) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	known := v.servers[id]
	if known == nil {
		return Server{}, false
	}
	return v.snapshotServer(known, time.Now()), true
}

// Servers lists all servers, by id.
func (v *View) Servers() []Server {
	v.mu.RLock()
	defer v.mu.RUnlock()
	now := time.Now()
	all := make([]Server, 0, len(v.servers))
	for _, s := range v.servers {
		all = append(all, v.snapshotServer(s, now))
	}
	sort.Slice(all, func(i, k int) bool { return all[i].ID < all[k].ID })
	return all
}

func (v *View) snapshotServer(s *server, now time.Time) Server {
	out := Server{
		ID: s.id, Facts: s.facts, Presence: s.presence, LastSeen: s.sign,
		SilentSince: v.silentSince(s, now), Duplicate: s.duplicate(now), Notices: slices.Clone(s.notices),
	}
	for _, t := range s.active {
		if t.verdict == nil {
			out.Open = append(out.Open, v.snapshotTask(t, now))
		}
	}
	sort.Slice(out.Open, func(i, k int) bool {
		a, b := out.Open[i], out.Open[k]
		return a.CreatedAt < b.CreatedAt || a.CreatedAt == b.CreatedAt && a.ID < b.ID
	})
	return out
}

func (s *server) duplicate(now time.Time) bool {
	return !s.doubled.IsZero() && now.Sub(s.doubled) < duplicateFor
}

// Announced lists the item types that the hosts among ids say they can do, by
// type; of all hosts when ids is nil. Where descriptions differ, any of them.
func (v *View) Announced(ids []string) map[string]protocol.ItemType {
	v.mu.RLock()
	defer v.mu.RUnlock()
	all := map[string]protocol.ItemType{}
	take := func(s *server) {
		if s != nil && s.facts != nil {
			for _, t := range s.facts.Executors {
				all[t.Type] = t
			}
		}
	}
	for _, id := range ids {
		take(v.servers[id])
	}
	if ids == nil {
		for _, s := range v.servers {
			take(s)
		}
	}
	return all
}

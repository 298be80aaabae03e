package e2e

import (
	"strings"
	"time"
)

// happen makes one event come about.
func (s *schedule) happen(e event) {
	switch e.what {
	case give:
		s.giveTask(e.on)
	case cancel:
		id := s.tasks[e.on].TaskID
		s.spared[id] = s.spared[id] || !s.listed[id]
		s.cancelled[id] = true
		s.list(s.rig.cancel(id))
		s.tell()
	case change:
		s.changeTask(e.on)
	case repeat:
		s.tell()
	case older, restore:
		s.bringBack(e.what)
	case killAgent, stopAgent, powerCycle:
		s.end(e)
	case killShim:
		for _, p := range s.shims() {
			s.cut = true
			p.kill()
		}
	case killProgram:
		for _, p := range s.programs() {
			s.killed[taskOf(p.step)] = true
			p.kill()
		}
	case stopBroker:
		if s.hub.broker != nil {
			s.away()
		}
		s.broker = time.Now().Add(e.lasts)
	case badNetwork:
		s.net.become(e.sky)
		s.network = time.Now().Add(e.lasts)
	}
}

// taskOf is the task of a step, by its name.
func taskOf(step string) string {
	n, _, _ := strings.Cut(strings.TrimPrefix(step, "t"), "i")
	return "task-" + n
}

// tell stores the mailbox as it is, if there is a broker.
func (s *schedule) tell() {
	if s.hub.broker != nil {
		s.deliver()
	}
}

func (s *schedule) giveTask(n int) {
	s.listed[s.tasks[n].TaskID] = true
	s.list(s.tasks[n])
	s.tell()
}

// changeTask tells other content under the id of a task, once it is known.
func (s *schedule) changeTask(n int) {
	if s.hub.broker == nil || len(s.of(s.tasks[n].TaskID)) == 0 {
		return
	}
	other := s.task(s.tasks[n].TaskID, s.trial("shared", "changed:ok"))
	box := s.copy()
	box.Statements = append(box.Statements, s.seal(other))
	s.push(box)
}

// bringBack tells a mailbox as it once was.
func (s *schedule) bringBack(how happening) {
	if s.hub.broker == nil || len(s.former) == 0 {
		return
	}
	box := s.former[len(s.former)/2]
	if how == older {
		s.push(box)
		return
	}
	s.store(box)
}

// end ends the agent; mend starts it again.
func (s *schedule) end(e event) {
	switch e.what {
	case killAgent:
		s.kill()
	case stopAgent:
		s.stop()
	case powerCycle:
		s.cut = true
		s.rig.powerCycle()
	}
	s.point = e.point
	s.start = time.Now().Add(e.lasts)
}

package view

import (
	"time"

	"devserver-agent/controlplane/jobs"
	"devserver-agent/protocol"
)

// ApplyRecord takes in a job's record as it is at revision. An older one than
// is known changes nothing.
func (v *View) ApplyRecord(r jobs.Record, revision uint64) {
	v.mu.Lock()
	e := v.applyRecord(r, revision)
	v.mu.Unlock()
	v.call(e)
}

func (v *View) applyRecord(r jobs.Record, revision uint64) (e effects) {
	j := v.jobs[r.ID]
	if j == nil {
		j = &job{updated: r.CreatedAt}
		v.jobs[r.ID] = j
	} else if revision <= j.revision || len(r.Servers) < len(j.tasks) {
		return e // servers are only ever added
	}
	ordered := !sameOrders(j.record, r)
	j.record, j.revision = r, revision
	revoked, _ := r.Revoked()
	j.updated = max(j.updated, revoked)
	if r.Halted != nil {
		j.halt = r.Halted
	}
	for _, id := range r.Servers[len(j.tasks):] {
		v.addTask(j, id)
		if r.MaxConcurrent == 0 && r.Verdicts == nil {
			e.awaited = append(e.awaited, id)
		}
	}
	e.awaited = append(e.awaited, v.deal(j, 0)...)
	for _, t := range j.tasks {
		// Another replica may have folded further than this one.
		if verdict, ok := r.Verdicts[t.server.id]; ok && t.verdict == nil {
			v.settle(t, verdict)
		}
	}
	if ordered {
		e.awaited = append(e.awaited, openServers(j)...)
	}
	v.wake(r.ID)
	return e
}

func (v *View) addTask(j *job, server string) {
	t := &task{
		id: jobs.TaskID(j.record.ID, server), job: j, server: v.serverLocked(server),
		place: len(j.tasks), turn: j.record.MaxConcurrent == 0,
		taken: map[string]int{}, updated: j.record.CreatedAt,
	}
	v.tasks[t.id] = t
	t.server.active[t.id] = t
	j.tasks = append(j.tasks, t)
	j.open++
}

// settle gives a task its verdict. Whose turn it is then is told by deal.
func (v *View) settle(t *task, verdict jobs.Verdict) {
	t.verdict = &verdict
	t.hostEnded = verdict.InstallationID != ""
	if verdict.AcceptedBy != "" {
		t.acceptedBy = verdict.AcceptedBy
	}
	t.job.open--
	if verdict.Status == protocol.Failed {
		t.job.failed++
	}
	if t.hostEnded || t.withheld() {
		delete(t.server.active, t.id)
	}
	v.bump(t, verdict.At)
}

func openServers(j *job) (servers []string) {
	for _, t := range j.tasks {
		if t.verdict == nil {
			servers = append(servers, t.server.id)
		}
	}
	return servers
}

// RemoveJob forgets a job whose record is gone.
func (v *View) RemoveJob(id string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	j := v.jobs[id]
	if j == nil {
		return
	}
	for _, t := range j.tasks {
		delete(v.tasks, t.id)
		delete(t.server.active, t.id)
	}
	delete(v.jobs, id)
	v.wake(id)
}

// Ending is a job whose tasks have all ended while its record does not say so,
// with what the record has to say. ok is false for any other job.
func (v *View) Ending(id string) (verdicts map[string]jobs.Verdict, ok bool) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	j := v.jobs[id]
	if j == nil || len(j.record.Verdicts) > 0 || !j.ended(time.Now()) {
		return nil, false
	}
	verdicts = make(map[string]jobs.Verdict, len(j.tasks))
	for _, t := range j.tasks {
		verdicts[t.server.id] = *t.verdict
	}
	return verdicts, true
}

// ended reports whether every task has its verdict. A job that is being rebuilt
// has, when nothing more can come of the servers that did not report.
func (j *job) ended(now time.Time) bool {
	if j.open > 0 {
		return false
	}
	return len(j.tasks) >= j.record.ServerCount || now.After(time.UnixMilli(j.record.ExpiresAt).Add(protocol.ExpiryGrace))
}

// Unfinished lists the jobs whose records lack what Ending or Halting knows.
func (v *View) Unfinished() (ids []string) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	now := time.Now()
	for id, j := range v.jobs {
		if len(j.record.Verdicts) == 0 && j.ended(now) || j.halting() {
			ids = append(ids, id)
		}
	}
	return ids
}

// Outdated lists the jobs that were deleted long enough ago to be forgotten,
// with the revision of their records.
func (v *View) Outdated(now time.Time) map[string]uint64 {
	v.mu.RLock()
	defer v.mu.RUnlock()
	ids := map[string]uint64{}
	for id, j := range v.jobs {
		if j.record.DeletedAt != 0 && now.After(time.UnixMilli(j.record.DeletedAt).Add(jobs.Forgotten)) {
			ids[id] = j.revision
		}
	}
	return ids
}

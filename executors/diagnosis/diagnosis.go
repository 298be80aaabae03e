// Package diagnosis holds DIAGNOSIS: it examines a host's NPUs and what they
// need, from inside the host, and gives each side of it a grade and says what it examined.
//
// The light checks, those of level health, only read: they run npu-smi, hccn_tool
// and other tools that answer questions, and look at files. A node at work is not
// disturbed and needs not be idle. The levels performance and stress also run
// ascend-dmi, which has the NPUs to itself for hours; on a node that is in use they
// skip that and say so.
//
// What the light checks found is one memo, so a replay says the same; ascend-dmi is
// a step for each of its scenes. Reports are kept in a folder of the agent's, the
// latest few: dying before that leaves one fewer, and the replay writes it.
package diagnosis

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"devserver-agent/executors"
	"devserver-agent/protocol"
)

// Diagnosis is the executor of DIAGNOSIS. The zero value examines the host at / and
// keeps no reports.
type Diagnosis struct {
	Root string // folder that is the host's /, as host.root says; "" is /
	Keep string // folder in which reports are kept; "": they are not
	// BusyPause is how long hccn_tool is left alone that is busy with another call
	// about the same chip, before it is asked again; 0: 200 ms.
	BusyPause time.Duration
	// AtOnce is how many calls of a tool run at a time; 0: ascend.CardsAtOnce.
	AtOnce int
	// Patience bounds the light checks together; 0: 90 s. What has not been asked until
	// then is skipped.
	Patience time.Duration
}

const (
	defaultPatience = 90 * time.Second
	grace           = 2 * time.Second // for checks that notice that time is up
)

// Execute examines the host. The task fails with DIAGNOSIS_FAILED when a check does.
func (d Diagnosis) Execute(ctx context.Context, host executors.Host, spec executors.Spec) (executors.Result, error) {
	level, names := Level(cmp.Or(spec["level"], string(Health))), strings.FieldsFunc(spec["checks"], func(r rune) bool { return r == ',' })
	report, err := executors.Memo(ctx, host, "report", func(ctx context.Context) (Report, error) {
		return d.Examine(ctx, host, names, host.Progress)
	})
	if err != nil {
		return executors.Result{}, err
	}
	report.Level = level
	for _, scene := range level.scenes() {
		outcome, err := scene.run(ctx, host)
		if err != nil {
			return executors.Result{}, err
		}
		report.Add(outcome)
	}
	if err := report.keep(d.Keep); err != nil {
		host.Printf("the report is not kept on this host: %v\n", err)
	}
	text, err := json.Marshal(report)
	if err != nil {
		return executors.Result{}, fmt.Errorf("encode the report: %w", err)
	}
	host.Printf("%s%s\n", report.Table(), text)
	host.Progress(100, "examined")
	if report.Grade == Fail {
		return executors.Result{}, executors.Fail(protocol.DiagnosisFailed, "%s", report.Message())
	}
	return executors.Result{Message: report.Message()}, nil
}

// Examine runs the light checks of these names, or all when there are none. It changes
// nothing and keeps no report. It calls progress on the caller's goroutine with how far it
// is; nil: it is not called. The error is the cause of ctx.
func (d Diagnosis) Examine(ctx context.Context, host Host, names []string, progress func(percent int, what string)) (Report, error) {
	d.Patience = cmp.Or(d.Patience, defaultPatience)
	bounded, cancel := context.WithTimeoutCause(ctx, d.Patience, errNoTime)
	defer cancel()
	chosen := slices.DeleteFunc(slices.Clone(checks), func(c entry) bool {
		return len(names) > 0 && !slices.Contains(names, c.name)
	})
	p := newProbe(bounded, host, d)
	p.explained = slices.ContainsFunc(chosen, func(c entry) bool { return c.name == "driver" })
	done := make(chan Outcome, len(chosen)) // one that is not waited for can still end
	for _, c := range chosen {
		go func() { done <- c.examine(bounded, p) }()
	}
	report := Report{Level: Health, At: protocol.Millis(time.Now())}
	timeUp, late := bounded.Done(), (<-chan time.Time)(nil)
	for len(report.Checks) < len(chosen) {
		select {
		case outcome := <-done:
			report.Add(outcome)
			if progress != nil {
				progress(99*len(report.Checks)/len(chosen), outcome.Check)
			}
		case <-timeUp:
			timeUp, late = nil, time.After(grace)
		case <-late:
			report.addMissing(chosen)
		}
	}
	if ctx.Err() != nil {
		return Report{}, context.Cause(ctx)
	}
	report.order(chosen)
	report.describe(p)
	return report, nil
}

// addMissing adds the checks that have not ended: a file system that does not answer
// holds the one up that reads it, and no other.
func (r *Report) addMissing(chosen []entry) {
	for _, c := range chosen {
		if !slices.ContainsFunc(r.Checks, func(o Outcome) bool { return o.Check == c.name }) {
			o := NewOutcome(c.name, Finding{Grade: Skip, What: "it did not end in time: a file system of the host may not answer"})
			o.Examined = "nothing"
			r.Add(o)
		}
	}
}

// errNoTime is why something was not asked.
var errNoTime = errors.New("not asked: the other tools took too long")

package diagnosis

import (
	"context"
	"strings"

	"devserver-agent/executors/ascend"
)

// health grades what the driver says of each card's health, and each of its fault
// codes by the class that Huawei puts it in.
type health struct{}

func (health) look(_ context.Context, s *survey) []Finding {
	var t tally
	for _, a := range s.healths() {
		if a.err != nil {
			t.add(a.card, unanswered(a.err))
			continue
		}
		for _, f := range judgeHealth(a.value) {
			t.add(a.card, f)
		}
	}
	return append(t.findings(), s.silent()...)
}

// states grade the driver's own judgement. An alarm is its word for a card that does
// not work as it should.
var states = map[ascend.State]Grade{
	ascend.StateOK: Pass, ascend.StateWarning: Warn, ascend.StateAlarm: Fail, ascend.StateCritical: Fail, ascend.StateUnknown: Warn,
}

func judgeHealth(h ascend.Health) []Finding {
	var found []Finding
	for i, code := range h.Codes {
		fault := ascend.FaultOf(code)
		f := Finding{Grade: classes[fault], What: code, Do: remedies[fault]}
		if i < len(h.Alarms) {
			f.What += " (" + h.Alarms[i] + ")"
		}
		if fault == "" {
			f.What += ", a code that this version does not know"
		} else {
			f.What += ", class " + string(fault)
		}
		found = append(found, f)
	}
	worst := Pass
	for _, f := range found {
		worst = worst.Worse(f.Grade)
	}
	switch {
	case h.State == ascend.StateOK:
	case len(found) == 0:
		found = append(found, Finding{states[h.State], strings.TrimSpace("health is " + string(h.State) + " " + strings.Join(h.Alarms, "; ")), "See npu-smi info -t health on the host and Huawei's list of faults."})
	case severity[states[h.State]] > severity[worst]:
		// The driver judges worse than the class: its word counts.
		found[0].Grade = states[h.State]
		found[0].What = string(h.State) + ": " + found[0].What
	}
	return found
}

// classes grade the classes of faults; "" is for a code of none.
var classes = map[ascend.Fault]Grade{
	ascend.FaultIgnored: Info, ascend.FaultSubHealth: Warn, ascend.FaultRestartRequest: Warn, ascend.FaultRestartJob: Warn,
	ascend.FaultResetWhenIdle: Fail, ascend.FaultReset: Fail, ascend.FaultIsolate: Fail, "": Warn,
}

// remedies are what Huawei recommends for each class (MindCluster, ascend-device-plugin's
// documentation of fault levels).
var remedies = map[ascend.Fault]string{
	ascend.FaultIgnored:        "Nothing.",
	ascend.FaultSubHealth:      "Watch the card; move long jobs away from it.",
	ascend.FaultRestartRequest: "Send the request again; restart the training job if it ended.",
	ascend.FaultRestartJob:     "Restart the job that ran on the card.",
	ascend.FaultResetWhenIdle:  "When the card is idle, reset it (npu-smi set -t reset) or restart the host.",
	ascend.FaultReset:          "Stop the job, reset the card (npu-smi set -t reset) or restart the host, start the job again.",
	ascend.FaultIsolate:        "Take the card out of use and have it repaired.",
	"":                         "Look the code up in Huawei's list of faults for this HDK version.",
}

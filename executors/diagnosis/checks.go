package diagnosis

import (
	"context"
	"time"
)

// check looks at one side of the host and says what it found. It is called on a
// goroutine of its own.
type check interface {
	look(ctx context.Context, s *survey) []Finding
}

// entry is a check under its name, which operators choose it by.
type entry struct {
	name  string
	check check
}

// checks are the light ones, in the order of reports: what explains the rest comes
// first.
var checks = []entry{
	{"driver", driver{}},
	{"cards", cards{}},
	{"health", health{}},
	{"versions", versions{}},
	{"installation", installation{}},
	{"dkms", dkms{}},
	{"ecc", ecc{}},
	{"temperature", temperature{}},
	{"load", load{}},
	{"processes", processes{}},
	{"hccs", hccs{}},
	{"pcie", pcie{}},
	{"roce", roce{}},
	{"kernel", kernelLog{}},
	{"disk", disk{}},
	{"memory", memory{}},
	{"clock", clock{}},
}

// Names are the names of the light checks.
func Names() []string {
	var names []string
	for _, c := range checks {
		names = append(names, c.name)
	}
	return names
}

func (e entry) examine(ctx context.Context, s *survey) Outcome {
	began := time.Now()
	o := NewOutcome(e.name, e.check.look(ctx, s)...)
	o.TookMS = time.Since(began).Milliseconds()
	return o
}

package diagnosis

import (
	"context"
	"time"
)

// check examines one side of the host. It says what it examined, in a few words
// such as "8 cards", and what it found. It is called on a goroutine of its own.
type check interface {
	run(ctx context.Context, p *probe) (examined string, found []Finding)
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

func (e entry) examine(ctx context.Context, p *probe) Outcome {
	began := time.Now()
	examined, found := e.check.run(ctx, p)
	o := NewOutcome(e.name, found...)
	o.Examined = shorten(examined)
	o.TookMS = time.Since(began).Milliseconds()
	return o
}

package diagnosis

import (
	"context"
	"fmt"

	"devserver-agent/executors/ascend"
)

// Limits of this project's own: no public figure was found for all families, and the
// driver raises its own alarms. These warn before it does. Power is reported and not
// judged.
const (
	hot     = 80 // degrees Celsius of a chip
	tooHot  = 95
	crowded = 97 // percent of a chip's memory
)

const cool = "Check fans, air flow and the room's temperature."

// temperature compares chips with limits.
type temperature struct{}

func (temperature) look(_ context.Context, s *survey) []Finding {
	return s.judge(s.commons(), func(chip ascend.Reading) []Finding {
		celsius, err := chip.Figure("Temperature(C)", "NPU Temperature(C)")
		switch {
		case err != nil:
			return []Finding{{Grade: Warn, What: err.Error()}}
		case celsius == nil:
			return []Finding{{Grade: Skip, What: "its temperature is not told"}}
		case *celsius >= tooHot:
			return []Finding{{Fail, fmt.Sprintf("%.0f C, the limit is %d", *celsius, tooHot), cool}}
		case *celsius >= hot:
			return []Finding{{Warn, fmt.Sprintf("%.0f C, the limit is %d", *celsius, hot), cool}}
		}
		return nil
	})
}

// load compares the use of memory and AI cores with limits.
type load struct{}

func (load) look(_ context.Context, s *survey) []Finding {
	return s.judge(s.commons(), func(chip ascend.Reading) []Finding {
		var found []Finding
		memory, err := chip.Figure("HBM Usage Rate(%)")
		if memory == nil && err == nil {
			memory, err = chip.Figure("Memory Usage Rate(%)")
		}
		cores, coresErr := chip.Figure("Aicore Usage Rate(%)")
		for _, err := range []error{err, coresErr} {
			if err != nil {
				found = append(found, Finding{Grade: Warn, What: err.Error()})
			}
		}
		if memory != nil && *memory >= crowded {
			found = append(found, Finding{Grade: Info, What: fmt.Sprintf("%.0f %% of its memory is in use", *memory)})
		}
		if cores != nil && *cores > 0 {
			found = append(found, Finding{Grade: Info, What: fmt.Sprintf("AI cores are %.0f %% busy", *cores)})
		}
		return found
	})
}

// processes tells who uses the NPUs.
type processes struct{}

func (processes) look(ctx context.Context, s *survey) []Finding {
	var t tally
	seen := map[int]bool{}
	for _, a := range s.programs() {
		if a.err != nil {
			t.add(a.card, unanswered(a.err))
			continue
		}
		for _, p := range a.value {
			seen[p.PID] = true
			words := fmt.Sprintf("process %d (%s)", p.PID, p.Name)
			if p.Memory != nil {
				words += fmt.Sprintf(" uses %d MB", *p.Memory)
			}
			t.add(a.card, Finding{Grade: Info, What: words})
		}
	}
	found := append(t.findings(), s.silent()...)
	for _, h := range ascend.Holders(s.host.Files()) {
		switch {
		case h.Installer != "":
			found = append(found, Finding{Warn, fmt.Sprintf("%s installs %s", h, h.Installer), "Wait for it to end."})
		case !seen[h.PID]:
			found = append(found, Finding{Grade: Info, What: h.String() + " holds NPUs"})
		}
	}
	containers, err := s.node.Containers(ctx)
	if err != nil {
		return append(found, Finding{Grade: Skip, What: "containers are not known: " + err.Error()})
	}
	for _, c := range containers {
		found = append(found, Finding{Grade: Info, What: c.String() + " was given NPUs"})
	}
	return found
}

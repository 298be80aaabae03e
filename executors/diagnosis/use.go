package diagnosis

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"devserver-agent/executors/ascend"
)

// Limits of this project's own: no public figure was found for all families, and the
// driver raises its own alarms. These warn before it does. Power is reported and not
// judged.
const (
	hot     = 80 // degrees Celsius of a chip
	tooHot  = 95
	crowded = 97 // percent of a chip's memory

	// What a chip's memory has in use while no process runs on it: the driver's and
	// the firmware's share is up to a tenth of an HBM, more of smaller memories.
	idleHBM    = 20 // percent
	idleMemory = 60
	firmware   = 10 // percent of an HBM
	// What AI cores may be busy without a process: a job may have ended just now.
	busyCores = 10
)

// What no sensor of a chip measures, such as the 255 of one that cannot be read: a chip
// switches itself off long before, and does not start in such a cold.
const (
	coldest = -40
	hottest = 150
)

const (
	cool       = "Check fans, air flow and the room's temperature."
	readCommon = "Run npu-smi info -t common by hand; if it prints no figure there either, see whether the card is well and compare npu-smi -v with the installed driver."
)

// temperature compares chips with limits.
type temperature struct{}

func (temperature) run(_ context.Context, p *probe) (string, []Finding) {
	return p.examinedCards(), p.judge(p.commons(), func(_ int, chip ascend.Reading) []Finding {
		celsius, err := chip.Figure("Temperature(C)", "NPU Temperature(C)")
		switch {
		case err != nil:
			return []Finding{{Warn, err.Error(), readCommon}}
		case celsius == nil:
			return []Finding{{Grade: Skip, What: "its temperature is not reported"}}
		case *celsius < coldest || *celsius > hottest:
			return []Finding{{Warn, fmt.Sprintf("its sensor reports %.0f C, which is out of range", *celsius), "Ask again; if it stays so, restart the host when its work allows, and have the card examined."}}
		case *celsius >= tooHot:
			return []Finding{{Fail, fmt.Sprintf("%.0f C, the limit is %d", *celsius, tooHot), cool}}
		case *celsius >= hot:
			return []Finding{{Warn, fmt.Sprintf("%.0f C, the limit is %d", *celsius, hot), cool}}
		}
		return nil
	})
}

// load compares the use of memory and AI cores with limits, and with the processes
// that npu-smi lists: use without a user is what a job left behind, or somebody whom
// npu-smi does not see.
type load struct{}

func (load) run(_ context.Context, p *probe) (string, []Finding) {
	return p.examinedCards(), p.judge(p.commons(), func(card int, chip ascend.Reading) []Finding {
		use, errs := useOf(chip)
		var found []Finding
		for _, err := range errs {
			found = append(found, Finding{Warn, err.Error(), readCommon})
		}
		if words := p.unexplained(use); words != "" && p.nobodyOn(card, chip.Chip) {
			return append(found, p.heldBy(card, chip.Chip, words+" and npu-smi lists no process on it; ", "no process"))
		}
		if words := p.unheld(card, chip.Chip, use); words != "" {
			found = append(found, p.heldBy(card, chip.Chip, words, "no other process"))
		}
		if use.memory >= crowded {
			found = append(found, Finding{Grade: Info, What: fmt.Sprintf("%.0f %% of its memory is in use", use.memory)})
		}
		if use.cores > 0 {
			found = append(found, Finding{Grade: Info, What: fmt.Sprintf("AI cores are %.0f %% busy", use.cores)})
		}
		return found
	})
}

// use is how much of a chip is in use, in percent.
type use struct {
	memory, cores float64
	hbm           bool // the memory is HBM
}

func useOf(chip ascend.Reading) (use, []error) {
	var u use
	var errs []error
	memory, err := chip.Figure("HBM Usage Rate(%)")
	if u.hbm = memory != nil; memory == nil && err == nil {
		memory, err = chip.Figure("Memory Usage Rate(%)", "DDR Usage Rate(%)", "NPU Memory Usage Rate(%)")
	}
	cores, coresErr := chip.Figure("Aicore Usage Rate(%)", "NPU Utilization(%)")
	for _, err := range []error{err, coresErr} {
		if err != nil {
			errs = append(errs, err)
		}
	}
	if memory != nil {
		u.memory = *memory
	}
	if cores != nil {
		u.cores = *cores
	}
	return u, errs
}

// unexplained says what of a chip is in use beyond what an idle one has, "" if nothing
// is. The memory of an SoC is the host's own and is not judged.
func (p *probe) unexplained(u use) string {
	var words []string
	if soc := len(p.inventory.Devices) == 0 && p.inventory.DevicesErr == nil; u.hbm && u.memory >= idleHBM || !u.hbm && !soc && u.memory >= idleMemory {
		words = append(words, fmt.Sprintf("%.0f %% of its memory is in use", u.memory))
	}
	if u.cores >= busyCores {
		words = append(words, fmt.Sprintf("its AI cores are %.0f %% busy", u.cores))
	}
	return strings.Join(words, ", ")
}

// nobodyOn reports whether npu-smi lists the processes of a chip and there is none.
func (p *probe) nobodyOn(card, chip int) bool {
	for _, a := range p.programs() {
		if a.card == card {
			return a.err == nil && a.value.Idle(chip)
		}
	}
	return false
}

// unheld says how little of the memory in use the listed processes of a chip hold, ""
// if that is no trouble or not known: what they do not hold must be more than half of it
// after the firmware's share. The size of the memory is that of npu-smi's table, which
// every report has; the topic with the rates does not give it.
func (p *probe) unheld(card, chip int, u use) string {
	size := p.sizeOfHBM(card, chip)
	if !u.hbm || u.memory < idleHBM || u.memory > 100 || size == 0 {
		return ""
	}
	held, any := 0, false
	for _, a := range p.programs() {
		for _, process := range a.value.Processes {
			if a.card != card || process.Chip != chip {
				continue
			}
			if process.Memory == nil {
				return ""
			}
			held, any = held+*process.Memory, true
		}
	}
	share := float64(held) / float64(size) * 100
	if !any || u.memory-share-firmware <= u.memory/2 {
		return ""
	}
	return fmt.Sprintf("%.0f %% of its memory is in use and the processes that npu-smi lists on it hold %d MB of %d; ", u.memory, held, size)
}

// sizeOfHBM is how many MB of HBM a chip has, 0 if that is not known.
func (p *probe) sizeOfHBM(card, chip int) int {
	table, err := p.summary()
	if err != nil { // the check of the driver reports it
		return 0
	}
	for _, row := range table.Chips {
		if row.Card == card && row.Chip == chip && row.HBM != nil {
			return row.HBM.Total
		}
	}
	return 0
}

// heldBy is the finding of a chip of which more is in use than its listed processes
// explain: who may hold it. Those are the processes with the chip's node open, or with
// nodes open and listed nowhere, and the containers that were given NPUs. Processes that
// are listed on the chip are explained; nobody names those that are left.
func (p *probe) heldBy(card, chip int, words, nobody string) Finding {
	listed, explained := map[int]bool{}, map[int]bool{}
	for _, a := range p.programs() {
		for _, process := range a.value.Processes {
			listed[process.PID] = true
			if a.card == card && process.Chip == chip {
				explained[process.PID] = true
			}
		}
	}
	number, known := p.number(card, chip)
	var holders []string
	for _, h := range p.holders() {
		if h.NPU && !explained[h.PID] && (known && slices.Contains(h.Devices, number) || !listed[h.PID] && (len(h.Devices) == 0 || !known)) {
			holders = append(holders, h.String())
		}
	}
	containers, err := p.given()
	if err != nil {
		holders = append(holders, fmt.Sprintf("a container, perhaps (%v)", err))
	}
	for _, c := range containers {
		holders = append(holders, c.String())
	}
	if len(holders) == 0 {
		return Finding{Warn, words + nobody + " has /dev/davinci* open; an earlier job probably left it allocated",
			"If a virtual machine was given the card, see there. Otherwise reset the chip while it is idle (npu-smi set -t reset) or restart the host."}
	}
	return Finding{Warn, words + "/dev/davinci* is held by " + strings.Join(holders, ", "),
		"See whether that is a job that should run; if it was left behind, end it, then ask again."}
}

// number is the number of a chip's node /dev/davinciN: its physical id, or the logic
// one where the driver gives no other.
func (p *probe) number(card, chip int) (int, bool) {
	mapping, err := p.mapping()
	if err != nil {
		return 0, false
	}
	for _, m := range mapping {
		switch {
		case m.Card != card || m.Chip != chip || m.MCU():
		case m.Physical != nil:
			return *m.Physical, true
		case m.Logic != nil:
			return *m.Logic, true
		}
	}
	return 0, false
}

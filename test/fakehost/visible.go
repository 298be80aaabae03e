package fakehost

import "slices"

// Process is a process that holds an NPU.
type Process struct {
	PID       int
	NPU, Chip int
	Logic     int
	Name      string
	Memory    int    // MB
	Container string // the container's id, "" outside one
}

// Visible lists the chips as the tools see them: without the lost ones, alarms and
// differing versions filled in.
func (s State) Visible() []Chip {
	lost, isLost := s.Fault(CardLost)
	alarm, isAlarm := s.Fault(CardAlarm)
	other, isOther := s.Fault(CardsDisagree)
	last := s.lastNPU()
	var seen []Chip
	for _, c := range s.Chips {
		if s.Place == Container && !slices.Contains(s.mapped(), c.NPU) {
			continue
		}
		if isLost && c.NPU == lost.Int("card", last) {
			continue
		}
		if isAlarm && c.NPU == alarm.Int("card", last) && c.Chip == alarm.Int("chip", c.Chip) {
			c.Health = Health(alarm.String("health", string(Alarm)))
			c.Codes = alarm.String("codes", "80E01801")
		}
		if isOther && c.NPU == other.Int("card", last) {
			c.Running.Driver = other.String("driver", "23.0.3")
			c.Running.Firmware = other.String("firmware", "7.1.0.5.220")
		}
		seen = append(seen, c)
	}
	return seen
}

// mapped are the cards that a container was given: the third and the sixth, or the last.
func (s State) mapped() []int {
	var ids []int
	for _, c := range s.Chips {
		if !slices.Contains(ids, c.NPU) {
			ids = append(ids, c.NPU)
		}
	}
	if len(ids) > 5 {
		return []int{ids[2], ids[5]}
	}
	return ids[len(ids)-1:]
}

// Processes lists what holds the NPUs, in containers and outside.
func (s State) Processes() []Process {
	var all []Process
	for _, f := range []Fault{BusyProcess, BusyContainer} {
		args, on := s.Fault(f)
		if !on {
			continue
		}
		npu := args.Int("card", s.Chips[0].NPU)
		p := Process{PID: args.Int("pid", 40213), NPU: npu, Name: args.String("name", "python3"), Memory: args.Int("memory", 54790)}
		if f == BusyContainer {
			p.PID = args.Int("pid", 40977)
			p.Container = args.String("id", defaultContainer)
		}
		for _, c := range s.Chips {
			if c.NPU == npu && c.Chip == 0 {
				p.Logic = c.Logic
			}
		}
		all = append(all, p)
	}
	return all
}

// Hits reports whether a fault that is about one card is about this one; without
// an argument it is about the last.
func (s State) Hits(f Fault, npu int) (Args, bool) {
	args, on := s.Fault(f)
	return args, on && npu == args.Int("card", s.lastNPU())
}

func (s State) lastNPU() int { return s.Chips[len(s.Chips)-1].NPU }

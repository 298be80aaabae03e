package diagnosis

import (
	"context"
	"fmt"
	"math"
	"math/bits"
	"regexp"
	"strconv"
	"strings"

	"devserver-agent/executors/ascend"
)

// lane is a field with the light of one lane, or of a module's only one.
var lane = regexp.MustCompile(`(?i)^(rx|tx) ?power ?(\d*)$`)

// askLight judges a transceiver by the limits and flags that it has itself. A lane's
// light is compared with a figure of this project where the module tells no limit.
func (p *port) askLight(ctx context.Context, node ascend.Node) error {
	reading, err := node.Port(ctx, ascend.PortOptical, p.link)
	if err != nil || p.down {
		return err
	}
	if present, _ := reading.Get("present"); present != "present" {
		return nil // copper, or built in
	}
	p.judgeLight(reading)
	return p.judgeFlags(ctx, node, reading)
}

// judgeLight compares what a module measures with its limits.
func (p *port) judgeLight(reading ascend.PortReading) {
	for _, f := range reading.Fields {
		if match := lane.FindStringSubmatch(f.Key); match != nil {
			p.judgeLimits(reading, f, match[1]+"Power", "mW", dim)
		}
	}
	for _, item := range []struct{ key, limits, unit string }{{"temperature", "Temp", "C"}, {"Vcc", "Vcc", "mV"}} {
		if value, given := reading.Get(item.key); given {
			p.judgeLimits(reading, ascend.Field{Key: item.key, Value: value}, item.limits, item.unit, 0)
		}
	}
}

// judgeLimits compares a figure with the module's limits, or with low where it has
// none. What is no figure in the unit, such as "not supported", is passed over.
func (p *port) judgeLimits(reading ascend.PortReading, f ascend.Field, limits, unit string, low float64) {
	value, known := measured(f.Value, unit)
	if !known {
		return
	}
	name := func(end string) string { return limits + " " + end + " Thres" }
	limit := func(end string) (float64, bool) {
		text, _ := reading.Get(name(end))
		return measured(text, unit)
	}
	lowest, hasLow := limit("Low")
	highest, hasHigh := limit("High")
	switch {
	case hasLow && hasHigh && lowest >= highest:
		hasLow, hasHigh = false, false // a module that has no limits says 0 and 0
	case hasLow && lowest == 0 && unit == "mW":
		hasLow = false // no light at all would be within it
	}
	switch {
	case hasLow && value < lowest:
		p.say(Warn, recable, "%s is %s, below the module's limit of %g %s", f.Key, f.Value, lowest, unit)
	case hasHigh && value > highest:
		p.say(Warn, recable, "%s is %s, above the module's limit of %g %s", f.Key, f.Value, highest, unit)
	case !hasLow && value < low:
		p.say(Warn, recable, "%s is %s, less than %v %s", f.Key, f.Value, low, unit)
	}
}

// measured is the figure of a value in a unit.
func measured(text, unit string) (float64, bool) {
	number, ok := strings.CutSuffix(strings.TrimSpace(text), unit)
	if !ok && unit == "mW" {
		return fromDBm(text)
	}
	if !ok {
		return 0, false
	}
	value, err := strconv.ParseFloat(strings.TrimSpace(strings.TrimSuffix(number, "deg")), 64)
	return value, err == nil && value > -1e6 && value < 1e6
}

// fromDBm is a power in milliwatts that is given in dBm.
func fromDBm(text string) (float64, bool) {
	number, ok := strings.CutSuffix(strings.TrimSpace(text), "dBm")
	value, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
	if !ok || err != nil || value < -100 || value > 100 {
		return 0, false
	}
	return math.Pow(10, value/10), true
}

// flags are the module's own alarms, a bit for each lane (SFF-8636, CMIS).
var flags = []struct{ key, means string }{
	{"Rx Los Flag", "no light comes in"},
	{"Rx LoL Flag", "what comes in cannot be followed"},
	{"Tx Los Flag", "no signal goes out"},
	{"Tx LoL Flag", "what goes out cannot be followed"},
	{"Tx Fault Flag", "the transmitter is at fault"},
}

// judgeFlags warns of flags that are set. A module keeps one until it is read, so that
// it may be of a time long ago: the module is asked again, and what is gone then is
// only told.
func (p *port) judgeFlags(ctx context.Context, node ascend.Node, first ascend.PortReading) error {
	if !flagged(first) {
		return nil
	}
	second, err := node.Port(ctx, ascend.PortOptical, p.link)
	if err != nil {
		return err
	}
	for _, flag := range flags {
		before, value := flagOf(first, flag.key)
		now, still := flagOf(second, flag.key)
		switch {
		case now != 0:
			p.say(Warn, recable, "%s is %s: %s (%s)", flag.key, still, flag.means, lanesOf(now))
		case before != 0:
			p.say(Info, "", "%s was %s and is no longer set", flag.key, value)
		}
	}
	return nil
}

func flagged(reading ascend.PortReading) bool {
	for _, flag := range flags {
		if set, _ := flagOf(reading, flag.key); set != 0 {
			return true
		}
	}
	return false
}

// flagOf is the value of a flag, 0 where the module has none: a number with a bit for
// each lane, or a list with a number for each.
func flagOf(reading ascend.PortReading, key string) (set uint16, text string) {
	text, _ = reading.Get(key)
	lanes := strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune("[], ", r) })
	for i, lane := range lanes {
		n, err := strconv.ParseUint(lane, 0, 16)
		switch {
		case err != nil || i == 16:
			return 0, text
		case len(lanes) == 1:
			return uint16(n), text
		case n != 0:
			set |= 1 << i
		}
	}
	return set, text
}

func lanesOf(set uint16) string {
	var lanes []string
	for ; set != 0; set &= set - 1 {
		lanes = append(lanes, strconv.Itoa(bits.TrailingZeros16(set)))
	}
	if len(lanes) == 1 {
		return "lane " + lanes[0]
	}
	return fmt.Sprintf("lanes %s", strings.Join(lanes, ", "))
}

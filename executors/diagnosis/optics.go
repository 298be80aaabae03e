package diagnosis

import (
	"context"
	"fmt"
	"strings"

	"devserver-agent/executors/ascend"
	"devserver-agent/executors/lazyregexp"
)

// askLight judges a transceiver by the limits and flags that it has itself. A lane's
// light is compared with a figure of this project where the module has no limit.
func (p *port) askLight(ctx context.Context, node ascend.Node) error {
	reading, err := p.item(ctx, node, ascend.PortOptical)
	if err != nil || p.down {
		return err
	}
	if present, given := reading.Get("present"); given && absent.MatchString(present) {
		return nil // copper, or built in
	}
	read := p.judgeLight(reading)
	known, err := p.judgeFlags(ctx, node, reading)
	if err == nil && !read && !known {
		p.say(Skip, "", "the light of its transceiver could not be read: %s", quoteFields(reading))
	}
	return err
}

// absent matches how hccn_tool says that a port has no module.
var absent = lazyregexp.New(`(?i)^(?:not?\b.*|absent|false|0|0x0+|none|n/?a|empty|unplugged)$`)

// The keys of a module's figures, as ascend.PlainKey writes them without their unit.
var (
	lanePower = lazyregexp.New(`^(rx|tx)(?:lane|channel|ch)?(\d*)(?:optical|input|output|avg|average)?power(?:lane|channel|ch)?(\d*)$`)
	heat      = lazyregexp.New(`^(?:module|mod|case|transceiver)?temp(?:erature)?$`)
	voltage   = lazyregexp.New(`^(?:module|mod|supply)?(?:vcc|voltage|volt)$`)
	// limitKey has what is limited, and which limit it is before or behind the word for one.
	limitKey = lazyregexp.New(`^(.*?)(low|min|lower|high|max|upper)?(power)?(?:alarm)?(?:thres|thresh|threshold|limit)(low|min|lower|high|max|upper)?$`)
)

// measurement is something that a module measures, with its limits.
type measurement struct {
	key, text string
	value     float64
	unit      string
	low, high *float64
}

// judgeLight compares what a module measures with its limits. It reports whether it could
// read the light of any lane.
func (p *port) judgeLight(reading ascend.PortReading) (read bool) {
	for _, f := range reading.Fields {
		key, unit := keyAndUnit(f.Key)
		m := measurement{key: f.Key, text: f.Value}
		var of func(limited string) bool
		light := lanePower.FindStringSubmatch(key)
		switch {
		case light != nil:
			m.unit = "mW"
			of = func(limited string) bool { return limited == light[1]+"power" }
		case heat.MatchString(key):
			m.unit, of = "C", heat.MatchString
		case voltage.MatchString(key):
			m.unit, of = "mV", voltage.MatchString
		default:
			continue
		}
		value, known := measured(f.Value, unit, m.unit)
		if !known {
			continue // such as "not supported"
		}
		m.value = value
		m.findLimits(reading, of)
		p.judgeFigure(m)
		read = read || light != nil
	}
	return read
}

// findLimits finds the limits of a figure among a module's fields.
func (m *measurement) findLimits(reading ascend.PortReading, of func(limited string) bool) {
	for _, field := range reading.Fields {
		key, unit := keyAndUnit(field.Key)
		match := limitKey.FindStringSubmatch(key)
		if match == nil || !of(match[1]+match[3]) {
			continue
		}
		value, known := measured(field.Value, unit, m.unit)
		switch end := match[2] + match[4]; {
		case !known:
		case end == "low" || end == "min" || end == "lower":
			m.low = &value
		case end == "high" || end == "max" || end == "upper":
			m.high = &value
		}
	}
	switch {
	case m.low != nil && m.high != nil && *m.low >= *m.high:
		m.low, m.high = nil, nil // a module that has no limits says 0 and 0
	case m.low != nil && *m.low == 0 && m.unit == "mW":
		m.low = nil // no light at all would be within it
	}
}

func (p *port) judgeFigure(m measurement) {
	switch {
	case m.low != nil && m.value < *m.low:
		p.say(Warn, recable, "%s is %s, below the module's limit of %.5g %s", m.key, m.text, *m.low, m.unit)
	case m.high != nil && m.value > *m.high:
		p.say(Warn, recable, "%s is %s, above the module's limit of %.5g %s", m.key, m.text, *m.high, m.unit)
	case m.low == nil && m.unit == "mW" && m.value < dim:
		p.say(Warn, recable, "%s is %s, less than %v %s", m.key, m.text, dim, m.unit)
	}
}

// quoteFields is the beginning of an answer.
func quoteFields(reading ascend.PortReading) string {
	var said []string
	for _, f := range reading.Fields[:min(len(reading.Fields), 4)] {
		said = append(said, fmt.Sprintf("%s: %s", f.Key, f.Value))
	}
	return fmt.Sprintf("hccn_tool says %q", strings.Join(said, " / "))
}

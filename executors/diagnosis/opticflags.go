package diagnosis

import (
	"context"
	"fmt"
	"math/bits"
	"strconv"
	"strings"

	"devserver-agent/executors/ascend"
	"devserver-agent/executors/lazyregexp"
)

// opticFlags are the module's own alarms, a bit for each lane (SFF-8636, CMIS), and their
// keys as ascend.PlainKey writes them. A release may have a key for each lane.
var opticFlags = []struct {
	name, means string
	key         *lazyregexp.Regexp
}{
	{"Rx Los Flag", "no light comes in", flagKey("rx(?:los|lossofsignal)")},
	{"Rx LoL Flag", "what comes in cannot be followed", flagKey("rx(?:lol|lossoflock|cdrlol)")},
	{"Tx Los Flag", "no signal goes out", flagKey("tx(?:los|lossofsignal)")},
	{"Tx LoL Flag", "what goes out cannot be followed", flagKey("tx(?:lol|lossoflock|cdrlol)")},
	{"Tx Fault Flag", "the transmitter is at fault", flagKey("tx(?:fault|flt)")},
}

func flagKey(name string) *lazyregexp.Regexp {
	return lazyregexp.New(`^` + name + `(?:flag|alarm|status|state)?(?:lane|channel|ch)?(\d*)(?:flag)?$`)
}

// flag is what a module says of one of its alarms.
type flag struct {
	set    bool
	lanes  uint64 // a bit for each that is known
	text   string // the value, the first one if there are several and none is set
	unread string // a value that could not be read
}

// judgeFlags warns of flags that are set, and reports whether it could read any. A module
// keeps one until it is read, so that it may be of a time long ago: the module is asked
// again, and what is gone then is only reported. What was set counts when it cannot be
// asked again, as it may not be set any more when it answers.
func (p *port) judgeFlags(ctx context.Context, node ascend.Node, first ascend.PortReading) (known bool, err error) {
	flagged := false
	for _, kind := range opticFlags {
		before := flagOf(first, kind.key)
		known = known || before.text != "" && before.unread == ""
		flagged = flagged || before.set
		if before.unread != "" {
			p.say(Skip, "", "%s is %q, which is not known", kind.name, before.unread)
		}
	}
	if !flagged {
		return known, nil
	}
	second, err := p.item(ctx, node, ascend.PortOptical)
	if ctx.Err() != nil {
		return known, err
	}
	for _, kind := range opticFlags {
		before, now := flagOf(first, kind.key), flagOf(second, kind.key)
		switch {
		case err != nil && before.set:
			p.say(Warn, recable, "%s is %s: %s; it could not be asked again: %s", kind.name, before.text, kind.means+lanesOf(before.lanes), ascend.Reason(err))
		case now.set:
			p.say(Warn, recable, "%s is %s: %s", kind.name, now.text, kind.means+lanesOf(now.lanes))
		case before.set:
			p.say(Info, "", "%s was %s and is no longer set", kind.name, before.text)
		}
	}
	return known, nil
}

// flagOf is what all fields of a flag say.
func flagOf(reading ascend.PortReading, key *lazyregexp.Regexp) (all flag) {
	for _, f := range reading.Fields {
		match := key.FindStringSubmatch(ascend.PlainKey(f.Key))
		if match == nil {
			continue
		}
		one := parseFlag(f.Value)
		if lane, err := strconv.Atoi(match[1]); err == nil && lane < 64 && one.set {
			one.lanes = 1 << lane
		}
		all.lanes |= one.lanes
		if all.unread == "" {
			all.unread = one.unread
		}
		if all.text == "" || one.set && !all.set {
			all.text = one.text
		}
		all.set = all.set || one.set
	}
	return all
}

var (
	comment = lazyregexp.New(`\([^()]*\)`)
	flagYes = lazyregexp.New(`(?i)^(?:yes|true|on|set|active|alarm|asserted|fault|y)$`)
	flagNo  = lazyregexp.New(`(?i)^(?:no|false|off|clear(?:ed)?|inactive|normal|ok|none|n|-|n/?a|not ?support(?:ed)?|unsupported|deasserted)$`)
	flagSep = lazyregexp.New(`[\[\],;\s]+`)
)

// parseFlag reads a value: a word, a number with a bit for each lane, or a list with
// either for each lane. A comment may follow.
func parseFlag(text string) flag {
	f := flag{text: text}
	bare := strings.TrimSpace(comment.ReplaceAllString(text, ""))
	if bare == "" || flagNo.MatchString(bare) {
		return f
	}
	lanes := strings.Split(strings.Trim(flagSep.ReplaceAllString(bare, " "), " "), " ")
	for i, lane := range lanes {
		n, err := strconv.ParseUint(lane, 0, 64)
		switch {
		case flagYes.MatchString(lane):
			n = 1
			f.set = true
			if len(lanes) == 1 {
				return f // of which lane is not known
			}
		case flagNo.MatchString(lane):
		case err != nil || i == 64:
			return flag{text: text, unread: text}
		case len(lanes) == 1:
			f.set, f.lanes = n != 0, n
			return f
		}
		if n != 0 {
			f.set = true
			f.lanes |= 1 << i
		}
	}
	return f
}

// lanesOf names lanes, "" for none.
func lanesOf(set uint64) string {
	var lanes []string
	for ; set != 0; set &= set - 1 {
		lanes = append(lanes, strconv.Itoa(bits.TrailingZeros64(set)))
	}
	switch len(lanes) {
	case 0:
		return ""
	case 1:
		return " (lane " + lanes[0] + ")"
	}
	return fmt.Sprintf(" (lanes %s)", strings.Join(lanes, ", "))
}

package diagnosis

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"devserver-agent/executors/ascend"
	"devserver-agent/executors/lazyregexp"
)

var tlsSwitch = lazyregexp.New(`tls switch\[(\d)\]`)

func (p *port) askTLS(ctx context.Context, node ascend.Node) error {
	reading, err := p.item(ctx, node, ascend.PortTLS)
	for _, f := range reading.Fields {
		if match := tlsSwitch.FindStringSubmatch(f.Key + ":" + f.Value); match != nil {
			p.tls = match[1]
		}
	}
	return err
}

// oddTLS warns when some ports use TLS and others do not: they do not talk to each
// other.
func oddTLS(ports []*port) []Finding {
	var on, off []int
	for _, p := range ports {
		switch p.tls {
		case "1":
			on = append(on, p.card)
		case "0":
			off = append(off, p.card)
		}
	}
	if len(on) == 0 || len(off) == 0 {
		return nil
	}
	return []Finding{{Warn, fmt.Sprintf("TLS is on for %s and off for %s", ascend.FormatCards(on...), ascend.FormatCards(off...)), "Set the same on all (hccn_tool -tls -s)."}}
}

// perMillion bad packets are worth a warning.
const perMillion = 1

const (
	badPackets = "mac_rx_bad_pkt_num"
	allPackets = "mac_rx_total_pkt_num"
	readAgain  = "Read them again (hccn_tool -stat -g); if they go on, check cable, transceiver and switch port."
)

// askCounters compares the packets that came damaged with all. Counters that cannot be
// compared are quoted as they are.
func (p *port) askCounters(ctx context.Context, node ascend.Node) error {
	reading, err := p.item(ctx, node, ascend.PortCounters)
	if err != nil {
		return err
	}
	badText, badGiven := reading.Get(badPackets)
	allText, allGiven := reading.Get(allPackets)
	bad, badErr := strconv.ParseUint(badText, 10, 64)
	all, allErr := strconv.ParseUint(allText, 10, 64)
	switch {
	case !badGiven:
	case badErr != nil:
		p.say(Skip, "", "%s is %q, which is not a count", badPackets, badText)
	case bad == 0:
	case !allGiven:
		p.say(Warn, readAgain, "%s is %s, of how many is not given", badPackets, badText)
	case allErr != nil || bad > all:
		p.say(Warn, readAgain, "%s is %s and %s is %s, which contradict each other", badPackets, badText, allPackets, allText)
	case float64(bad)*1e6 > float64(all)*perMillion:
		p.say(Warn, recable, "%d of %d packets came damaged", bad, all)
	default:
		p.say(Info, "", "%d of %d packets came damaged", bad, all)
	}
	return nil
}

// Lost links. A restart and a pulled cable lose one or two; the device's records tell
// when, and without them all count, however long ago.
const (
	flapping = 3              // of this project's own, of the recent ones or at an unknown time
	recently = 24 * time.Hour // what was before that is only reported
)

func (p *port) askHistory(ctx context.Context, node ascend.Node) error {
	h, err := patiently(ctx, p.pause, func() (ascend.LinkHistory, error) { return node.LinkHistory(ctx, p.link) })
	if err != nil {
		return err
	}
	if h.Unread > 0 {
		p.say(Skip, "", "%s of its link could not be read, such as %q", count(h.Unread, "record"), h.UnreadRecord)
	}
	hour, last := h.Burst(time.Hour, recently)
	day, lastOfDay := h.Burst(recently, recently)
	at := func(t time.Time) string { return t.Format("15:04:05 on 2006-01-02") }
	switch ever := h.Lost(); {
	case hour >= flapping:
		p.say(Warn, recable, "its link was lost %d times within an hour, until %s by its own clock", hour, at(last))
	case day >= flapping:
		p.say(Warn, recable, "its link was lost %d times within a day, until %s by its own clock", day, at(lastOfDay))
	case ever < flapping:
	case h.Now.IsZero() || h.Undated(recently) >= flapping:
		p.say(Warn, recable, "its link was lost %d times", ever)
	default:
		p.say(Info, "", "its link was lost %d times, %d of them within a day", ever, day)
	}
	return nil
}

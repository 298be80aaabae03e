package diagnosis

import (
	"context"
	"fmt"
	"regexp"
	"strconv"
	"time"

	"devserver-agent/executors/ascend"
)

var tlsSwitch = regexp.MustCompile(`tls switch\[(\d)\]`)

func (p *port) askTLS(ctx context.Context, node ascend.Node) error {
	reading, err := node.Port(ctx, ascend.PortTLS, p.link)
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

func (p *port) askCounters(ctx context.Context, node ascend.Node) error {
	reading, err := node.Port(ctx, ascend.PortCounters, p.link)
	if err != nil {
		return err
	}
	value := func(key string) float64 {
		text, _ := reading.Get(key)
		n, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return 0
		}
		return n
	}
	bad, all := value("mac_rx_bad_pkt_num"), value("mac_rx_total_pkt_num")
	switch {
	case bad > 0 && bad*1e6 > all*perMillion:
		p.say(Warn, recable, "%.0f of %.0f packets came damaged", bad, all)
	case bad > 0:
		p.say(Info, "", "%.0f of %.0f packets came damaged", bad, all)
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
	h, err := node.LinkHistory(ctx, p.link)
	if err != nil {
		return err
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

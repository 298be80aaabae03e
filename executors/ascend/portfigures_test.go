package ascend

import (
	"strings"
	"time"
)

// ofPort reads what hccn_tool prints of a port.
func ofPort(line string, answer []byte) (f figures, err error) {
	item := ""
	for _, word := range strings.Fields(line) {
		if strings.HasPrefix(word, "-") && len(word) > 2 {
			item = word
		}
	}
	switch item {
	case "-link":
		up, err := ParseLink(answer)
		return figures{map[bool]string{true: "link up", false: "link down"}[up]}, err
	case "-net_health":
		health, err := ParseNetHealth(answer)
		return figures{"net health " + string(health)}, err
	case "-ip":
		address, err := ParseAddress(answer)
		return figures{"address " + address.String()}, err
	case "-link_stat":
		return ofHistory(answer)
	}
	r, err := ParsePort(answer)
	for _, key := range map[string][]string{
		"-optical": {"present", "temperature", "Tx Power0", "Rx Power0", "RxPower Low Thres", "Rx Los Flag"},
		"-stat":    {"mac_rx_total_pkt_num", "mac_rx_bad_pkt_num"},
		"-tls":     {"dev_id"}, "-fec": {"fec mode"}, "-speed": {"Speed"},
	}[item] {
		if value, given := r.Get(key); given {
			f.add(key + ": " + value)
		}
	}
	return f, err
}

func ofHistory(answer []byte) (f figures, err error) {
	h, err := ParseLinkHistory(answer)
	if !h.Now.IsZero() {
		f.add("now", h.Now.Format(time.DateTime))
	}
	if h.Up != nil {
		f.add(text("up", h.Up))
	}
	if h.Down != nil {
		f.add(text("down", h.Down))
	}
	for _, c := range h.Changes {
		f.add(c.At.Format(time.DateTime), map[bool]string{true: "up", false: "down"}[c.Up])
	}
	return f, err
}

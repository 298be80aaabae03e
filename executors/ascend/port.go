package ascend

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"devserver-agent/executors/lazyregexp"
)

// Port is a network port of a chip, as hccn_tool names it.
type Port struct {
	Chip int // physical id; on a 950 the logic id
	// A 950 has several ports, on each of its dies; Several says so.
	Several     bool
	Die, Number int
}

// PortItem is something that hccn_tool reports of a port, as its option is called.
type PortItem string

// The items that ParsePort reads.
const (
	PortOptical  PortItem = "optical"
	PortCounters PortItem = "stat"
	PortHistory  PortItem = "link_stat"
	PortTLS      PortItem = "tls"
	PortFEC      PortItem = "fec"
	PortSpeed    PortItem = "speed"
)

func (p Port) argv(item PortItem) []string {
	option := "-" + string(item)
	if p.Several {
		return []string{"hccn_tool", "-g", option, "-i", strconv.Itoa(p.Chip), "-u", strconv.Itoa(p.Die), "-p", strconv.Itoa(p.Number)}
	}
	return []string{"hccn_tool", "-i", strconv.Itoa(p.Chip), option, "-g"}
}

// LinkUp reports whether a port's link is up. Like all that asks hccn_tool it is
// ErrBusy while another process asks the same.
func (n Node) LinkUp(ctx context.Context, p Port) (bool, error) {
	return ask(ctx, n.host, ParseLink, p.argv("link")...)
}

// NetHealth is whether a port reaches the address that it was told to watch.
func (n Node) NetHealth(ctx context.Context, p Port) (NetHealth, error) {
	return ask(ctx, n.host, ParseNetHealth, p.argv("net_health")...)
}

// Address is a port's address, invalid when it has none.
func (n Node) Address(ctx context.Context, p Port) (netip.Prefix, error) {
	return ask(ctx, n.host, ParseAddress, p.argv("ip")...)
}

// Port is what hccn_tool says of a port on an item.
func (n Node) Port(ctx context.Context, item PortItem, p Port) (PortReading, error) {
	return ask(ctx, n.host, ParsePort, p.argv(item)...)
}

// linkWord matches the state of a link; a speed may follow.
var linkWord = lazyregexp.New(`(?i)^(?:LINK[ _-]?)?(UP|DOWN)(?:[ ,;(\[]+[0-9][^A-Z]{0,8}[A-Z/]{0,8}[)\]]?)?\.?$`)

// ParseLink reads what `hccn_tool -i N -link -g` prints.
func ParseLink(out []byte) (up bool, err error) {
	state, err := only(out, "link status")
	switch {
	case err != nil:
		return false, err
	case linkWord.MatchString(state):
		return strings.EqualFold(linkWord.FindStringSubmatch(state)[1], "UP"), nil
	}
	return false, fmt.Errorf("gives %q as link status", clip(state, maxSaid))
}

// NetHealth is hccn_tool's word for whether a port reaches what it watches. There
// may be others than these.
type NetHealth string

// The words that are no fault: all is well, and nothing is watched.
const (
	NetHealthy   NetHealth = "Success"
	NetUnwatched NetHealth = "Init"
)

// ParseNetHealth reads what `hccn_tool -i N -net_health -g` prints.
func ParseNetHealth(out []byte) (NetHealth, error) {
	word, err := only(out, "net health status")
	if err == nil && word == "" {
		err = errors.New("names no health")
	}
	for _, known := range []NetHealth{NetHealthy, NetUnwatched} {
		if strings.EqualFold(word, string(known)) {
			return known, nil
		}
	}
	return NetHealth(word), err
}

// ParseAddress reads what `hccn_tool -i N -ip -g` prints: nothing at all for a
// port without an address.
func ParseAddress(out []byte) (netip.Prefix, error) {
	if strings.TrimSpace(string(out)) == "" {
		return netip.Prefix{}, nil
	}
	r, err := ParsePort(out)
	if err != nil {
		return netip.Prefix{}, err
	}
	text, _ := r.Get("ipaddr")
	address, err := netip.ParseAddr(text)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("gives %q as address", text)
	}
	text, _ = r.Get("netmask")
	mask, err := netip.ParseAddr(text)
	bits, size := net.IPMask(mask.AsSlice()).Size()
	if err != nil || size != address.BitLen() {
		return netip.Prefix{}, fmt.Errorf("gives %q as netmask", text)
	}
	return netip.PrefixFrom(address, bits), nil
}

// PortReading is what hccn_tool says of a port, in its order and with its keys.
type PortReading struct {
	Fields []Field `json:"fields"`
}

// Get is the value of a field, whatever the case and the blanks of its key.
func (r PortReading) Get(key string) (value string, given bool) {
	for _, f := range r.Fields {
		if PlainKey(f.Key) == PlainKey(key) {
			return f.Value, true
		}
	}
	return "", false
}

// whose names the port at the beginning of a line of link_stat.
var whose = lazyregexp.New(`(?i)^\[(?:dev ?id|device|dev|chip|npu|port)[ :=_]*\d{1,6}\] ?`)

// maxPort bounds the fields of a port; its counters are some hundred.
const maxPort = 1024

// ParsePort reads what hccn_tool prints of an item that is a list of fields.
func ParsePort(out []byte) (PortReading, error) {
	var r PortReading
	if err := tooLong(out); err != nil {
		return r, err
	}
	for line := range lines(out) {
		f, ok := cutField(whose.ReplaceAllString(strings.TrimSpace(line), ""), ":")
		if !ok || f.Key == "" || f.Value == "" || !f.sound() {
			continue
		}
		if len(r.Fields) == maxPort {
			return PortReading{}, fmt.Errorf("has more than %d fields", maxPort)
		}
		r.Fields = append(r.Fields, f)
	}
	if len(r.Fields) == 0 {
		return PortReading{}, errors.New("has no field")
	}
	return r, nil
}

// only is the value of the one field that an answer has to have.
func only(out []byte, key string) (string, error) {
	r, err := ParsePort(out)
	if err != nil {
		return "", err
	}
	value, given := r.Get(key)
	if !given {
		return "", fmt.Errorf("names no %s", key)
	}
	return value, nil
}

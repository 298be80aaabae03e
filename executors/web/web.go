// Package web is how web servers are reached that somebody else names: a
// repository, whatever that redirects to, a URL in a job's parameters; and which of them
// may be given a token.
package web

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"syscall"
	"time"
)

const (
	dialTimeout   = 30 * time.Second
	headerTimeout = time.Minute
)

// ErrLinkLocal is returned for an address that only this host's link knows. Clouds
// answer there with a machine's own credentials (169.254.169.254), which are nothing
// that a job may ask for or be sent to.
var ErrLinkLocal = errors.New("link-local addresses are not connected to")

// Transport is Go's usual one, which waits for an answer for a minute and connects
// to no link-local address, whatever name or redirect leads there. Where a proxy is
// configured, it is the proxy that connects.
func Transport() *http.Transport {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.ResponseHeaderTimeout = headerTimeout
	t.DialContext = (&net.Dialer{Timeout: dialTimeout, Control: control}).DialContext
	return t
}

// control sees the address that a name has led to.
func control(_, address string, _ syscall.RawConn) error {
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return err
	}
	if ip := to.Addr().Unmap(); ip.IsLinkLocalUnicast() || ip.IsMulticast() || ip.IsUnspecified() {
		return fmt.Errorf("%s: %w", ip, ErrLinkLocal)
	}
	return nil
}

package web

import (
	"fmt"
	"net"
	"net/url"
)

// CheckTokenURL accepts a control plane's base URL that a token may be sent to: https, or
// http to this host itself. Whoever hears a token can use it.
func CheckTokenURL(address string) error {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return fmt.Errorf("%.80q is no URL of a control plane", address)
	}
	ip := net.ParseIP(u.Hostname())
	if u.Scheme == "https" || u.Scheme == "http" && (u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()) {
		return nil
	}
	return fmt.Errorf("%.80q: a token is sent over https only, because whoever hears it can use it", address)
}

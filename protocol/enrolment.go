package protocol

import (
	"fmt"
	"net"
	"net/url"
)

// EnrolmentsBucket has who enrolled with a one-time token, by the token's id.
const EnrolmentsBucket = "DEVSERVER_ENROLMENTS"

// A token for enrolment is a JWT of NATS's generic kind, signed with the fleet's
// enrolment key: its name is the server's id, it expires, and it carries this claim.
const (
	EnrolmentClaim = "devserver"
	EnrolmentToken = "enrolment.v1"
)

// Enrolment is what a host asks for with a token, and what is kept of it.
type Enrolment struct {
	Token     string `json:"token,omitempty"` // of the request only
	ServerID  string `json:"server_id"`
	PublicKey string `json:"public_key"` // of the host's NATS user (nkeys, U...)
	At        int64  `json:"at,omitempty"`
}

// Enrolled is the answer.
type Enrolled struct {
	ServerID  string `json:"server_id"`
	Statement string `json:"statement"` // the user's JWT
}

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

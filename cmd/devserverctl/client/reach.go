package client

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"strings"
)

// reach is what to do about a connection that did not come about, or was cut.
func reach(cause error) string {
	var (
		unknown  x509.UnknownAuthorityError
		roots    x509.SystemRootsError
		name     x509.HostnameError
		invalid  x509.CertificateInvalidError
		verified *tls.CertificateVerificationError
		record   tls.RecordHeaderError
	)
	switch {
	case errors.As(cause, &unknown), errors.As(cause, &roots):
		return "Name the PEM file of who vouches for its certificate with --ca-file or DEVSERVERCTL_CA_FILE; where one is named, it is another's"
	case errors.As(cause, &name):
		return "Name it in --api as its certificate does, or have its certificate made for this name, too"
	case errors.As(cause, &invalid) && invalid.Reason == x509.Expired:
		return "Check the clock of this machine; if it is right, have the certificate of devserver-controlplane renewed"
	case errors.As(cause, &verified):
		return "Check --ca-file and the certificate of devserver-controlplane"
	case errors.Is(cause, http.ErrSchemeMismatch):
		return "Give --api as http://, or the address where devserver-controlplane speaks https"
	case errors.As(cause, &record):
		return "Check --api: what answers there speaks neither http nor https"
	case asksForCertificate(cause):
		return "Give the address of devserver-controlplane itself as --api: what answers there wants a certificate from its clients, and devserverctl has none"
	}
	return "Check --api and that devserver-controlplane runs there"
}

// asksForCertificate reports whether the other side ended the handshake because it had
// no certificate from us, or none that it knows. crypto/tls gives its alerts as a
// net.OpError with the text of RFC 8446, section 6; their type is not exported.
func asksForCertificate(err error) bool {
	var op *net.OpError
	if !errors.As(err, &op) || op.Op != "remote error" {
		return false
	}
	text := op.Err.Error()
	return strings.Contains(text, "certificate required") || strings.Contains(text, "bad certificate")
}

// wantsTLS reports whether a page is the answer of a server that speaks https to a
// request in http: that of Go's net/http, or nginx'.
func wantsTLS(page []byte) bool {
	return bytes.Contains(page, []byte("Client sent an HTTP request to an HTTPS server")) ||
		bytes.Contains(page, []byte("The plain HTTP request was sent to HTTPS port"))
}

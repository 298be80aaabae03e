package enrol

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"devserver-agent/executors/web"
	"devserver-agent/protocol"
)

const (
	askTimeout = 30 * time.Second
	maxAnswer  = 64 << 10
)

// Desk is the control plane that enrols hosts.
type Desk struct {
	URL    string // https; http for a loopback address only
	CAFile string // who vouches for it; "": the system's authorities
}

// Ask gives a one-time token for the broker's word for the key in keyFile, which is made
// if there is none. Asked again with the same token it answers the same, so whoever got
// no answer asks again.
func (d Desk) Ask(ctx context.Context, token, server, keyFile string) (statement []byte, err error) {
	client, err := d.client()
	if err != nil {
		return nil, err
	}
	public, err := Key(keyFile)
	if err != nil {
		return nil, err
	}
	raw, err := json.Marshal(protocol.Enrolment{Token: strings.TrimSpace(token), ServerID: server, PublicKey: public})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimRight(d.URL, "/")+"/v1/enrolments", bytes.NewReader(raw))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", "application/json")
	reply, err := client.Do(request)
	if err != nil {
		return nil, fmt.Errorf("ask for enrolment: %w; nothing is lost, ask again with the same token", err)
	}
	defer reply.Body.Close()
	raw, err = io.ReadAll(io.LimitReader(reply.Body, maxAnswer))
	if err != nil {
		return nil, fmt.Errorf("ask for enrolment: %w; nothing is lost, ask again with the same token", err)
	}
	var answer struct {
		protocol.Enrolled
		Message string `json:"error_msg"`
	}
	if err := json.Unmarshal(raw, &answer); err != nil {
		return nil, fmt.Errorf("ask for enrolment: %s is no control plane: it answers %s", d.URL, reply.Status)
	}
	if reply.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the control plane does not enrol this host: %s", answer.Message)
	}
	return []byte(answer.Statement), nil
}

// client speaks TLS, except with this host itself.
func (d Desk) client() (*http.Client, error) {
	if err := web.CheckTokenURL(d.URL); err != nil {
		return nil, err
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	if d.CAFile != "" {
		text, err := os.ReadFile(d.CAFile)
		if err != nil {
			return nil, fmt.Errorf("authorities: %w", err)
		}
		transport.TLSClientConfig.RootCAs = x509.NewCertPool()
		if !transport.TLSClientConfig.RootCAs.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("authorities: %s holds no certificate (PEM)", d.CAFile)
		}
	}
	return &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}, nil
}

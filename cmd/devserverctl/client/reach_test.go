package client

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"devserver-agent/test/support/plainwords"
)

// A person who cannot speak TLS with a control plane reads which flag is wrong.
func TestWhatIsWrongWithTheConnectionIsSaidWithWhatToDo(t *testing.T) {
	for name, c := range map[string]struct {
		plain   bool                               // the server speaks http
		server  func(*testing.T, *httptest.Server) // before it starts
		address func(string) string                // of its URL, nil: as it is
		client  func(*tls.Config, *x509.CertPool)  // nil: it does not know the server's CA
		want    string
	}{
		"a CA that is not known":          {want: "--ca-file or DEVSERVERCTL_CA_FILE"},
		"another name":                    {server: elsewhere, client: trust, want: "Name it in --api as its certificate does"},
		"a certificate that has expired":  {client: later, want: "Check the clock of this machine"},
		"https to a server that has http": {plain: true, address: scheme("https"), want: "Give --api as http://"},
		"http to a server that has https": {address: scheme("http"), want: "give it as https://"},
		"a certificate is wanted":         {server: wantCertificate, client: trust, want: "wants a certificate from its clients"},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewUnstartedServer(http.NotFoundHandler())
			server.Config.ErrorLog = zap.NewStdLog(zap.NewNop())
			if c.server != nil {
				c.server(t, server)
			}
			if c.plain {
				server.Start()
			} else {
				server.StartTLS()
			}
			defer server.Close()
			transport := &http.Transport{TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12}}
			defer transport.CloseIdleConnections()
			if c.client != nil {
				pool := x509.NewCertPool()
				pool.AddCert(server.Certificate())
				c.client(transport.TLSClientConfig, pool)
			}
			address := server.URL
			if c.address != nil {
				address = c.address(address)
			}
			_, err := (&Client{Server: address, Project: "default", Transport: transport}).Job(t.Context(), "x")
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "runs there") {
				t.Fatalf("%v, want ...%s...", err, c.want)
			}
			plainwords.Check(t, "", err.Error())
		})
	}
}

func trust(config *tls.Config, pool *x509.CertPool) { config.RootCAs = pool }

func later(config *tls.Config, pool *x509.CertPool) {
	config.RootCAs = pool
	config.Time = func() time.Time { return time.Date(3000, 1, 1, 0, 0, 0, 0, time.UTC) }
}

func wantCertificate(_ *testing.T, server *httptest.Server) {
	server.TLS = &tls.Config{ClientAuth: tls.RequireAnyClientCert, MinVersion: tls.VersionTLS12}
}

// elsewhere is on an address that the certificate of httptest does not name.
func elsewhere(t *testing.T, server *httptest.Server) {
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.2:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Listener.Close(); err != nil {
		t.Fatal(err)
	}
	server.Listener = listener
}

func scheme(name string) func(string) string {
	return func(address string) string {
		_, rest, _ := strings.Cut(address, "://")
		return name + "://" + rest
	}
}

func TestWhatNobodyAnswersIsAboutTheAddress(t *testing.T) {
	for _, cause := range []error{
		errors.New("connection refused"), &net.OpError{Op: "dial", Err: errors.New("no route to host")},
		&net.OpError{Op: "remote error", Err: errors.New("tls: internal error")},
	} {
		if got := reach(cause); got != "Check --api and that devserver-controlplane runs there" {
			t.Errorf("%v: %s", cause, got)
		}
	}
}

func TestWhoIsNotAdmittedReadsWhichFlagIsWrong(t *testing.T) {
	for name, c := range map[string]struct {
		refusal Refusal
		want    string
	}{
		"no token": {
			Refusal{Status: 401, Code: "ModelArts.0205", Message: "the request has neither X-Auth-Token nor a signature", anonymous: true},
			"the control plane asks who you are, and no token was given (ModelArts.0205). Name the file of your token with --token-file or DEVSERVERCTL_TOKEN_FILE (devserver-controlplane user add gives one)",
		},
		"a token that is not known": {
			Refusal{Status: 401, Code: "ModelArts.0203", Message: "the token in X-Auth-Token is not known here"},
			"the token in X-Auth-Token is not known here (ModelArts.0203). Check the file that --token-file or DEVSERVERCTL_TOKEN_FILE names",
		},
		"another project": {
			Refusal{Status: 403, Code: "ModelArts.0210", Message: "ops may not use project p3, only p1, p2", project: "p3"},
			`ops may not use project p3, only p1, p2 (ModelArts.0210). Choose a project of yours with --project or DEVSERVERCTL_PROJECT, it is "p3" now`,
		},
		"a role that is not enough": {
			Refusal{Status: 403, Code: "ModelArts.0108", Message: "ops has the role operator, and this takes the role keeper"},
			"ops has the role operator, and this takes the role keeper (ModelArts.0108). Ask somebody who has that role",
		},
	} {
		if got := c.refusal.Error(); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
		plainwords.Check(t, "", c.refusal.Error())
	}
}

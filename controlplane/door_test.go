package controlplane

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/huaweicloud/huaweicloud-sdk-go-v3/core/auth/basic"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/core/config"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/core/sdkerr"
	modelarts "github.com/huaweicloud/huaweicloud-sdk-go-v3/services/modelarts/v1"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/services/modelarts/v1/model"

	"devserver-agent/controlplane/access"
	"devserver-agent/controlplane/broker"
	"devserver-agent/test/support/wait"
)

// writeCertificate puts a certificate for 127.0.0.1 with a serial number into dir.
func writeCertificate(t *testing.T, dir string, serial int64) (certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(serial), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certFile, keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	err = errors.Join(
		os.WriteFile(certFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600),
		os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), 0o600))
	if err != nil {
		t.Fatal(err)
	}
	return certFile, keyFile
}

// guarded is a control plane that asks who somebody is, over TLS, on every address.
func guarded(t *testing.T) (p *plane, users string) {
	t.Helper()
	opts := testOptions(t)
	users = filepath.Join(t.TempDir(), "users.yaml")
	opts.Users, opts.Listen = users, "0.0.0.0:0"
	opts.CertFile, opts.KeyFile = writeCertificate(t, t.TempDir(), 1)
	addUser(t, users, "viewer", access.Reader, false)
	return startPlane(t, opts), users
}

func addUser(t *testing.T, users, name string, role access.Role, sign bool) access.Credentials {
	t.Helper()
	c, err := access.Add(users, access.User{Name: name, Role: role, Projects: []string{project}}, sign)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (p *plane) port() string { _, port, _ := net.SplitHostPort(p.Addr()); return port }

// ask sends a request with a token, believing any certificate, and tells whose it was.
func (p *plane) ask(method, path, token string, body any) (status int, code string, serial int64) {
	p.t.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		p.t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(p.t.Context(), method, "https://127.0.0.1:"+p.port()+path, bytes.NewReader(text))
	if err != nil {
		p.t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("X-Auth-Token", token)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	resp, err := client.Do(req)
	if err != nil {
		p.t.Fatal(err)
	}
	defer resp.Body.Close()
	var answer struct {
		Code string `json:"error_code"`
	}
	_ = json.NewDecoder(resp.Body).Decode(&answer) // a text has no code
	return resp.StatusCode, answer.Code, resp.TLS.PeerCertificates[0].SerialNumber.Int64()
}

func TestAnAddressForOthersTakesUsersAndTLS(t *testing.T) {
	t.Parallel()
	certFile, keyFile := writeCertificate(t, t.TempDir(), 1)
	users := filepath.Join(t.TempDir(), "users.yaml")
	addUser(t, users, "viewer", access.Reader, false)
	for name, change := range map[string]func(*Options){
		"neither":     func(*Options) {},
		"users alone": func(o *Options) { o.Users = users },
		"TLS alone":   func(o *Options) { o.CertFile, o.KeyFile = certFile, keyFile },
	} {
		opts := testOptions(t)
		opts.Listen = "0.0.0.0:0"
		change(&opts)
		c, err := Start(t.Context(), opts)
		if err == nil {
			c.Close()
		}
		if !errors.Is(err, broker.ErrNotLoopback) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestTheAPIAsksWhoSomebodyIs(t *testing.T) {
	t.Parallel()
	p, users := guarded(t)
	viewer := addUser(t, users, "viewer2", access.Reader, false).Token
	ops := addUser(t, users, "ops", access.Operator, false).Token
	keeper := addUser(t, users, "keeper", access.Keeper, false).Token
	root := "/v1/" + project + "/dev-servers"
	for _, c := range []struct {
		what, method, path, token string
		status                    int
		code                      string
	}{
		{"nobody", "GET", root + "/jobs", "", 401, "ModelArts.0205"},
		{"nobody, of a job's output", "GET", root + "/jobs/j/tasks/t/output", "", 401, "ModelArts.0205"},
		{"nobody, of a job's events", "GET", root + "/jobs/j/events", "", 401, "ModelArts.0205"},
		{"a guess", "GET", root + "/jobs", "guess", 401, "ModelArts.0203"},
		{"a reader who reads", "GET", root + "/jobs", viewer, 200, ""},
		{"a reader of another project", "GET", "/v1/other/dev-servers/jobs", viewer, 403, "ModelArts.0210"},
		{"a reader who creates", "POST", root + "/jobs", viewer, 403, "ModelArts.0108"},
		{"a reader who deletes", "DELETE", root + "/jobs", viewer, 403, "ModelArts.0108"},
		{"an operator who stops the fleet", "POST", root + "/stop", ops, 403, "ModelArts.0108"},
		{"an operator who gives a host up", "POST", root + "/s/lost", ops, 403, "ModelArts.0108"},
		{"an operator who creates something odd", "POST", root + "/jobs", ops, 400, "ModelArts.0104"},
		{"a keeper who gives a host up that is none", "POST", root + "/s/lost", keeper, 404, "ModelArts.5058"},
		{"whoever looks whether it lives", "GET", "/healthz", "", 200, ""},
	} {
		status, code, _ := p.ask(c.method, c.path, c.token, map[string]any{})
		if status != c.status || code != c.code {
			t.Errorf("%s: %d %s, want %d %s", c.what, status, code, c.status, c.code)
		}
	}
}

// TestHuaweisSDKSigns runs the SDK with keys of a file of users, over TLS.
func TestHuaweisSDKSigns(t *testing.T) {
	t.Parallel()
	p, users := guarded(t)
	keys := addUser(t, users, "ci", access.Operator, true)
	p.host("server-a", succeed).facts("lite-a")
	client := func(accessKey, secretKey string) *modelarts.ModelArtsClient {
		credentials, err := basic.NewCredentialsBuilder().WithAk(accessKey).WithSk(secretKey).WithProjectId(project).SafeBuild()
		if err != nil {
			t.Fatal(err)
		}
		built, err := modelarts.ModelArtsClientBuilder().WithEndpoints([]string{"https://127.0.0.1:" + p.port()}).WithCredential(credentials).
			WithHttpConfig(config.DefaultHttpConfig().WithIgnoreSSLVerification(true)).SafeBuild()
		if err != nil {
			t.Fatal(err)
		}
		return modelarts.NewModelArtsClient(built)
	}
	request := &model.CreateDevServerJobRequest{Body: &model.DevServerJobCreateRequest{
		Name: "q", ServerIds: []string{"server-a"}, Type: "HDK_QUERY", Items: []model.DevServerJobItem{{Type: "HDK_QUERY"}},
	}}
	created, err := client(keys.AccessKey, keys.SecretKey).CreateDevServerJob(request)
	if err != nil || *created.UserName != "ci" {
		t.Fatalf("created %+v, %v", created, err)
	}
	var refused *sdkerr.ServiceResponseError
	for _, wrong := range []*modelarts.ModelArtsClient{client(keys.AccessKey, "another secret, as long"), client("NOBODY", keys.SecretKey)} {
		if _, err := wrong.CreateDevServerJob(request); !errors.As(err, &refused) || refused.StatusCode != 403 || refused.ErrorCode != "ModelArts.0206" {
			t.Errorf("with wrong keys: %v", err)
		}
	}
	listed, err := client(keys.AccessKey, keys.SecretKey).ListDevServerJobs(&model.ListDevServerJobsRequest{})
	if err != nil || *listed.Total != 1 {
		t.Errorf("listed %+v, %v", listed, err)
	}
}

// TestACertificateIsReadAgain: the next connection has the new one.
func TestACertificateIsReadAgain(t *testing.T) {
	t.Parallel()
	p, _ := guarded(t)
	serial := func() int64 { _, _, serial := p.ask("GET", "/healthz", "", nil); return serial }
	if got := serial(); got != 1 {
		t.Fatalf("the first certificate is %d", got)
	}
	writeCertificate(t, filepath.Dir(p.opts.CertFile), 2)
	wait.Until(t, "the new certificate is served", func() error {
		if got := serial(); got != 2 {
			return fmt.Errorf("the certificate is %d", got)
		}
		return nil
	})
}

func TestTLSOfTheAPIIsNotOld(t *testing.T) {
	t.Parallel()
	p, _ := guarded(t)
	for what, c := range map[string]struct {
		config *tls.Config
		good   bool
	}{
		"1.3":         {&tls.Config{MinVersion: tls.VersionTLS13}, true},
		"1.2 AES-GCM": {&tls.Config{MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256}}, true},
		"1.2 ChaCha":  {&tls.Config{MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256}}, false},
		"1.2 CBC":     {&tls.Config{MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA}}, false},
		"1.1":         {&tls.Config{MinVersion: tls.VersionTLS11, MaxVersion: tls.VersionTLS11}, false},
	} {
		c.config.InsecureSkipVerify = true
		conn, err := tls.Dial("tcp", "127.0.0.1:"+p.port(), c.config)
		if (err == nil) != c.good {
			t.Errorf("%s: %v", what, err)
		}
		if err == nil {
			conn.Close()
		}
	}
}

package config

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestCredentialsAreSystemds(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config.yaml")
	text := "server_id: a\nnats: {credentials_file: 'credential:agent.creds', ca_file: /etc/ca.pem, cert_file: 'credential:cert', key_file: 'credential:key'}\n"
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	for dir, environ := range map[string][]string{
		"/run/credentials/devserver-agent.service": nil,
		"/run/credentials/other":                   {"CREDENTIALS_DIRECTORY=/run/credentials/other"},
	} {
		c, err := Load(path, environ)
		if err != nil {
			t.Fatal(err)
		}
		if c.NATS.CredentialsFile != dir+"/agent.creds" || c.NATS.CAFile != "/etc/ca.pem" || c.NATS.CertFile != dir+"/cert" || c.NATS.KeyFile != dir+"/key" {
			t.Errorf("%v: %+v", environ, c.NATS)
		}
	}
	for _, name := range []string{"", "../x", "a/b", ".hidden"} {
		_, err := Load("", []string{"DEVSERVER_AGENT_SERVER_ID=a", "DEVSERVER_AGENT_NATS_CREDENTIALS_FILE=credential:" + name})
		var wrong *Error
		if !errors.As(err, &wrong) || !strings.Contains(err.Error(), "is not the name of a credential") {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func TestAPasswordIsForItsOwnerOnly(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config.yaml")
	for text, secret := range map[string]bool{
		"server_id: a\nnats: {servers: ['nats://10.0.0.5:4222']}\n":                         false,
		"server_id: a\nnats: {servers: ['nats://10.0.0.5:4222', 'nats://me:s3cr3t@b:1']}\n": true,
		"server_id: a\nhdk: {repository: 'https://me:s3cr3t@mirror.example.com/hdk'}\n":     true,
	} {
		for _, mode := range []os.FileMode{0o600, 0o640, 0o644} {
			if err := errors.Join(os.WriteFile(path, []byte(text), 0o600), os.Chmod(path, mode)); err != nil {
				t.Fatal(err)
			}
			_, err := Load(path, nil)
			if refused := err != nil; refused != (secret && mode != 0o600) {
				t.Errorf("%q with mode %04o: %v", text, mode, err)
			}
			if err != nil && (!strings.Contains(err.Error(), "chmod 600") || strings.Contains(err.Error(), "s3cr3t")) {
				t.Error(err)
			}
		}
	}
}

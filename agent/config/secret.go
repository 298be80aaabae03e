package config

import (
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// credential begins a value that names a credential of the service: systemd.exec(5),
// LoadCredential=.
const credential = "credential:"

// credentialsDir is where systemd puts those of the agent's unit; inside the service
// CREDENTIALS_DIRECTORY says the same.
const credentialsDir = "/run/credentials/devserver-agent.service"

var credentialPattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,254}$`)

func credentialName(name string) error {
	if !credentialPattern.MatchString(name) {
		return fmt.Errorf("is %s%.80q, which is not the name of a credential", credential, name)
	}
	return nil
}

// resolveCredentials puts the paths of credentials in the place of their names.
func (c *Config) resolveCredentials(environ []string) {
	dir := credentialsDir
	for _, variable := range environ {
		if value, ok := strings.CutPrefix(variable, "CREDENTIALS_DIRECTORY="); ok && value != "" {
			dir = value
		}
	}
	for _, file := range []*string{&c.NATS.CredentialsFile, &c.NATS.CAFile, &c.NATS.CertFile, &c.NATS.KeyFile} {
		if name, ok := strings.CutPrefix(*file, credential); ok {
			*file = filepath.Join(dir, name)
		}
	}
}

// exposed finds a configuration with a password in it that others than its owner can
// read.
func exposed(path string, c Config) []string {
	holds := func(text string) bool {
		u, err := url.Parse(text)
		return err == nil && u.User != nil
	}
	for _, text := range append([]string{c.HDK.Repository}, c.NATS.Servers...) {
		if !holds(text) {
			continue
		}
		if info, err := os.Stat(path); err == nil && info.Mode().Perm()&0o077 != 0 {
			return []string{fmt.Sprintf("it has a password in a URL and can be read by others (mode %04o): run chmod 600 on it, or put the password elsewhere", info.Mode().Perm())}
		}
	}
	return nil
}

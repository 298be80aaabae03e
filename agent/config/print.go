package config

import (
	"bytes"
	"net/url"
	"slices"

	"go.yaml.in/yaml/v3"
)

// Redacted is c without its secrets: passwords and tokens in URLs are replaced.
func (c Config) Redacted() Config {
	c.NATS.Servers = slices.Clone(c.NATS.Servers)
	for i, server := range c.NATS.Servers {
		c.NATS.Servers[i] = redactURL(server)
	}
	if c.HDK.Repository != "" {
		c.HDK.Repository = redactURL(c.HDK.Repository)
	}
	return c
}

// YAML is c, every key and default included and secrets replaced, in the form
// that Load reads.
func (c Config) YAML() ([]byte, error) {
	var out bytes.Buffer
	enc := yaml.NewEncoder(&out)
	enc.SetIndent(2)
	if err := enc.Encode(c.Redacted()); err != nil {
		return nil, err
	}
	return out.Bytes(), enc.Close()
}

// String is the text of YAML, so that printing a Config gives no secret away.
func (c Config) String() string {
	text, err := c.YAML()
	if err != nil {
		return "configuration that cannot be written: " + err.Error()
	}
	return string(text)
}

// GoString is String.
func (c Config) GoString() string { return c.String() }

// redactURL masks the password of a URL. A user without a password is masked
// too: NATS takes it for a token.
func redactURL(text string) string {
	u, err := url.Parse(text)
	if err != nil {
		return "(not a URL)"
	}
	if u.User == nil {
		return text
	}
	if _, has := u.User.Password(); has {
		return u.Redacted()
	}
	u.User = url.User("xxxxx")
	return u.String()
}

package config

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"devserver-agent/protocol"
)

// check looks at every value, as its tag says, and at what values mean together.
func (l *loader) check() {
	for _, k := range Keys() {
		switch v := k.in(&l.config); v.Kind() {
		case reflect.String:
			if v.String() != "" {
				l.checkValue(k, k.Path, v.String())
			}
		case reflect.Uint:
			if k.check != "" {
				l.checkValue(k, k.Path, strconv.FormatUint(v.Uint(), 10))
			}
		case reflect.Slice:
			for i, text := range v.Interface().([]string) {
				l.checkValue(k, fmt.Sprintf("%s[%d]", k.Path, i), text)
			}
		}
	}
	c := l.config
	if c.ServerID == "" {
		l.find("server_id", "is missing: it is the DevServer instance id under which the control plane knows this host")
	}
	if c.StateDir == "" {
		l.find("state_dir", "is empty")
	}
	if (c.NATS.CertFile == "") != (c.NATS.KeyFile == "") {
		l.find("nats.cert_file", "and nats.key_file are given together or not at all")
	}
	if cmd := c.Host.RebootCommand; len(cmd) > 0 && !slices.Equal(cmd, []string{"logind"}) {
		if err := absolutePath(cmd[0]); err != nil {
			l.find("host.reboot_command", "must begin with a program: %v", err)
		}
	}
}

func (l *loader) checkValue(k Key, name, text string) {
	err := checkText(k.check, text)
	if err == nil {
		return
	}
	l.origin[name] = l.origin[k.Path]
	l.find(name, "%v", err)
}

// checkText says what is wrong with a value, never repeating one that may hold
// a secret.
func checkText(rule, text string) error {
	if !utf8.ValidString(text) || strings.ContainsFunc(text, unicode.IsControl) {
		return errors.New("has control characters or is not UTF-8")
	}
	if options, ok := strings.CutPrefix(rule, "oneof="); ok {
		list := strings.Split(options, "|")
		if !slices.Contains(list, text) {
			return fmt.Errorf("is %.80q, must be one of %s", text, strings.Join(list, ", "))
		}
		return nil
	}
	if bounds, ok := strings.CutPrefix(rule, "range="); ok {
		return inRange(text, bounds)
	}
	switch rule {
	case "id":
		if !protocol.ValidID(text) {
			return fmt.Errorf("is %.80q, must be 1 to 64 letters, digits and hyphens", text)
		}
	case "type":
		if !protocol.ValidType(text) {
			return fmt.Errorf("is %.80q, which is not the name of an item type", text)
		}
	case "text":
		if len(text) > 256 {
			return errors.New("is longer than 256 bytes")
		}
	case "path":
		return absolutePath(text)
	case "secret":
		if name, ok := strings.CutPrefix(text, credential); ok {
			return credentialName(name)
		}
		return absolutePath(text)
	case "key":
		if _, err := protocol.ParseTrusted(text); err != nil {
			return fmt.Errorf("is not a public key: %w", err)
		}
	case "publickey":
		if _, err := protocol.ParseKey(text); err != nil {
			return fmt.Errorf("is not a public key: %w", err)
		}
	case "broker":
		return brokerURL(text)
	case "repository":
		return repository(text)
	case "address":
		return address(text)
	}
	return nil
}

// inRange checks a whole number against bounds such as 1-64.
func inRange(text, bounds string) error {
	low, high, _ := strings.Cut(bounds, "-")
	n, err := strconv.Atoi(text)
	least, errLow := strconv.Atoi(low)
	most, errHigh := strconv.Atoi(high)
	if err := errors.Join(err, errLow, errHigh); err != nil {
		return err
	}
	if n < least || n > most {
		return fmt.Errorf("is %d, must be %d to %d", n, least, most)
	}
	return nil
}

func absolutePath(text string) error {
	if !filepath.IsAbs(text) {
		return fmt.Errorf("is %.200q, must be an absolute path", text)
	}
	return nil
}

func brokerURL(text string) error {
	u, err := url.Parse(text)
	if err != nil || u.Hostname() == "" || !slices.Contains([]string{"nats", "tls", "ws", "wss"}, u.Scheme) {
		return errors.New("must be a URL such as nats://10.0.0.5:4222 (nats, tls, ws or wss; one broker each)")
	}
	return nil
}

func repository(text string) error {
	if filepath.IsAbs(text) {
		return absolutePath(text)
	}
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || !slices.Contains([]string{"http", "https", "object"}, u.Scheme) {
		return errors.New("must be an absolute path, an http or https URL, or object://BUCKET")
	}
	if u.RawQuery != "" || u.Fragment != "" {
		return errors.New("must be a base URL, without ? and #")
	}
	return nil
}

func address(text string) error {
	_, port, err := net.SplitHostPort(text)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if err != nil {
		return fmt.Errorf("is %.80q, must be host:port, such as 127.0.0.1:9464", text)
	}
	return nil
}

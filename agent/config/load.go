package config

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// maxFile bounds a configuration file, in bytes.
const maxFile = 1 << 20

// Error is all that is wrong with a configuration.
type Error struct {
	Path     string // of the file; "" when only the environment was read
	Findings []string
}

func (e *Error) Error() string {
	from := e.Path
	if from == "" {
		from = "environment"
	}
	if len(e.Findings) == 1 {
		return fmt.Sprintf("configuration in %s: %s", from, e.Findings[0])
	}
	return fmt.Sprintf("configuration in %s has %d mistakes:\n  %s", from, len(e.Findings), strings.Join(e.Findings, "\n  "))
}

// Load reads the file at path, puts what environ ("NAME=value" as os.Environ
// gives it) says above it, fills in the defaults and checks everything. With
// path "" only the environment is read. What is wrong with the content comes as
// one *Error; a file that cannot be read gives that error, to be matched with
// errors.Is (fs.ErrNotExist).
//
// It does not look at the files and folders that the configuration names, and
// nats.servers and trust.keys may be empty: only a running agent needs them.
func Load(path string, environ []string) (Config, error) {
	var text []byte
	if path != "" {
		var err error
		if text, err = read(path); err != nil {
			return Config{}, fmt.Errorf("read configuration: %w", err)
		}
	}
	c, findings := parse(text, environ)
	if path != "" {
		findings = append(findings, exposed(path, c)...)
	}
	if len(findings) > 0 {
		return Config{}, &Error{Path: path, Findings: findings}
	}
	c.resolveCredentials(environ)
	return c, nil
}

func read(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, err
	}
	if len(text) > maxFile {
		return nil, fmt.Errorf("%s is larger than %d bytes", path, maxFile)
	}
	return text, nil
}

// parse is Load without the file.
func parse(text []byte, environ []string) (Config, []string) {
	l := loader{config: Default(), origin: map[string]string{}}
	l.config.RunDir = ""
	l.file(text)
	l.environment(environ)
	l.check()
	l.config.fillRunDir()
	return l.config, l.findings
}

// loader collects a configuration and what is wrong with it.
type loader struct {
	config   Config
	origin   map[string]string // by path: where its value was given
	findings []string
}

// find notes that the value of path is wrong.
func (l *loader) find(path, format string, args ...any) {
	text := path + " " + fmt.Sprintf(format, args...)
	if from := l.origin[path]; from != "" {
		text = from + ": " + text
	}
	l.findings = append(l.findings, text)
}

// fillRunDir gives RunDir its default, by which a command finds the daemon as well:
// the folder that the service's unit makes, for the state directory of that unit.
func (c *Config) fillRunDir() {
	switch {
	case c.RunDir != "":
	case c.StateDir == defaultStateDir():
		c.RunDir = "/run/devserver-agent"
	default:
		c.RunDir = filepath.Join(c.StateDir, "run")
	}
}

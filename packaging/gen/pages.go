package main

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/cpuguy83/go-md2man/v2/md2man"
	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"

	"devserver-agent/agent/config"
)

// manual writes a page for each command that people use.
func manual(p program, dir, version string, date time.Time) error {
	header := doc.GenManHeader{Section: p.section, Date: &date, Source: p.root.Name() + " " + version, Manual: p.manual}
	var page bytes.Buffer
	if err := doc.GenMan(p.root, &header, &page); err != nil {
		return err
	}
	name := strings.ReplaceAll(p.root.CommandPath(), " ", "-") + "." + p.section
	errs := []error{writePacked(filepath.Join(dir, "man", name), page.Bytes())}
	for _, cmd := range p.root.Commands() {
		if cmd.IsAvailableCommand() {
			errs = append(errs, manual(program{cmd, p.section, p.manual}, dir, version, date))
		}
	}
	return errors.Join(errs...)
}

// sample writes the configuration file that is installed, and its page.
func sample(dir, version string, date time.Time) error {
	return errors.Join(
		write(filepath.Join(dir, "config.yaml"), config.Sample()),
		writePacked(filepath.Join(dir, "man", "devserver-agent.yaml.5"), md2man.Render(configPage(version, date))),
	)
}

func configPage(version string, date time.Time) []byte {
	var page bytes.Buffer
	fmt.Fprintf(&page, "%% %q %q %q %q %q\n", "DEVSERVER-AGENT.YAML", "5", date.Format("Jan 2006"), "devserver-agent "+version, "File formats")
	page.WriteString(`# NAME
devserver-agent.yaml - configuration of devserver-agent(8)

# SYNOPSIS
/etc/devserver-agent/config.yaml

# DESCRIPTION
One YAML file. Every key can be given in the environment as well, which wins;
lists are joined by commas there. An unknown key is an error that names its line,
and everything that is wrong is reported at once. **devserver-agent config** prints
what is in force, **systemctl reload devserver-agent** takes a new file when nothing
runs.

# KEYS
`)
	for _, k := range config.Keys() {
		without := k.Empty
		if k.Default != "" {
			without = k.Default
		}
		fmt.Fprintf(&page, "**%s** (%s)\n: %s\n  Environment: %s. Default: %s.\n\n", k.Path, k.Type, k.Doc, k.Env, without)
	}
	page.WriteString("# SEE ALSO\n**devserver-agent**(8), **devserver-agent-config**(8)\n")
	return page.Bytes()
}

// completions writes the file of each shell under the name it looks for.
func completions(root *cobra.Command, dir string) error {
	var bash, zsh, fish bytes.Buffer
	return errors.Join(
		root.GenBashCompletionV2(&bash, true), root.GenZshCompletion(&zsh), root.GenFishCompletion(&fish, true),
		write(filepath.Join(dir, "bash", root.Name()), bash.Bytes()),
		write(filepath.Join(dir, "zsh", "_"+root.Name()), zsh.Bytes()),
		write(filepath.Join(dir, "fish", root.Name()+".fish"), fish.Bytes()),
	)
}

// changelog writes the entry that Debian wants of every package
// (Debian Policy 4.4); what changed is in the project's own file.
func changelog(name, dir, version string, date time.Time) error {
	return writePacked(filepath.Join(dir, "changelog"), fmt.Appendf(nil,
		"%s (%s) stable; urgency=medium\n\n  * See CHANGELOG.md.\n\n -- %s  %s\n", name, version, maintainer, date.Format(time.RFC1123Z)))
}

// maintainer is as in the nfpm files.
const maintainer = "devserver-agent maintainers <maintainers@devserver-agent.example>"

func write(path string, data []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, data, 0o644)
}

// writePacked writes path.gz, as Debian wants manuals and changelogs.
func writePacked(path string, data []byte) error {
	var packed bytes.Buffer
	w, err := gzip.NewWriterLevel(&packed, gzip.BestCompression)
	if err != nil {
		return err
	}
	_, err = w.Write(data)
	if err := errors.Join(err, w.Close()); err != nil {
		return err
	}
	return write(path+".gz", packed.Bytes())
}

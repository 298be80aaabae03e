package config

import (
	"bytes"
	"fmt"
	"reflect"
	"strings"
)

// Sample is a configuration file that explains every key. All but server_id is
// commented out and shows its default, so uncommenting a line and its section's
// changes nothing.
func Sample() []byte {
	var out bytes.Buffer
	out.WriteString("# Configuration of devserver-agent.\n# A line that begins with # and a key shows the default.\n")
	out.WriteString("# Every key can be given in the environment as well, which wins:\n")
	fmt.Fprintf(&out, "# nats.servers is %s, lists joined by commas.\n", envName("nats.servers"))
	eachField(reflect.TypeFor[Config](), "", nil, func(path string, f reflect.StructField, _ []int) {
		indent := strings.Repeat("  ", strings.Count(path, "."))
		name := f.Tag.Get("yaml")
		out.WriteByte('\n')
		for _, line := range sampleText(f) {
			fmt.Fprintf(&out, "# %s\n", line)
		}
		switch {
		case f.Tag.Get("empty") == "required":
			fmt.Fprintf(&out, "%s: \"\"\n", name)
		case f.Type.Kind() == reflect.Struct:
			fmt.Fprintf(&out, "#%s:\n", name)
		default:
			fmt.Fprintf(&out, "#%s%s: %s\n", indent, name, sampleValue(f))
		}
	})
	return out.Bytes()
}

func sampleText(f reflect.StructField) []string {
	lines := wrap(f.Tag.Get("doc"), 76)
	if empty := f.Tag.Get("empty"); empty != "" && empty != "required" {
		lines = append(lines, "Empty: "+empty+".")
	}
	if example := f.Tag.Get("example"); example != "" {
		lines = append(lines, "Example: "+example)
	}
	return lines
}

func sampleValue(f reflect.StructField) string {
	switch def := f.Tag.Get("default"); {
	case def != "":
		return def
	case f.Type.Kind() == reflect.Slice:
		return "[]"
	}
	return `""`
}

// Reference is the page docs/configuration.md.
func Reference() []byte {
	var out bytes.Buffer
	out.WriteString(`# Configuration of devserver-agent

The agent reads one YAML file, ` + "`/etc/devserver-agent/config.yaml`" + ` unless told of another, and
then the environment, which wins key by key. Lists in the environment are joined
by commas. An unknown key is an error that names its line; everything that is
wrong is reported at once. ` + "`devserver-agent config`" + ` prints what holds, defaults
included, with passwords masked.

This page and the sample file are made from the struct in ` + "`agent/config`" + `.

| Key | Environment | Type | Default | Meaning |
|---|---|---|---|---|
`)
	for _, k := range Keys() {
		fmt.Fprintf(&out, "| `%s` | `%s` | %s | %s | %s |\n", k.Path, k.Env, k.Type, defaultCell(k), k.Doc)
	}
	return out.Bytes()
}

func defaultCell(k Key) string {
	if k.Default != "" {
		return "`" + k.Default + "`"
	}
	return k.Empty
}

// wrap breaks text into lines of at most width bytes where words allow.
func wrap(text string, width int) []string {
	var lines []string
	line := ""
	for _, word := range strings.Fields(text) {
		switch {
		case line == "":
			line = word
		case len(line)+1+len(word) > width:
			lines, line = append(lines, line), word
		default:
			line += " " + word
		}
	}
	return append(lines, line)
}

package config

import (
	"bytes"
	"encoding"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// file puts the YAML text into the configuration. An empty text says nothing.
func (l *loader) file(text []byte) {
	dec := yaml.NewDecoder(bytes.NewReader(text))
	var doc, more yaml.Node
	if err := dec.Decode(&doc); err != nil {
		if !errors.Is(err, io.EOF) {
			l.findings = append(l.findings, "not YAML: "+strings.TrimPrefix(err.Error(), "yaml: "))
		}
		return
	}
	if err := dec.Decode(&more); !errors.Is(err, io.EOF) {
		l.findings = append(l.findings, "has more than one YAML document")
		return
	}
	root := doc.Content[0]
	if isNull(root) {
		return
	}
	l.section(reflect.ValueOf(&l.config).Elem(), "", root)
}

// section puts a mapping into the struct v.
func (l *loader) section(v reflect.Value, path string, n *yaml.Node) {
	n = resolve(n)
	if isNull(n) {
		return
	}
	if n.Kind != yaml.MappingNode {
		l.findAt(n, "%s must be a section of keys", orWhole(path))
		return
	}
	seen := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		name := join(path, key.Value)
		if first := seen[key.Value]; first > 0 {
			l.findAt(key, "%.80s was already given in line %d", name, first)
			continue
		}
		seen[key.Value] = key.Line
		field, ok := fieldNamed(v, key.Value)
		if !ok {
			l.unknown(key, v.Type(), path)
			continue
		}
		if field.Kind() == reflect.Struct {
			l.section(field, name, value)
			continue
		}
		l.origin[name] = fmt.Sprintf("line %d", key.Line)
		l.value(field, name, value)
	}
}

// value puts a scalar or a list of scalars into the field v.
func (l *loader) value(v reflect.Value, path string, n *yaml.Node) {
	n = resolve(n)
	if isNull(n) { // as if the key were not there
		return
	}
	if v.Kind() != reflect.Slice {
		if n.Kind != yaml.ScalarNode {
			l.find(path, "must be one value")
		} else if err := setText(v, n.Value); err != nil {
			l.find(path, "%v", err)
		}
		return
	}
	if n.Kind != yaml.SequenceNode {
		l.find(path, "must be a list: [a, b], or one value a line after a hyphen")
		return
	}
	list := make([]string, 0, len(n.Content))
	for i, item := range n.Content {
		item = resolve(item)
		if item.Kind != yaml.ScalarNode || isNull(item) {
			l.find(path, "has a list or nothing where value %d should be", i+1)
			continue
		}
		list = append(list, item.Value)
	}
	v.Set(reflect.ValueOf(list))
}

func (l *loader) unknown(key *yaml.Node, t reflect.Type, path string) {
	names := make([]string, 0, t.NumField())
	for i := range t.NumField() {
		names = append(names, join(path, t.Field(i).Tag.Get("yaml")))
	}
	name := join(path, key.Value)
	hint := ""
	if near := closest(name, names); near != "" {
		hint = "; did you mean " + near + "?"
	} else if home := homeOf(key.Value); home != "" {
		hint = "; did you mean " + home + "?"
	}
	l.findAt(key, "unknown key %.80q%s", name, hint)
}

func (l *loader) findAt(n *yaml.Node, format string, args ...any) {
	l.findings = append(l.findings, fmt.Sprintf("line %d: ", n.Line)+fmt.Sprintf(format, args...))
}

// setText sets a field that is no list from its text.
func setText(v reflect.Value, text string) error {
	if u, ok := v.Addr().Interface().(encoding.TextUnmarshaler); ok {
		return u.UnmarshalText([]byte(text))
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(text)
	case reflect.Bool:
		if text != "true" && text != "false" {
			return fmt.Errorf("is %.80q, must be true or false", text)
		}
		v.SetBool(text == "true")
	case reflect.Uint:
		n, err := strconv.ParseUint(text, 10, 31)
		if err != nil {
			return fmt.Errorf("is %.80q, must be a whole number", text)
		}
		v.SetUint(n)
	default:
		return fmt.Errorf("cannot hold a %s", v.Type())
	}
	return nil
}

func fieldNamed(v reflect.Value, name string) (reflect.Value, bool) {
	for i := range v.NumField() {
		if v.Type().Field(i).Tag.Get("yaml") == name {
			return v.Field(i), true
		}
	}
	return reflect.Value{}, false
}

func resolve(n *yaml.Node) *yaml.Node {
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	return n
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" }

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

func orWhole(path string) string {
	if path == "" {
		return "the file"
	}
	return path
}

package plugin

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"devserver-agent/executors"
	"devserver-agent/protocol"
)

// description is what "FILE describe" prints.
type description struct {
	Version string            `json:"version"`
	Types   []typeDescription `json:"types"`
}

// typeDescription is one type of work of a plug-in.
type typeDescription struct {
	Type           string  `json:"type"`
	Template       string  `json:"template"` // the job type; "": as Type
	Description    string  `json:"description"`
	Params         *schema `json:"params"`
	Exclusive      bool    `json:"exclusive"`
	Disruptive     bool    `json:"disruptive"`
	TimeoutSeconds int64   `json:"timeout_seconds"`
	Kill           string  `json:"kill"` // tree (default), term-only, never
	GraceSeconds   int64   `json:"grace_seconds"`
	Repeatable     bool    `json:"repeatable"` // a call that was cut may be made again
	Verify         bool    `json:"verify"`
}

// schema is the part of JSON Schema (draft 2020-12) that describes parameters, which
// are texts. Other keywords are refused, not passed over: what a plug-in relies on is
// checked.
type schema struct {
	Type        string              `json:"type"` // object
	Title       string              `json:"title"`
	Description string              `json:"description"`
	Properties  map[string]property `json:"properties"`
	Required    []string            `json:"required"`
	Additional  *bool               `json:"additionalProperties"`
	Schema      string              `json:"$schema"`
}

// property is one parameter.
type property struct {
	Type        string   `json:"type"` // string, integer or boolean
	Title       string   `json:"title"`
	Description string   `json:"description"`
	Pattern     string   `json:"pattern"`
	Enum        []string `json:"enum"`
	Default     any      `json:"default"`
	MaxLength   *int     `json:"maxLength"`
}

// kind is a type as it runs.
type kind struct {
	protocol.ItemType
	kill       executors.Kill
	grace      time.Duration
	repeatable bool
	verify     bool
}

const (
	maxTypes   = 32
	maxParams  = 64
	maxText    = 1024 // bytes of a description
	maxTimeout = 24 * time.Hour
	maxValue   = 4096 // characters of a parameter without a pattern
)

// parse reads what "FILE describe" prints.
func parse(text []byte) ([]kind, error) {
	var d description
	if err := strict(text, &d); err != nil {
		return nil, err
	}
	if len(d.Types) == 0 || len(d.Types) > maxTypes {
		return nil, fmt.Errorf("it describes %d types, not 1 to %d", len(d.Types), maxTypes)
	}
	var kinds []kind
	for _, t := range d.Types {
		k, err := t.kind(d.Version)
		if err != nil {
			return nil, fmt.Errorf("type %.80q: %w", t.Type, err)
		}
		if slices.ContainsFunc(kinds, func(other kind) bool { return other.Type == k.Type }) {
			return nil, fmt.Errorf("type %s is described twice", k.Type)
		}
		kinds = append(kinds, k)
	}
	return kinds, nil
}

// strict decodes one JSON value whose fields are all known.
func strict(text []byte, into any) error {
	in := json.NewDecoder(bytes.NewReader(text))
	in.DisallowUnknownFields()
	if err := in.Decode(into); err != nil {
		return err
	}
	if in.More() {
		return errors.New("there is more than one value")
	}
	return nil
}

func (t typeDescription) kind(version string) (kind, error) {
	k := kind{
		ItemType: protocol.ItemType{
			Type: t.Type, Template: t.Template, Description: t.Description, Exclusive: t.Exclusive, Disruptive: t.Disruptive,
			TimeoutSeconds: t.TimeoutSeconds, Version: version,
		},
		kill: executors.KillTree, grace: time.Duration(t.GraceSeconds) * time.Second, repeatable: t.Repeatable, verify: t.Verify,
	}
	if k.Template == "" {
		k.Template = k.Type
	}
	if t.Kill != "" {
		k.kill = executors.Kill(t.Kill)
	}
	switch {
	case !protocol.ValidType(k.Type) || !protocol.ValidType(k.Template):
		return kind{}, errors.New("a name of a type matches " + protocol.TypePattern)
	case len(t.Description) > maxText || len(version) > maxText:
		return kind{}, fmt.Errorf("its description or version is longer than %d bytes", maxText)
	case t.Disruptive && !t.Exclusive:
		return kind{}, errors.New("disruptive work must be exclusive")
	case t.TimeoutSeconds <= 0 || t.TimeoutSeconds > int64(maxTimeout/time.Second):
		return kind{}, fmt.Errorf("timeout_seconds is %d, not 1 to %d", t.TimeoutSeconds, int64(maxTimeout/time.Second))
	case t.GraceSeconds < 0 || t.GraceSeconds > 3600:
		return kind{}, fmt.Errorf("grace_seconds is %d, not 0 to 3600", t.GraceSeconds)
	case !slices.Contains([]executors.Kill{executors.KillTree, executors.KillTermOnly, executors.KillNever}, k.kill):
		return kind{}, fmt.Errorf("kill is %.40q, not tree, term-only or never", t.Kill)
	}
	var err error
	k.Params, err = t.Params.list()
	return k, err
}

func (s *schema) list() ([]protocol.Param, error) {
	if s == nil {
		return nil, nil
	}
	switch {
	case s.Type != "object":
		return nil, fmt.Errorf("params is of type %.40q, not object", s.Type)
	case len(s.Properties) > maxParams:
		return nil, fmt.Errorf("params has more than %d properties", maxParams)
	case s.Additional != nil && *s.Additional:
		return nil, errors.New("params allows additional properties, which nobody checks")
	}
	for _, name := range s.Required {
		if _, known := s.Properties[name]; !known {
			return nil, fmt.Errorf("params requires %.80q and does not describe it", name)
		}
	}
	var params []protocol.Param
	for _, name := range slices.Sorted(maps.Keys(s.Properties)) {
		param, err := s.Properties[name].param(name)
		if err != nil {
			return nil, fmt.Errorf("parameter %.80q: %w", name, err)
		}
		param.Required = slices.Contains(s.Required, name)
		params = append(params, param)
	}
	return params, nil
}

var paramName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_.-]{0,63}$`)

func (p property) param(name string) (protocol.Param, error) {
	param := protocol.Param{Name: name, Description: p.Description}
	switch {
	case !paramName.MatchString(name):
		return param, errors.New("its name does not match " + paramName.String())
	case len(p.Description) > maxText:
		return param, fmt.Errorf("its description is longer than %d bytes", maxText)
	case p.Pattern != "" && p.Enum != nil:
		return param, errors.New("it has a pattern and an enum")
	}
	switch {
	case p.Enum != nil:
		var words []string
		for _, word := range p.Enum {
			words = append(words, regexp.QuoteMeta(word))
		}
		param.Pattern = strings.Join(words, "|")
	case p.Pattern != "":
		param.Pattern = whole(p.Pattern)
	case p.Type == "integer":
		param.Pattern = `-?[0-9]{1,18}`
	case p.Type == "boolean":
		param.Pattern = `true|false`
	default:
		limit := maxValue
		if p.MaxLength != nil {
			limit = *p.MaxLength
		}
		if limit < 0 || limit > maxValue {
			return param, fmt.Errorf("maxLength is %d, not 0 to %d", limit, maxValue)
		}
		param.Pattern = fmt.Sprintf(`(?s:.){0,%d}`, min(limit, 1000)) // as many as RE2 repeats
	}
	if !slices.Contains([]string{"string", "integer", "boolean"}, p.Type) {
		return param, fmt.Errorf("its type is %.40q, not string, integer or boolean", p.Type)
	}
	if len(param.Pattern) > maxText {
		return param, fmt.Errorf("its pattern is longer than %d bytes", maxText)
	}
	if _, err := regexp.Compile(param.Pattern); err != nil {
		return param, fmt.Errorf("its pattern (RE2): %w", err)
	}
	if p.Default == nil {
		return param, nil
	}
	param.Default = fmt.Sprint(p.Default)
	alone := protocol.ItemType{Params: []protocol.Param{param}}
	if err := alone.CheckSpec(map[string]string{name: param.Default}); err != nil {
		return param, fmt.Errorf("its default: %w", err)
	}
	return param, nil
}

// whole makes a pattern, which JSON Schema looks for anywhere in a value, one of the
// whole value.
func whole(pattern string) string {
	if inner, begins := strings.CutPrefix(pattern, "^"); begins {
		if inner, ends := strings.CutSuffix(inner, "$"); ends && !strings.HasSuffix(inner, `\`) && !strings.Contains(inner, "|") {
			return inner
		}
	}
	return `(?s:.*)(?:` + pattern + `)(?s:.*)`
}

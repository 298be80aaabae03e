package gen

import (
	"fmt"
	"reflect"
	"strings"

	"go.yaml.in/yaml/v3"

	"devserver-agent/protocol"
)

// Schema is the part of JSON Schema (draft 7, which AsyncAPI 3.0 extends) that
// the protocol needs.
type Schema struct {
	Ref                  string         `yaml:"$ref,omitempty"`
	Description          string         `yaml:"description,omitempty"`
	Type                 any            `yaml:"type,omitempty"` // a name, or several
	Format               string         `yaml:"format,omitempty"`
	ContentEncoding      string         `yaml:"contentEncoding,omitempty"`
	Enum                 []string       `yaml:"enum,omitempty,flow"`
	Examples             []string       `yaml:"examples,omitempty"`
	Pattern              string         `yaml:"pattern,omitempty"`
	MaxLength            int            `yaml:"maxLength,omitempty"`
	Minimum              *int           `yaml:"minimum,omitempty"`
	Maximum              *int           `yaml:"maximum,omitempty"`
	MinItems             int            `yaml:"minItems,omitempty"`
	MaxItems             int            `yaml:"maxItems,omitempty"`
	MaxProperties        int            `yaml:"maxProperties,omitempty"`
	Items                *Schema        `yaml:"items,omitempty"`
	AdditionalProperties *Schema        `yaml:"additionalProperties,omitempty"`
	AllOf                []*Schema      `yaml:"allOf,omitempty"`
	Required             []string       `yaml:"required,omitempty"`
	Properties           Named[*Schema] `yaml:"properties,omitempty"`
}

// Named is a YAML mapping that keeps its order.
type Named[T any] []Entry[T]

// Entry is one key of a Named and its value.
type Entry[T any] struct {
	Name  string
	Value T
}

// MarshalYAML writes the mapping.
func (n Named[T]) MarshalYAML() (any, error) {
	node := yaml.Node{Kind: yaml.MappingNode}
	for _, e := range n {
		var key, value yaml.Node
		key.SetString(e.Name)
		if err := value.Encode(e.Value); err != nil {
			return nil, err
		}
		node.Content = append(node.Content, &key, &value)
	}
	return &node, nil
}

// foreign describes what DSSE's own types have no comments for here.
var foreign = map[string]string{
	"Signature":            "A signature of an envelope.",
	"Envelope.payloadType": "One of the statements' content types. It is signed too.",
	"Envelope.payload":     "The statement's bytes in base64.",
	"Envelope.signatures":  "One signature; none, where an agent allows unsigned statements.",
	"Signature.keyid":      "The first 16 hex digits of the SHA-256 of the public key.",
	"Signature.sig":        "Ed25519 over DSSE's pre-authentication encoding of type and payload, in base64.",
}

// bounds are what the protocol's constants add to a field's type.
var bounds = map[string]func(*Schema){
	"Task.items":           func(s *Schema) { s.MinItems, s.MaxItems = 1, protocol.MaxItems },
	"Task.timeout_seconds": func(s *Schema) { s.within(0, int(protocol.MaxTimeout.Seconds())) },
	"Item.type":            func(s *Schema) { s.Pattern = protocol.TypePattern },
	"Item.spec": func(s *Schema) {
		s.MaxProperties, s.AdditionalProperties.MaxLength = protocol.MaxSpecKeys, protocol.MaxSpecValue
	},
	"Job.servers":         func(s *Schema) { s.MaxItems = protocol.MaxListedServers },
	"Status.percent":      func(s *Schema) { s.within(0, 100) },
	"Status.message":      func(s *Schema) { s.MaxLength = protocol.MaxMessage },
	"Notice.message":      func(s *Schema) { s.MaxLength = protocol.MaxMessage },
	"Envelope.signatures": func(s *Schema) { s.Type = []string{"array", "null"} },
}

func (s *Schema) within(lowest, highest int) { s.Minimum, s.Maximum = &lowest, &highest }

// schemas collects the schema of every struct and named string it meets.
type schemas struct {
	source Source
	named  Named[*Schema]
	used   map[string]bool // of bounds and foreign
}

// of is the schema of t; structs and named strings are references.
func (c *schemas) of(t reflect.Type) (*Schema, error) {
	switch t.Kind() {
	case reflect.Pointer:
		return c.of(t.Elem())
	case reflect.String:
		if t.Name() != "string" {
			return c.reference(t, c.word)
		}
		return &Schema{Type: "string"}, nil
	case reflect.Bool:
		return &Schema{Type: "boolean"}, nil
	case reflect.Int:
		return &Schema{Type: "integer"}, nil
	case reflect.Int64, reflect.Uint64:
		return &Schema{Type: "integer", Format: t.Kind().String()}, nil
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Uint8 {
			return &Schema{Type: "string", ContentEncoding: "base64"}, nil
		}
		items, err := c.of(t.Elem())
		return &Schema{Type: "array", Items: items}, err
	case reflect.Map:
		values, err := c.of(t.Elem())
		return &Schema{Type: "object", AdditionalProperties: values}, err
	case reflect.Struct:
		return c.reference(t, c.object)
	}
	return nil, fmt.Errorf("a %s has no place in a message", t)
}

// reference describes t once and refers to that.
func (c *schemas) reference(t reflect.Type, describe func(reflect.Type) (*Schema, error)) (*Schema, error) {
	reference := &Schema{Ref: "#/components/schemas/" + t.Name()}
	for _, known := range c.named {
		if known.Name == t.Name() {
			return reference, nil
		}
	}
	at := len(c.named)
	c.named = append(c.named, Entry[*Schema]{Name: t.Name()})
	described, err := describe(t)
	if err != nil {
		return nil, err
	}
	described.Description = c.comment(c.source.types, t.Name())
	c.named[at].Value = described
	return reference, nil
}

// word is a named string: closed if an agent of another version cannot say
// another, else with examples.
func (c *schemas) word(t reflect.Type) (*Schema, error) {
	var values []string
	for _, constant := range c.source.constants[t.Name()] {
		values = append(values, constant.Value)
	}
	if len(values) == 0 {
		return nil, fmt.Errorf("type %s has no constants", t.Name())
	}
	if t == reflect.TypeFor[protocol.Code]() {
		return &Schema{Type: "string", Examples: values}, nil
	}
	return &Schema{Type: "string", Enum: values}, nil
}

func (c *schemas) object(t reflect.Type) (*Schema, error) {
	s := &Schema{Type: "object"}
	for field := range t.Fields() {
		name, options, _ := strings.Cut(field.Tag.Get("json"), ",")
		if name == "" {
			return nil, fmt.Errorf("%s.%s has no name in JSON", t.Name(), field.Name)
		}
		property, err := c.property(t.Name()+"."+name, name, field.Type)
		if err != nil {
			return nil, err
		}
		s.Properties = append(s.Properties, Entry[*Schema]{name, property})
		if !strings.Contains(options, "omitempty") {
			s.Required = append(s.Required, name)
		}
	}
	return s, nil
}

func (c *schemas) property(path, name string, t reflect.Type) (*Schema, error) {
	property, err := c.of(t)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	comment := c.comment(c.source.fields, path)
	if bound, ok := bounds[path]; ok {
		bound(property)
		c.used[path] = true
	}
	switch {
	case name == "task_id" || name == "server_id":
		property.Pattern = protocol.IDPattern
	case name == "at" || strings.HasSuffix(name, "_at"):
		comment = strings.TrimSpace("Epoch milliseconds. " + comment)
	}
	if comment != "" && property.Ref != "" { // beside a $ref draft 7 reads nothing
		property = &Schema{AllOf: []*Schema{property}}
	}
	property.Description = comment
	return property, nil
}

func (c *schemas) comment(from map[string]string, path string) string {
	if text, ok := foreign[path]; ok {
		c.used[path] = true
		return text
	}
	return from[path]
}

// unused names what bounds and foreign say of fields that no message has.
func (c *schemas) unused() []string {
	var paths []string
	for path := range bounds {
		if !c.used[path] {
			paths = append(paths, path)
		}
	}
	for path := range foreign {
		if !c.used[path] {
			paths = append(paths, path)
		}
	}
	return paths
}

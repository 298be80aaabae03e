package config

import (
	"reflect"
	"strings"
)

// EnvPrefix begins the environment's name of every key.
const EnvPrefix = "DEVSERVER_AGENT_"

// Key describes one setting, from the tags of Config.
type Key struct {
	Path    string // as in the file, sections joined by dots: nats.servers
	Env     string // its name in the environment
	Type    string // text, list, true or false, duration, size, number
	Default string // "" when there is none
	Empty   string // what an empty value stands for
	Example string // "" when Default shows enough
	Doc     string

	check string
	index []int
}

// Keys lists all settings in the order of Config.
func Keys() []Key {
	var keys []Key
	eachField(reflect.TypeFor[Config](), "", nil, func(path string, f reflect.StructField, index []int) {
		if f.Type.Kind() == reflect.Struct {
			return
		}
		keys = append(keys, Key{
			Path: path, Env: envName(path), Type: typeName(f.Type),
			Default: f.Tag.Get("default"), Empty: f.Tag.Get("empty"), Example: f.Tag.Get("example"),
			Doc: f.Tag.Get("doc"), check: f.Tag.Get("check"), index: index,
		})
	})
	return keys
}

// eachField calls fn for every section and every key below t, a section before
// its keys.
func eachField(t reflect.Type, prefix string, index []int, fn func(path string, f reflect.StructField, index []int)) {
	for i := range t.NumField() {
		f := t.Field(i)
		at := append(append([]int(nil), index...), i)
		path := prefix + f.Tag.Get("yaml")
		fn(path, f, at)
		if f.Type.Kind() == reflect.Struct {
			eachField(f.Type, path+".", at, fn)
		}
	}
}

// in is the key's place in c.
func (k Key) in(c *Config) reflect.Value { return reflect.ValueOf(c).Elem().FieldByIndex(k.index) }

func envName(path string) string {
	return EnvPrefix + strings.ToUpper(strings.ReplaceAll(path, ".", "_"))
}

func typeName(t reflect.Type) string {
	switch {
	case t == reflect.TypeFor[Duration]():
		return "duration"
	case t == reflect.TypeFor[Size]():
		return "size"
	case t.Kind() == reflect.Uint:
		return "number"
	case t.Kind() == reflect.Bool:
		return "true or false"
	case t.Kind() == reflect.Slice:
		return "list"
	}
	return "text"
}

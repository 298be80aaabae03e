package templates

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"devserver-agent/protocol"
)

// Set is the templates of a control plane: those that every one has, and those of its
// own, which are container images with a command and parameters. The zero value has
// none of its own. It is read-only once it is made.
type Set struct{ own map[string]own }

// own is a template from a file.
type own struct {
	Template
	resources string
	network   string
	seconds   int64
	params    []param
}

// file is a template as it is written: the fields of the job API's template object,
// which are all texts there, and network.
type file struct {
	Name          string      `yaml:"name"`
	Description   string      `yaml:"description"`
	Type          string      `yaml:"type"`
	FlavorType    string      `yaml:"flavor_type"`
	Cmd           string      `yaml:"cmd"`
	SwrPath       string      `yaml:"swr_path"`
	Resources     string      `yaml:"resources"` // npus: all, none or numbers
	Volumes       string      `yaml:"volumes"`   // HOST:CONTAINER[:ro], parted by commas
	Network       string      `yaml:"network"`
	Timeout       int64       `yaml:"timeout"`
	CheckInterval int64       `yaml:"check_interval"`
	Params        []fileParam `yaml:"params"`
}

type fileParam struct {
	Name        string  `yaml:"name"`
	Description string  `yaml:"description"`
	Value       *string `yaml:"value"` // the default; without it the parameter is required
	Visible     *bool   `yaml:"visible"`
	Regex       string  `yaml:"regex"`
}

type param struct {
	name     string
	preset   *string
	pattern  *regexp.Regexp // of the whole value
	settable bool
}

const (
	maxTemplates = 256
	maxFile      = 64 << 10 // bytes
	anything     = `[^\x00-\x1f]{0,1000}`
)

// Read reads the templates of a folder, a YAML file each. A file that is not as it
// should be is an error that names it: a control plane with half of its templates
// would refuse jobs that it took yesterday.
func Read(files fs.FS) (Set, error) {
	names, err := fs.Glob(files, "*.y*ml")
	if err != nil {
		return Set{}, err
	}
	if len(names) > maxTemplates {
		return Set{}, fmt.Errorf("there are %d templates, more than %d", len(names), maxTemplates)
	}
	s := Set{own: map[string]own{}}
	for _, name := range names {
		t, err := read(files, name)
		if err != nil {
			return Set{}, fmt.Errorf("template %s: %w", name, err)
		}
		if _, twice := s.own[t.Type]; twice {
			return Set{}, fmt.Errorf("template %s: another one is of type %s too", name, t.Type)
		}
		s.own[t.Type] = t
	}
	return s, nil
}

func read(files fs.FS, name string) (own, error) {
	text, err := fs.ReadFile(files, name)
	if err != nil {
		return own{}, err
	}
	if len(text) > maxFile {
		return own{}, fmt.Errorf("it is larger than %d bytes", maxFile)
	}
	var f file
	in := yaml.NewDecoder(strings.NewReader(string(text)))
	in.KnownFields(true)
	if err := in.Decode(&f); err != nil {
		return own{}, err
	}
	f.Name = cmp.Or(f.Name, strings.TrimSuffix(name, path.Ext(name)))
	return f.template()
}

func (f file) template() (own, error) {
	_, known := protocol.LookupType(f.Type)
	switch {
	case !protocol.ValidType(f.Type):
		return own{}, fmt.Errorf("type %.80q does not match %s", f.Type, protocol.TypePattern)
	case known || slices.ContainsFunc(builtIns, func(b builtIn) bool { return b.kind == f.Type }):
		return own{}, fmt.Errorf("type %s is one that every control plane has", f.Type)
	case f.SwrPath == "":
		return own{}, errors.New("swr_path, the container image, is missing")
	case f.Timeout < 0 || f.CheckInterval < 0:
		return own{}, errors.New("timeout or check_interval is less than 0")
	}
	t := own{
		Template: Template{
			ID: ID(f.Type), Name: f.Name, Description: f.Description, Type: f.Type, FlavorType: cmp.Or(f.FlavorType, "ASCEND_GENERIC"),
			Params: []Param{}, Cmd: f.Cmd, SwrPath: f.SwrPath, Resources: f.Resources, Volumes: f.Volumes, VolumesMount: f.Volumes,
			Timeout: strconv.FormatInt(f.Timeout, 10), CheckInterval: strconv.FormatInt(f.CheckInterval, 10), Status: "ACTIVE",
		},
		resources: f.Resources, network: f.Network, seconds: f.Timeout,
	}
	for _, p := range f.Params {
		if err := t.add(p); err != nil {
			return own{}, fmt.Errorf("parameter %.80q: %w", p.Name, err)
		}
	}
	values := map[string]string{}
	for _, p := range t.params {
		values[p.name] = ""
		if p.preset != nil {
			values[p.name] = *p.preset
		}
	}
	item, err := t.item(values)
	if err != nil {
		return own{}, err
	}
	kind, _ := protocol.LookupType(item.Type)
	return t, kind.CheckSpec(item.Spec)
}

var paramName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_]{0,63}$`)

func (t *own) add(p fileParam) error {
	if !paramName.MatchString(p.Name) {
		return errors.New("its name does not match " + paramName.String())
	}
	if slices.ContainsFunc(t.params, func(other param) bool { return other.name == p.Name }) {
		return errors.New("it is there twice")
	}
	expression := "^(?:" + cmp.Or(strings.TrimSuffix(strings.TrimPrefix(p.Regex, "^"), "$"), anything) + ")$"
	pattern, err := regexp.Compile(expression)
	if err != nil {
		return fmt.Errorf("its regex (RE2): %w", err)
	}
	settable := p.Visible == nil || *p.Visible
	switch {
	case p.Value != nil && !pattern.MatchString(*p.Value):
		return fmt.Errorf("its value %.80q does not match its regex", *p.Value)
	case p.Value == nil && !settable:
		return errors.New("it is not visible and has no value")
	}
	t.params = append(t.params, param{p.Name, p.Value, pattern, settable})
	value := ""
	if p.Value != nil {
		value = *p.Value
	}
	t.Params = append(t.Params, Param{Name: p.Name, Description: p.Description, Value: value, Visible: strconv.FormatBool(settable), Regex: expression})
	return nil
}

// Of is the template that a job of the given type belongs to; see the function.
func (s Set) Of(kind string, announced map[string]protocol.ItemType) (template string, ok bool) {
	if _, is := s.own[kind]; is {
		return kind, true
	}
	return Of(kind, announced)
}

// List lists the templates: those that every control plane has, those that agents
// announce, and its own.
func (s Set) List(announced map[string]protocol.ItemType) []Template {
	all := List(announced)
	for _, kind := range slices.Sorted(maps.Keys(s.own)) {
		all = append(all, s.own[kind].Template)
	}
	return all
}

// Has reports whether a type is one of the control plane's own.
func (s Set) Has(kind string) bool {
	_, is := s.own[kind]
	return is
}

// Expand makes of an item of the control plane's own type the one that agents know,
// COMMON, and says how long it may take, in seconds; 0: as long as any. Items of other
// types stay as they are.
func (s Set) Expand(item protocol.Item) (protocol.Item, int64, error) {
	t, is := s.own[item.Type]
	if !is {
		return item, 0, nil
	}
	values := map[string]string{}
	for _, p := range t.params {
		value, given := item.Spec[p.name]
		switch {
		case given && !p.settable:
			return item, 0, fmt.Errorf("spec.%s is fixed by the template", p.name)
		case given && !p.pattern.MatchString(value):
			return item, 0, fmt.Errorf("spec.%s is %.80q, which does not match %s", p.name, value, p.pattern)
		case !given && p.preset == nil:
			return item, 0, fmt.Errorf("spec.%s is missing", p.name)
		case !given:
			value = *p.preset
		}
		values[p.name] = value
	}
	for name := range item.Spec {
		if _, known := values[name]; !known {
			return item, 0, fmt.Errorf("spec.%.64s is not a parameter of %s", name, item.Type)
		}
	}
	expanded, err := t.item(values)
	return expanded, t.seconds, err
}

// placeholder is where a value goes: ${name}, in a word of the command.
var placeholder = regexp.MustCompile(`\$\{([A-Za-z][A-Za-z0-9_]{0,63})\}`)

// item fills the values in. The command is taken apart first, so that a value stays
// what it is whatever is in it.
func (t own) item(values map[string]string) (protocol.Item, error) {
	var unknown error
	var words []string
	for _, word := range strings.Fields(t.Cmd) {
		words = append(words, placeholder.ReplaceAllStringFunc(word, func(at string) string {
			name := placeholder.FindStringSubmatch(at)[1]
			value, known := values[name]
			if !known {
				unknown = fmt.Errorf("cmd has ${%s}, which is no parameter", name)
			}
			return value
		}))
	}
	if unknown != nil {
		return protocol.Item{}, unknown
	}
	spec := map[string]string{"image": t.SwrPath}
	if len(words) > 0 {
		list, err := json.Marshal(words)
		if err != nil {
			return protocol.Item{}, err
		}
		spec["command"] = string(list)
	}
	for name, value := range map[string]string{"volumes": t.Volumes, "npus": t.resources, "network": t.network} {
		if value != "" {
			spec[name] = value
		}
	}
	return protocol.Item{Type: "COMMON", Spec: spec}, nil
}

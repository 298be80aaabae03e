// Package templates lists the kinds of jobs there are, for the API. Each is made
// of the item types that belong to it: those built in, and those that agents
// announce.
package templates

import (
	"cmp"
	"maps"
	"slices"
	"strconv"

	"github.com/google/uuid"

	"devserver-agent/protocol"
)

// Template is a kind of job. All its values are strings, as in Huawei's SDK.
type Template struct {
	ID            string  `json:"id"`
	Name          string  `json:"name"`
	Description   string  `json:"description"`
	Type          string  `json:"type"`
	FlavorType    string  `json:"flavor_type"`
	Params        []Param `json:"params"`
	Cmd           string  `json:"cmd"`
	SwrPath       string  `json:"swr_path"`
	Resources     string  `json:"resources"`
	Volumes       string  `json:"volumes"`
	VolumesMount  string  `json:"volumes_mount"`
	Timeout       string  `json:"timeout"`        // seconds
	CheckInterval string  `json:"check_interval"` // seconds; agents report at once
	Status        string  `json:"status"`         // INACTIVE when nothing can do its items
}

// Param is one parameter of a template's items.
type Param struct {
	Name        string `json:"name"`
	Description string `json:"description"`
	Value       string `json:"value"` // the default
	Visible     string `json:"visible"`
	Regex       string `json:"regex"`
}

type builtIn struct{ id, kind, name, description string }

// The first two ids are those of the API pages' examples.
var builtIns = []builtIn{
	{"6f02d33b-a5d6-485c-8d73-480da5870512", "ASCEND_SOFTWARE_UPGRADE", "ascend-software-upgrade", "Bring the software of Ascend NPUs to a version."},
	{"2b087a09-e90d-414c-9b15-ffec45e400e7", "ASCEND_SOFTWARE_QUERY", "ascend-software-query", "Ask which Ascend software runs and is installed."},
	{"", "ASCEND_DIAGNOSIS", "ascend-diagnosis", "Find faults of Ascend NPUs and their network."},
	{"", "LOG_COLLECT", "log-collect", "Collect logs of a server and its devices."},
	{"", "COMMON", "common", "Any items, one after the other."},
	{"", "SERVICE_DEPLOY", "service-deploy", "Deploy an inference service."},
}

var space = uuid.MustParse("b7c1a3f0-8f0e-5b58-9a44-2f0c1c7d9e11")

// ID is the id of the template for a job type, the same for ever.
func ID(kind string) string {
	for _, b := range builtIns {
		if b.kind == kind && b.id != "" {
			return b.id
		}
	}
	return uuid.NewSHA1(space, []byte(kind)).String()
}

// Of is the template that a job of the given type belongs to: a template's type
// stands for itself, an item's for its template. ok is false when neither is
// known.
func Of(kind string, announced map[string]protocol.ItemType) (template string, ok bool) {
	if t, known := protocol.LookupType(kind); known {
		return t.Template, true
	}
	for _, b := range builtIns {
		if b.kind == kind || protocol.TemplateType(kind) == b.kind {
			return b.kind, true
		}
	}
	if t, known := announced[kind]; known {
		return cmp.Or(t.Template, t.Type), true
	}
	for _, t := range announced {
		if t.Template == kind {
			return kind, true
		}
	}
	return "", false
}

// List lists the templates: those built in, then those that only agents know.
func List(announced map[string]protocol.ItemType) []Template {
	items := map[string][]protocol.ItemType{}
	for _, t := range protocol.Catalogue() {
		items[t.Template] = append(items[t.Template], t)
	}
	for _, name := range slices.Sorted(maps.Keys(announced)) {
		t := announced[name]
		if _, known := protocol.LookupType(name); !known {
			kind := cmp.Or(t.Template, t.Type)
			items[kind] = append(items[kind], t)
		}
	}
	var all []Template
	for _, b := range builtIns {
		all = append(all, template(b, items[b.kind]))
		delete(items, b.kind)
	}
	for _, kind := range slices.Sorted(maps.Keys(items)) {
		all = append(all, template(builtIn{kind: kind, name: kind, description: items[kind][0].Description}, items[kind]))
	}
	return all
}

func template(b builtIn, items []protocol.ItemType) Template {
	t := Template{
		ID: ID(b.kind), Name: b.name, Description: b.description, Type: b.kind,
		FlavorType: "ASCEND_GENERIC", Params: []Param{}, CheckInterval: "0", Status: "ACTIVE",
	}
	if len(items) == 0 && b.kind != "COMMON" {
		t.Status = "INACTIVE"
	}
	var timeout int64
	for _, item := range items {
		timeout = max(timeout, item.TimeoutSeconds)
		for _, p := range item.Params {
			t.Params = append(t.Params, Param{
				Name: p.Name, Description: p.Description, Value: p.Default, Visible: "true", Regex: "^(?:" + p.Pattern + ")$",
			})
		}
	}
	t.Timeout = strconv.FormatInt(timeout, 10)
	return t
}

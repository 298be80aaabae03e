package protocol

import (
	"errors"
	"fmt"
	"regexp"
	"sort"
	"strings"
	"time"
)

// Param is one parameter of an item type.
type Param struct {
	Name        string `json:"name"`
	Description string `json:"description"`
	Required    bool   `json:"required,omitempty"`
	Default     string `json:"default,omitempty"`
	Pattern     string `json:"pattern"` // RE2, matches the whole value
}

// ItemType describes one kind of work: its parameters and how it runs. Agents
// announce theirs in Facts; Catalogue lists those built in.
type ItemType struct {
	Type        string  `json:"type"`
	Template    string  `json:"template"` // the job type it belongs to
	Description string  `json:"description"`
	Params      []Param `json:"params,omitempty"`
	// Exclusive work has the host alone.
	Exclusive bool `json:"exclusive,omitempty"`
	// Disruptive work changes what all other work on the host runs on, such as the
	// driver. It is exclusive, a job runs it on few servers at once unless it says
	// otherwise, and all servers of a super node should get it.
	Disruptive     bool   `json:"disruptive,omitempty"`
	TimeoutSeconds int64  `json:"timeout_seconds"`
	Version        string `json:"version,omitempty"`
	// Cases say how work with some values of a parameter differs.
	Cases []Case `json:"cases,omitempty"`
}

// Case is how work of a type differs when a parameter has a value.
type Case struct {
	Param          string `json:"param"`
	Value          string `json:"value"`
	Exclusive      bool   `json:"exclusive,omitempty"`
	TimeoutSeconds int64  `json:"timeout_seconds,omitempty"` // 0: the type's
}

// For is the type as it is for work with these parameters.
func (t ItemType) For(spec map[string]string) ItemType {
	for _, c := range t.Cases {
		if spec[c.Param] != c.Value {
			continue
		}
		t.Exclusive = t.Exclusive || c.Exclusive
		if c.TimeoutSeconds > 0 {
			t.TimeoutSeconds = c.TimeoutSeconds
		}
	}
	return t
}

// Timeout is the time one item of this type may take.
func (t ItemType) Timeout() time.Duration { return time.Duration(t.TimeoutSeconds) * time.Second }

// TypePattern is what the name of an item type or a job type matches (RE2).
const TypePattern = `^[-_.a-zA-Z0-9]{1,64}$`

var typePattern = regexp.MustCompile(TypePattern)

// ValidType reports whether s may name an item type or a job type.
func ValidType(s string) bool { return typePattern.MatchString(s) }

// Patterns of parameters.
const (
	version = `[0-9A-Za-z][0-9A-Za-z._-]{0,63}`
	boolean = `true|false`

	diagnosisCheck = `(driver|cards|health|versions|installation|dkms|ecc|temperature|load|processes|hccs|pcie|roce|kernel|disk|memory|clock)`
)

// Catalogue lists the item types built into this version. The caller may change
// what it gets.
func Catalogue() []ItemType {
	return []ItemType{
		{
			Type: "HDK_QUERY", Template: "ASCEND_SOFTWARE_QUERY", TimeoutSeconds: 120,
			Description: "Which driver and firmware run and are installed.",
		},
		{
			Type: "HDK_UPGRADE", Template: "ASCEND_SOFTWARE_UPGRADE", TimeoutSeconds: 90 * 60, Exclusive: true, Disruptive: true,
			Description: "Bring driver and firmware of all NPUs to one HDK version.",
			Params: []Param{
				{Name: "version", Required: true, Pattern: version, Description: "HDK (driver) version to reach, such as 24.1.rc3.10."},
				{Name: "firmware_version", Pattern: version, Description: "Firmware version, where the release has more than one."},
				{Name: "mcu_version", Pattern: version, Description: "Version of the cards' management controllers to bring in before; unchanged if not given."},
				{Name: "force", Pattern: boolean, Default: "false", Description: "Go on although cards are unhealthy or in use."},
				{Name: "rollback", Pattern: boolean, Default: "false", Description: "Return to the former versions when the new ones do not come up."},
				{Name: "dry_run", Pattern: boolean, Default: "false", Description: "Plan and check only; change nothing."},
			},
		},
		{
			Type: "DIAGNOSIS", Template: "ASCEND_DIAGNOSIS", TimeoutSeconds: 180,
			Description: "Examine a host's NPUs and what they need, from inside the host. Level health only reads.",
			Params: []Param{
				{Name: "level", Pattern: "health|performance|stress", Default: "health", Description: "How deep: performance and stress also run ascend-dmi, on an idle host, for hours."},
				{Name: "checks", Pattern: diagnosisCheck + `(,` + diagnosisCheck + `)*`, Description: "The light checks to run, parted by commas; all if it is not given."},
			},
			Cases: []Case{
				{Param: "level", Value: "performance", Exclusive: true, TimeoutSeconds: 5 * 3600},
				{Param: "level", Value: "stress", Exclusive: true, TimeoutSeconds: 13 * 3600},
			},
		},
		{
			Type: "DEVICE_LOG_COLLECT", Template: "LOG_COLLECT", TimeoutSeconds: 3600,
			Description: "Collect logs of driver, NPUs, kernel and agent, and send them to an object store or a URL.",
			Params: []Param{
				{Name: "url", Pattern: `https?://[!-~]{1,1000}[!-~]{0,1000}`, Description: "A presigned URL to put the bundle to; the agent's object store if it is not given."},
				{Name: "hours", Pattern: `[1-9][0-9]{0,2}`, Default: "24", Description: "How far back the journal is read."},
				{Name: "max_mb", Pattern: `[1-9][0-9]{0,3}`, Default: "512", Description: "The most to collect, in MB before it is packed."},
			},
		},
		{
			Type: "COMMON", Template: "COMMON", TimeoutSeconds: 24 * 3600,
			Description: "Run a container image to its end through the host's Docker or Podman.",
			Params:      containerParams(),
		},
		{
			Type: "SERVICE_DEPLOY", Template: "SERVICE_DEPLOY", TimeoutSeconds: 3600,
			Description: "Have a container image run as a service through the host's Docker or Podman.",
			Params: append([]Param{
				{Name: "name", Required: true, Pattern: `[a-z0-9][a-z0-9-]{0,40}`, Description: "The service; one of this name is replaced."},
				{Name: "ready_seconds", Pattern: `[0-9]{1,3}`, Default: "10", Description: "How long it has to stay up before it counts as deployed."},
			}, containerParams()...),
		},
	}
}

// containerParams are what work that comes as a container image has in common.
func containerParams() []Param {
	return []Param{
		{Name: "image", Required: true, Pattern: `[A-Za-z0-9][A-Za-z0-9._/:@-]{0,511}`, Description: "The image; with @sha256:... that one and no other."},
		{Name: "command", Pattern: `(?s:.){0,1000}`, Description: "Words parted by blanks, or a JSON list; the image's own if it is not given. There is no shell."},
		{Name: "env", Pattern: `(?s:.){0,1000}`, Description: "NAME=value, parted by commas."},
		{Name: "volumes", Pattern: `[!-~]{0,1000}`, Description: "HOST:CONTAINER or HOST:CONTAINER:ro, parted by commas. Folders that would open the host are refused."},
		{Name: "npus", Pattern: `all|none|[0-9]{1,4}(,[0-9]{1,4})*`, Default: "none", Description: "The NPUs it gets, by the numbers of /dev/davinciN."},
		{Name: "network", Pattern: `bridge|host|none`, Default: "bridge", Description: "Its network."},
	}
}

// LookupType finds a built-in item type.
func LookupType(name string) (ItemType, bool) {
	for _, t := range Catalogue() {
		if t.Type == name {
			return t, true
		}
	}
	return ItemType{}, false
}

// CheckSpec says what is wrong with an item's parameters, all of it in one
// sentence, or returns nil.
func (t ItemType) CheckSpec(spec map[string]string) error {
	var wrong []string
	known := map[string]bool{}
	for _, p := range t.Params {
		known[p.Name] = true
		value, given := spec[p.Name]
		if !given {
			if p.Required {
				wrong = append(wrong, "spec."+p.Name+" is missing")
			}
			continue
		}
		matches, err := p.matches(value)
		if err != nil {
			return fmt.Errorf("pattern of %s.%s: %w", t.Type, p.Name, err)
		}
		if !matches {
			wrong = append(wrong, fmt.Sprintf("spec.%s is %.80q, which does not match %s", p.Name, value, p.Pattern))
		}
	}
	for name := range spec {
		if !known[name] {
			wrong = append(wrong, fmt.Sprintf("spec.%.64s is not a parameter of %s", name, t.Type))
		}
	}
	if len(wrong) == 0 {
		return nil
	}
	sort.Strings(wrong)
	return errors.New(strings.Join(wrong, "; "))
}

// matches reports whether the pattern matches the whole of value: its longest
// match does, whatever alternatives the pattern has.
func (p Param) matches(value string) (bool, error) {
	re, err := regexp.Compile(p.Pattern)
	if err != nil {
		return false, err
	}
	re.Longest()
	at := re.FindStringIndex(value)
	return at != nil && at[0] == 0 && at[1] == len(value), nil
}

// templates maps an item type that was given as a job type to its template
// type, as the job API's own example does.
var templates = map[string]string{
	"HDK_UPGRADE":        "ASCEND_SOFTWARE_UPGRADE",
	"HDK_QUERY":          "ASCEND_SOFTWARE_QUERY",
	"DIAGNOSIS":          "ASCEND_DIAGNOSIS",
	"DEVICE_LOG_COLLECT": "LOG_COLLECT",
	"COMMON":             "COMMON",
	"SERVICE_DEPLOY":     "SERVICE_DEPLOY",
}

// TemplateType is the template type that a job of type name is answered with.
func TemplateType(name string) string {
	if t, ok := templates[name]; ok {
		return t
	}
	return name
}

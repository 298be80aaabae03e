package protocol

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestTypeNames(t *testing.T) {
	for name, valid := range map[string]bool{
		"HDK_QUERY": true, "site.probe-2": true, strings.Repeat("A", 64): true,
		"": false, strings.Repeat("A", 65): false, "a b": false, "a/b": false, "a\n": false, "a*": false, "ä": false,
	} {
		if got := ValidType(name); got != valid {
			t.Errorf("ValidType(%q) = %t", name, got)
		}
	}
}

func TestCatalogueIsComplete(t *testing.T) {
	seen := map[string]bool{}
	for _, item := range Catalogue() {
		t.Run(item.Type, func(t *testing.T) {
			if seen[item.Type] {
				t.Error("is listed twice")
			}
			seen[item.Type] = true
			if !ValidType(item.Type) || !ValidType(item.Template) || item.Description == "" || item.Timeout() <= 0 {
				t.Errorf("name, template, description or timeout is missing: %+v", item)
			}
			if got := TemplateType(item.Type); got != item.Template {
				t.Errorf("belongs to %s, a job of that type is answered with %s", item.Template, got)
			}
			if found, ok := LookupType(item.Type); !ok || !cmp.Equal(found, item) {
				t.Errorf("found as %+v", found)
			}
			for _, p := range item.Params {
				checkParam(t, p)
			}
		})
	}
	if len(seen) == 0 {
		t.Error("it is empty")
	}
}

func checkParam(t *testing.T, p Param) {
	if p.Name == "" || len(p.Name) > 64 || p.Description == "" {
		t.Errorf("name or description is missing: %+v", p)
	}
	if p.Required && p.Default != "" {
		t.Errorf("%s is required and has a default", p.Name)
	}
	if matches, err := p.matches(p.Default); err != nil || p.Default != "" && !matches {
		t.Errorf("%s: the default %q does not match %s (%v)", p.Name, p.Default, p.Pattern, err)
	}
}

func TestATypeSaysThatItIsDisruptive(t *testing.T) {
	var disruptive []string
	for _, kind := range Catalogue() {
		if !kind.Disruptive {
			continue
		}
		disruptive = append(disruptive, kind.Type)
		if !kind.Exclusive {
			t.Errorf("%s changes what other work runs on, and runs beside it", kind.Type)
		}
	}
	if diff := cmp.Diff([]string{"HDK_UPGRADE"}, disruptive); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestCatalogueIsTheCallersOwn(t *testing.T) {
	Catalogue()[1].Params[0].Pattern = ".*"
	found, _ := LookupType("HDK_UPGRADE")
	found.Params[0].Required = false
	if p := Catalogue()[1].Params[0]; p.Pattern == ".*" || !p.Required {
		t.Errorf("a caller changed it: %+v", p)
	}
}

func TestLookupOfAnUnknownType(t *testing.T) {
	if found, ok := LookupType("hdk_query"); ok {
		t.Errorf("found %+v", found)
	}
}

func TestCheckSpec(t *testing.T) {
	upgrade, _ := LookupType("HDK_UPGRADE")
	query, _ := LookupType("HDK_QUERY")
	for _, c := range []struct {
		name string
		item ItemType
		spec map[string]string
		says string
	}{
		{"what is required is enough", upgrade, map[string]string{"version": "24.1.rc3.10"}, ""},
		{"all may be given", upgrade, map[string]string{"version": "24.1.0.3", "firmware_version": "7.5.0.5.220", "force": "true", "rollback": "false", "dry_run": "true"}, ""},
		{"a type without parameters needs none", query, nil, ""},
		{"what is missing is named", upgrade, nil, "spec.version is missing"},
		{"an empty value is not missing but does not match", upgrade, map[string]string{"version": ""}, `spec.version is "", which does not match`},
		{"a pattern matches the whole value", upgrade, map[string]string{"version": "1", "force": "true false"}, `spec.force is "true false", which does not match true|false`},
		{"an alternative is no prefix", upgrade, map[string]string{"version": "1", "force": "trueish"}, "spec.force"},
		{"a path is no version", upgrade, map[string]string{"version": "../24.1"}, `spec.version is "../24.1"`},
		{"a line end is seen", upgrade, map[string]string{"version": "24.1\n"}, `spec.version is "24.1\n"`},
		{"a space is seen", upgrade, map[string]string{"version": "24.1 "}, `spec.version is "24.1 "`},
		{"an option is no version", upgrade, map[string]string{"version": "--force"}, `spec.version is "--force"`},
		{"what is unknown is named", query, map[string]string{"version": "1"}, "spec.version is not a parameter of HDK_QUERY"},
		{"everything is said at once", upgrade, map[string]string{"force": "1", "speed": "9"}, `spec.force is "1", which does not match true|false; spec.speed is not a parameter of HDK_UPGRADE; spec.version is missing`},
		{"a long value is cut in the message", upgrade, map[string]string{"version": strings.Repeat("9", 1<<20)}, "does not match"},
		{"a pattern that is none is named", ItemType{Type: "X", Params: []Param{{Name: "p", Pattern: "("}}}, map[string]string{"p": "1"}, "pattern of X.p: error parsing regexp"},
		{"a pattern cannot leave its group", ItemType{Type: "X", Params: []Param{{Name: "p", Pattern: "a)|(?:.*"}}}, map[string]string{"p": "b"}, "pattern of X.p: error parsing regexp"},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := c.item.CheckSpec(c.spec)
			if c.says == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.says) || len(err.Error()) > 500 {
				t.Errorf("error is %.600v, should say %q", err, c.says)
			}
		})
	}
}

func TestTemplateTypes(t *testing.T) {
	for name, want := range map[string]string{
		"HDK_UPGRADE": "ASCEND_SOFTWARE_UPGRADE", "HDK_QUERY": "ASCEND_SOFTWARE_QUERY", "DIAGNOSIS": "ASCEND_DIAGNOSIS",
		"DEVICE_LOG_COLLECT": "LOG_COLLECT", "COMMON": "COMMON", "SERVICE_DEPLOY": "SERVICE_DEPLOY",
		"ASCEND_SOFTWARE_UPGRADE": "ASCEND_SOFTWARE_UPGRADE", "site.probe": "site.probe",
	} {
		if got := TemplateType(name); got != want {
			t.Errorf("a job of type %s is answered with %s, want %s", name, got, want)
		}
	}
}

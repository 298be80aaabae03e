package templates

import (
	"os"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"devserver-agent/protocol"
)

// documented is the example of docs/templates.md.
func documented(t *testing.T) Set {
	t.Helper()
	page, err := os.ReadFile("../../docs/templates.md")
	if err != nil {
		t.Fatal(err)
	}
	example := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindSubmatch(page)
	s, err := Read(fstest.MapFS{"hccl.yaml": {Data: example[1]}, "README": {Data: []byte("no template")}})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestTheDocumentedTemplate(t *testing.T) {
	s := documented(t)
	if kind, ok := s.Of("SITE_HCCL_TEST", nil); !ok || kind != "SITE_HCCL_TEST" {
		t.Errorf("it is of kind %q, %v", kind, ok)
	}
	if kind, ok := s.Of("HDK_QUERY", nil); !ok || kind != "ASCEND_SOFTWARE_QUERY" {
		t.Errorf("a query is of kind %q, %v", kind, ok)
	}
	all := s.List(nil)
	if last := all[len(all)-1]; len(all) != len(List(nil))+1 || last.Name != "hccl-test" || last.Timeout != "1800" || last.Params[0].Value != "64M" {
		t.Errorf("listed is %+v", last)
	}
	got, seconds, err := s.Expand(protocol.Item{Type: "SITE_HCCL_TEST", Spec: map[string]string{"rounds": "10"}})
	if err != nil || seconds != 1800 {
		t.Fatalf("%d s, %v", seconds, err)
	}
	want := protocol.Item{Type: "COMMON", Spec: map[string]string{
		"image":   "swr.example.com/site/hccl-test@sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
		"command": `["/opt/run.sh","--size","64M","--rounds","10"]`, "npus": "all", "volumes": "/data/hccl:/data:ro", "network": "host",
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("expanded (-want +got):\n%s", diff)
	}
	if kind, _ := protocol.LookupType("COMMON"); kind.CheckSpec(got.Spec) != nil {
		t.Errorf("agents refuse it: %v", kind.CheckSpec(got.Spec))
	}
	query := protocol.Item{Type: "HDK_QUERY"}
	if same, seconds, err := s.Expand(query); err != nil || seconds != 0 || same.Type != "HDK_QUERY" {
		t.Errorf("a query becomes %+v, %v", same, err)
	}
}

func TestParametersThatDoNotFit(t *testing.T) {
	s := documented(t)
	for says, spec := range map[string]map[string]string{
		"spec.rounds is missing":                   {},
		`spec.rounds is "0", which does not match`: {"rounds": "0"},
		`spec.size is "64M; rm -rf /"`:             {"rounds": "1", "size": "64M; rm -rf /"},
		"spec.image is not a parameter":            {"rounds": "1", "image": "evil"},
	} {
		if _, _, err := s.Expand(protocol.Item{Type: "SITE_HCCL_TEST", Spec: spec}); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%v: %v, want ...%s...", spec, err, says)
		}
	}
}

// A value stays one word of the command, whatever is in it.
func TestAValueIsOneWord(t *testing.T) {
	s, err := Read(fstest.MapFS{"a.yml": {Data: []byte("type: SITE_A\nswr_path: i\ncmd: say ${what} loud\nparams: [{name: what, value: x}]\n")}})
	if err != nil {
		t.Fatal(err)
	}
	got, _, err := s.Expand(protocol.Item{Type: "SITE_A", Spec: map[string]string{"what": `a "b" ${what} --root`}})
	if err != nil || got.Spec["command"] != `["say","a \"b\" ${what} --root","loud"]` {
		t.Errorf("expanded is %+v, %v", got, err)
	}
}

func TestTemplatesThatAreRefused(t *testing.T) {
	for says, text := range map[string]string{
		"swr_path, the container image, is missing":    "type: SITE_A\n",
		`type "" does not match`:                       "swr_path: i\n",
		"one that every control plane has":             "type: HDK_QUERY\nswr_path: i\n",
		"field image not found":                        "type: SITE_A\nimage: i\n",
		"cmd has ${x}, which is no parameter":          "type: SITE_A\nswr_path: i\ncmd: run ${x}\n",
		"its regex (RE2)":                              "type: SITE_A\nswr_path: i\nparams: [{name: a, regex: '('}]\n",
		`its value "b" does not match its regex`:       "type: SITE_A\nswr_path: i\nparams: [{name: a, regex: a, value: b}]\n",
		"it is there twice":                            "type: SITE_A\nswr_path: i\nparams: [{name: a}, {name: a}]\n",
		"it is not visible and has no value":           "type: SITE_A\nswr_path: i\nparams: [{name: a, visible: false}]\n",
		`spec.npus is "some", which does not match`:    "type: SITE_A\nswr_path: i\nresources: some\n",
		`spec.network is "wide", which does not match`: "type: SITE_A\nswr_path: i\nnetwork: wide\n",
		`spec.image is "; rm", which does not match`:   "type: SITE_A\nswr_path: '; rm'\n",
		"timeout or check_interval is less than 0":     "type: SITE_A\nswr_path: i\ntimeout: -1\n",
		"ASCEND_DIAGNOSIS is one that every":           "type: ASCEND_DIAGNOSIS\nswr_path: i\n",
	} {
		if _, err := Read(fstest.MapFS{"bad.yaml": {Data: []byte(text)}}); err == nil || !strings.Contains(err.Error(), says) || !strings.Contains(err.Error(), "bad.yaml") {
			t.Errorf("%q: %v, want ...%s...", text, err, says)
		}
	}
	two := fstest.MapFS{"a.yaml": {Data: []byte("type: A\nswr_path: i\n")}, "b.yaml": {Data: []byte("type: A\nswr_path: i\n")}}
	if _, err := Read(two); err == nil || !strings.Contains(err.Error(), "another one is of type A too") {
		t.Errorf("twice: %v", err)
	}
}

func FuzzTemplate(f *testing.F) {
	f.Add([]byte("type: SITE_A\nswr_path: i\ncmd: run ${a}\nparams: [{name: a, regex: a, value: a}]\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		s, err := Read(fstest.MapFS{"a.yaml": {Data: text}})
		if err != nil {
			return
		}
		for kind, own := range s.own {
			if !protocol.ValidType(kind) || own.SwrPath == "" {
				t.Errorf("%+v", own)
			}
		}
	})
}

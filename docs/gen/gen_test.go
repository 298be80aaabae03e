package gen

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"

	"devserver-agent/test/support/golden"
)

const protocolDir = "../../protocol"

func read(t *testing.T) Source {
	t.Helper()
	source, err := Read(protocolDir)
	if err != nil {
		t.Fatal(err)
	}
	return source
}

func TestPagesAreTrue(t *testing.T) {
	asyncAPI, err := AsyncAPI(read(t))
	if err != nil {
		t.Fatal(err)
	}
	codes, err := Codes(read(t))
	if err != nil {
		t.Fatal(err)
	}
	for name, got := range map[string][]byte{"asyncapi.yaml": asyncAPI, "codes.md": codes, "catalogue.md": Catalogue()} {
		t.Run(name, func(t *testing.T) {
			golden.Compare(t, filepath.Join("..", name), got)
		})
	}
}

// document is docs/asyncapi.yaml as JSON has it.
func document(t *testing.T) map[string]any {
	t.Helper()
	text, err := os.ReadFile("../asyncapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var fromYAML any
	if err := yaml.Unmarshal(text, &fromYAML); err != nil {
		t.Fatal(err)
	}
	raw, err := json.Marshal(fromYAML)
	if err != nil {
		t.Fatal(err)
	}
	fromJSON, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	return fromJSON.(map[string]any)
}

// schemaNames is which schema a golden message is of, by its kind.
var schemaNames = map[string]string{
	"task": "Task", "cancel": "Cancel", "resend": "Resend", "envelope": "Envelope", "mailbox": "Mailbox",
	"status": "Status", "chunk": "Chunk", "facts": "Facts", "presence": "Presence", "notice": "Notice", "audit": "AuditLines",
}

func compile(t *testing.T, doc map[string]any) map[string]*jsonschema.Schema {
	t.Helper()
	compiler := jsonschema.NewCompiler()
	compiler.DefaultDraft(jsonschema.Draft7)
	compiler.AssertFormat()
	if err := compiler.AddResource("mem:asyncapi", doc); err != nil {
		t.Fatal(err)
	}
	compiled := map[string]*jsonschema.Schema{}
	for kind, name := range schemaNames {
		schema, err := compiler.Compile("mem:asyncapi#/components/schemas/" + name)
		if err != nil {
			t.Fatal(err)
		}
		compiled[kind] = schema
	}
	return compiled
}

// forEachGolden calls check for every golden message of the protocol.
func forEachGolden(t *testing.T, check func(t *testing.T, schema *jsonschema.Schema, message map[string]any)) {
	files, err := filepath.Glob(filepath.Join(protocolDir, "testdata", "*.json"))
	if err != nil {
		t.Fatal(err)
	}
	compiled, seen := compile(t, document(t)), map[string]bool{}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".json")
		kind, _, _ := strings.Cut(name, "-")
		seen[kind] = true
		t.Run(name, func(t *testing.T) {
			schema := compiled[kind]
			if schema == nil {
				t.Fatal("no schema is for it")
			}
			raw, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			message, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
			if err != nil {
				t.Fatal(err)
			}
			check(t, schema, message.(map[string]any))
		})
	}
	for kind := range schemaNames {
		if !seen[kind] {
			t.Errorf("no golden message is a %s", kind)
		}
	}
}

func TestGoldenMessagesMatchTheirSchemas(t *testing.T) {
	forEachGolden(t, func(t *testing.T, schema *jsonschema.Schema, message map[string]any) {
		if err := schema.Validate(message); err != nil {
			t.Error(err)
		}
	})
}

func TestAMessageWithoutARequiredFieldDoesNotMatch(t *testing.T) {
	forEachGolden(t, func(t *testing.T, schema *jsonschema.Schema, message map[string]any) {
		if schema.Ref != nil || len(schema.Required) == 0 {
			t.Fatal("nothing is required")
		}
		for _, field := range schema.Required {
			less := maps.Clone(message)
			delete(less, field)
			if schema.Validate(less) == nil {
				t.Errorf("matches without %s", field)
			}
		}
	})
}

func TestAFieldOfAnotherTypeDoesNotMatch(t *testing.T) {
	forEachGolden(t, func(t *testing.T, schema *jsonschema.Schema, message map[string]any) {
		for field := range message {
			other := maps.Clone(message)
			other[field] = []any{[]any{}}
			if schema.Validate(other) == nil {
				t.Errorf("matches with a list of lists as %s", field)
			}
		}
	})
}

func TestIDsThatAreNoneDoNotMatch(t *testing.T) {
	forEachGolden(t, func(t *testing.T, schema *jsonschema.Schema, message map[string]any) {
		for _, field := range []string{"task_id", "server_id"} {
			if _, has := message[field]; !has {
				continue
			}
			other := maps.Clone(message)
			other[field] = "../x"
			if schema.Validate(other) == nil {
				t.Errorf("matches with the path ../x as %s", field)
			}
		}
	})
}

// TestReferencesLeadSomewhere follows every $ref of the document.
func TestReferencesLeadSomewhere(t *testing.T) {
	doc := document(t)
	var refs []string
	var walk func(any)
	walk = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			if ref, ok := v["$ref"].(string); ok {
				refs = append(refs, ref)
			}
			for _, value := range v {
				walk(value)
			}
		case []any:
			for _, value := range v {
				walk(value)
			}
		}
	}
	walk(doc)
	slices.Sort(refs)
	for _, ref := range slices.Compact(refs) {
		var at any = doc
		for _, token := range strings.Split(strings.TrimPrefix(ref, "#/"), "/") {
			object, _ := at.(map[string]any)
			at = object[token]
		}
		if at == nil {
			t.Errorf("%s leads nowhere", ref)
		}
	}
	if len(refs) < 30 {
		t.Errorf("only %d references were found", len(refs))
	}
}

func TestEveryTypeAndFieldSaysWhatItIs(t *testing.T) {
	for name, schema := range document(t)["components"].(map[string]any)["schemas"].(map[string]any) {
		if schema.(map[string]any)["description"] == nil {
			t.Errorf("%s has no comment", name)
		}
	}
}

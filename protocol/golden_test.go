package protocol

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"devserver-agent/test/support/golden"
)

func TestMessagesAreWrittenAsTheGoldenFilesSay(t *testing.T) {
	for name, message := range samples(t) {
		t.Run(name, func(t *testing.T) {
			got, err := json.MarshalIndent(message, "", "  ")
			if err != nil {
				t.Fatal(err)
			}
			golden.Compare(t, filepath.Join("testdata", name+".json"), append(got, '\n'))
		})
	}
}

func TestMessagesAreReadAsTheyWereWritten(t *testing.T) {
	for name, want := range samples(t) {
		t.Run(name, func(t *testing.T) {
			data, err := os.ReadFile(filepath.Join("testdata", name+".json"))
			if err != nil {
				t.Fatal(err)
			}
			got := reflect.New(reflect.TypeOf(want))
			if err := json.Unmarshal(data, got.Interface()); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got.Elem().Interface()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestUnknownFieldsAreIgnored(t *testing.T) {
	for name, message := range samples(t) {
		t.Run(name, func(t *testing.T) {
			data, err := json.Marshal(message)
			if err != nil {
				t.Fatal(err)
			}
			data = append([]byte(`{"of_a_later_version":{"a":[1]},`), data[1:]...)
			got := reflect.New(reflect.TypeOf(message))
			if err := json.Unmarshal(data, got.Interface()); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(message, got.Elem().Interface()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestNoGoldenFileIsLeftOver(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("testdata", "*.json"))
	if err != nil {
		t.Fatal(err)
	}
	known := samples(t)
	for _, file := range files {
		if known[strings.TrimSuffix(filepath.Base(file), ".json")] == nil {
			t.Errorf("nothing writes %s", file)
		}
	}
}

// TestEveryFieldIsInAGoldenFile keeps a field from being added that no golden
// file shows.
func TestEveryFieldIsInAGoldenFile(t *testing.T) {
	set, all := map[string]bool{}, map[string]bool{}
	for _, message := range samples(t) {
		visit(reflect.ValueOf(message), set, all)
	}
	for field := range all {
		if !set[field] {
			t.Errorf("%s has its zero value in every golden file", field)
		}
	}
	if len(all) < 80 {
		t.Errorf("only %d fields were visited", len(all))
	}
}

// visit notes the fields of the structs in v, and those that are not zero.
func visit(v reflect.Value, set, all map[string]bool) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			visit(v.Elem(), set, all)
		}
	case reflect.Slice:
		for i := range v.Len() {
			visit(v.Index(i), set, all)
		}
	case reflect.Struct:
		for field, value := range v.Fields() {
			name := v.Type().Name() + "." + field.Name
			all[name] = true
			set[name] = set[name] || !value.IsZero()
			visit(value, set, all)
		}
	}
}

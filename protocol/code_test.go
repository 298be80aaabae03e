package protocol

import (
	"go/ast"
	"go/parser"
	"go/token"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

func TestEveryCodeIsExplained(t *testing.T) {
	shape := regexp.MustCompile(`^[A-Z][A-Z0-9_]{2,63}$`)
	seen := map[Code]bool{}
	for _, info := range Codes() {
		if seen[info.Code] {
			t.Errorf("%s is listed twice", info.Code)
		}
		seen[info.Code] = true
		if !shape.MatchString(string(info.Code)) {
			t.Errorf("%q is not a code", info.Code)
		}
		for what, text := range map[string]string{"meaning": info.Meaning, "remedy": info.Remedy} {
			if !strings.HasSuffix(text, ".") || strings.TrimSpace(text) != text {
				t.Errorf("%s: its %s is no sentence: %q", info.Code, what, text)
			}
		}
		if got := Explain(info.Code); got != info {
			t.Errorf("%s is explained as %+v", info.Code, got)
		}
	}
	for name, code := range declaredCodes(t) {
		if !seen[code] {
			t.Errorf("%s (%s) is not in the list", name, code)
		}
		delete(seen, code)
	}
	for code := range seen {
		t.Errorf("%s is in the list and no constant", code)
	}
}

// declaredCodes are the constants of type Code by name, from the source.
func declaredCodes(t *testing.T) map[string]Code {
	file, err := parser.ParseFile(token.NewFileSet(), "code.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]Code{}
	for _, decl := range file.Decls {
		group, ok := decl.(*ast.GenDecl)
		if !ok || group.Tok != token.CONST {
			continue
		}
		for _, spec := range group.Specs {
			value := spec.(*ast.ValueSpec)
			if of, ok := value.Type.(*ast.Ident); !ok || of.Name != "Code" {
				t.Fatalf("constant %s has no type Code", value.Names[0])
			}
			text, err := strconv.Unquote(value.Values[0].(*ast.BasicLit).Value)
			if err != nil {
				t.Fatal(err)
			}
			found[value.Names[0].Name] = Code(text)
		}
	}
	if len(found) == 0 {
		t.Fatal("code.go declares none")
	}
	return found
}

func TestCodesOfAnotherVersionAreNotExplained(t *testing.T) {
	if got := Explain("OF_ANOTHER_VERSION"); got != (CodeInfo{}) {
		t.Errorf("explained as %+v", got)
	}
}

func TestCodesAreTheCallersOwn(t *testing.T) {
	want := Codes()[0]
	Codes()[0].Remedy = "None."
	if got := Codes()[0]; got != want {
		t.Errorf("a caller changed it: %+v", got)
	}
}

package plainwords

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"devserver-agent/protocol"
)

// failure is a place of the source that gives a code and the sentence beside it.
type failure struct {
	at     string        // file and line
	code   protocol.Code // "": it is known at run time only
	format string        // what is not a constant is %s
	part   bool          // it is a part of a sentence, or the error that a notice has
}

// reader finds the failures of a file: calls, composite literals and returns that have
// a constant of protocol.Code and behind it a text, however they are called.
type reader struct {
	files  *token.FileSet
	codes  map[string]protocol.Code // by the name of the constant
	locals map[string]ast.Expr      // the constants and once-assigned texts of the file
	found  []failure
}

func (r *reader) read(name string, src any) error {
	file, err := parser.ParseFile(r.files, name, src, parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	r.locals = map[string]ast.Expr{}
	ast.Inspect(file, func(n ast.Node) bool {
		if spec, ok := n.(*ast.ValueSpec); ok && len(spec.Names) == len(spec.Values) {
			for i, name := range spec.Names {
				r.locals[name.Name] = spec.Values[i]
			}
		}
		return true
	})
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.CallExpr:
			name := called(n.Fun)
			r.inRow(n.Args, name == "Fail", slices.Contains(sayers, name))
		case *ast.ReturnStmt:
			r.inRow(n.Results, false, true)
		case *ast.CompositeLit:
			r.inLiteral(n)
		}
		return true
	})
	return nil
}

// sayers are the functions that are given a code and the whole message.
var sayers = []string{"Fail", "failed", "lostTrack", "overdue"}

func called(fun ast.Expr) string {
	switch fun := fun.(type) {
	case *ast.SelectorExpr:
		return fun.Sel.Name
	case *ast.Ident:
		return fun.Name
	}
	return ""
}

// inRow looks for a code and the first text behind it. first says that the row begins
// with a code in any case, whole that the text is a whole message.
func (r *reader) inRow(row []ast.Expr, first, whole bool) {
	for i, expr := range row {
		name, code, ok := r.code(expr)
		if !ok && (!first || i > 0) {
			continue
		}
		for _, next := range row[i+1:] {
			if format := r.text(next); strings.Trim(format, "%s ") != "" {
				r.add(expr, code, format, !whole || strings.HasPrefix(name, "Notice"))
				return
			}
		}
	}
}

func (r *reader) inLiteral(lit *ast.CompositeLit) {
	var name, format string
	var code protocol.Code
	for _, element := range lit.Elts {
		pair, ok := element.(*ast.KeyValueExpr)
		if !ok {
			return
		}
		switch key, _ := pair.Key.(*ast.Ident); {
		case key == nil:
		case key.Name == "Code":
			name, code, _ = r.code(pair.Value)
		case key.Name == "Message":
			format = r.text(pair.Value)
		}
	}
	if code != "" && strings.Trim(format, "%s ") != "" {
		r.add(lit, code, format, strings.HasPrefix(name, "Notice"))
	}
}

func (r *reader) add(at ast.Node, code protocol.Code, format string, part bool) {
	where := r.files.Position(at.Pos())
	r.found = append(r.found, failure{fmt.Sprintf("%s:%d", where.Filename, where.Line), code, format, part})
}

// code reads protocol.X.
func (r *reader) code(expr ast.Expr) (name string, code protocol.Code, ok bool) {
	selector, isSelector := expr.(*ast.SelectorExpr)
	if !isSelector {
		return "", "", false
	}
	if of, isName := selector.X.(*ast.Ident); !isName || of.Name != "protocol" {
		return "", "", false
	}
	code, ok = r.codes[selector.Sel.Name]
	return selector.Sel.Name, code, ok
}

// text is the constant part of a text; the rest of it is %s.
func (r *reader) text(expr ast.Expr) string {
	switch expr := expr.(type) {
	case *ast.BasicLit:
		if expr.Kind == token.STRING {
			if text, err := strconv.Unquote(expr.Value); err == nil {
				return text
			}
		}
	case *ast.ParenExpr:
		return r.text(expr.X)
	case *ast.BinaryExpr:
		return r.text(expr.X) + r.text(expr.Y)
	case *ast.Ident:
		if value, known := r.locals[expr.Name]; known {
			delete(r.locals, expr.Name) // one that is made of itself ends here
			defer func() { r.locals[expr.Name] = value }()
			return r.text(value)
		}
	case *ast.CallExpr:
		if selector, ok := expr.Fun.(*ast.SelectorExpr); ok && len(expr.Args) > 0 &&
			slices.Contains([]string{"Sprintf", "Errorf", "New", "Clip", "Sprint"}, selector.Sel.Name) {
			return r.text(expr.Args[0])
		}
	}
	return "%s"
}

func newReader(t *testing.T, root string) *reader {
	t.Helper()
	r := &reader{files: token.NewFileSet(), codes: map[string]protocol.Code{}}
	file, err := parser.ParseFile(r.files, filepath.Join(root, "protocol", "code.go"), nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || len(spec.Values) != 1 {
			return true
		}
		if value, ok := spec.Values[0].(*ast.BasicLit); ok {
			text, err := strconv.Unquote(value.Value)
			if err != nil {
				t.Fatal(err)
			}
			r.codes[spec.Names[0].Name] = protocol.Code(text)
		}
		return true
	})
	if len(r.codes) != len(protocol.Codes()) {
		t.Fatalf("code.go has %d constants for %d codes", len(r.codes), len(protocol.Codes()))
	}
	return r
}

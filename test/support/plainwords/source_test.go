package plainwords

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
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

// verb is a verb of a format; ends is how a format ends as a sentence: with a full stop
// or with a value that is a sentence. An error is none: it has no full stop.
var (
	verb = regexp.MustCompile(`%[-+# 0]*(?:\d+|\*)?(?:\.\d+)?[a-zA-Z]`)
	ends = regexp.MustCompile(`\.$|^%[svw]$|%s$`)
	name = regexp.MustCompile(`[._/]\S`)
)

// judge says what is wrong with a failure, as far as its source tells.
func (f failure) judge() []string {
	printed := strings.ReplaceAll(verb.ReplaceAllStringFunc(f.format, func(v string) string {
		if strings.HasSuffix(v, "d") {
			return "4"
		}
		return "X"
	}), "%%", "%")
	problems := Problems(f.code, printed)
	if f.part {
		return problems
	}
	if !ends.MatchString(f.format) {
		problems = append(problems, "it does not end as a sentence")
	}
	if word, _, _ := strings.Cut(f.format, " "); !name.MatchString(word) && word[0] >= 'a' && word[0] <= 'z' {
		problems = append(problems, "it does not begin as a sentence")
	}
	if remedy := protocol.Explain(f.code).Remedy; remedy != "" && strings.Contains(f.format, strings.TrimSuffix(remedy, ".")) {
		problems = append(problems, "it repeats the remedy of its code, which is printed beside it")
	}
	return problems
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

// TestEveryMessageOfTheSourceSuitsItsCode reads every program of the repository.
func TestEveryMessageOfTheSourceSuitsItsCode(t *testing.T) {
	root := filepath.Join("..", "..", "..")
	r := newReader(t, root)
	for _, folder := range []string{"agent", "cmd", "controlplane", "docs", "executors"} {
		err := filepath.WalkDir(filepath.Join(root, folder), func(name string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
				return err
			}
			return r.read(name, nil)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	const known = 75 // failures there were when this was written, about
	if len(r.found) < known {
		t.Errorf("only %d failures were found: does the reader still know how they are written?", len(r.found))
	}
	for _, f := range r.found {
		for _, problem := range f.judge() {
			t.Errorf("%s: %s %q: %s", f.at, f.code, f.format, problem)
		}
	}
}

// TestWhatIsWrongInASourceIsFound has the texts that were wrong once.
func TestWhatIsWrongInASourceIsFound(t *testing.T) {
	for name, c := range map[string]struct{ source, want string }{
		"a good one":     {`executors.Fail(protocol.StepFailed, "Step %s ended with exit code %d.", name, 1)`, ""},
		"an error":       {`executors.Fail(protocol.StepFailed, "Step %s failed: %w.", name, err)`, ""},
		"a passed one":   {`executors.Fail(failed.Code, "%s", failed.Message)`, ""},
		"a notice":       {`m.refused.add(protocol.NoticeUnparsable, "", "", fmt.Errorf("resend: %w", err))`, ""},
		"part of a list": {`finding(protocol.HDKDiskSpace, fmt.Sprintf("/%s has %d MiB free", dir, free))`, ""},
		"a parameter":    {`executors.Fail(protocol.SpecInvalid, "spec.version: %w.", err)`, ""},

		"a plug-in that wants a restart": {`executors.Fail(protocol.RebootUnavailable,
			"The plug-in wants the host restarted, which the task does not allow; create the job with is_reboot.")`, "with and without a restart"},
		"a cancelled job": {`t.overdue(protocol.Deleted, protocol.TaskWithheld,
			"The job was cancelled before the task's turn came. See why the others failed, then create a job.")`, "a failure of others"},
		"no full stop":      {`executors.Fail(protocol.StepFailed, "The result cannot be read: %w", err)`, "it does not end as a sentence"},
		"a small letter":    {`executors.Fail(protocol.StepFailed, "the result cannot be read.")`, "it does not begin as a sentence"},
		"a repeated remedy": {`executors.Fail(protocol.StepFailed, "It failed. Read the message and the task's output.")`, "it repeats the remedy"},
		"two sentences":     {`executors.Fail(failed.Code, "Nothing was changed here. Nothing was changed here. %s", now)`, "it is said twice"},
		"a lie about what was done": {`executors.Fail(protocol.HDKInUse, "The driver was installed, then %s came.", who)`,
			"the code means that nothing was done"},
		"a literal":                   {`protocol.Status{Code: protocol.StepFailed, Message: fmt.Sprintf("it failed (%s).", why)}`, "it does not begin"},
		"a constant":                  {`func() (protocol.Code, string) { const nothing = " Nothing was started"; return protocol.SpecInvalid, fmt.Sprintf("No %s.", x) + nothing }`, "it does not end"},
		"an empty slot of the source": {`executors.Fail(protocol.StepFailed, "It failed (), see the output.")`, "empty brackets"},
	} {
		r := newReader(t, filepath.Join("..", "..", ".."))
		if err := r.read("x.go", "package x\nvar _ = "+c.source); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		var got []string
		for _, f := range r.found {
			got = append(got, f.judge()...)
		}
		if c.want == "" && got != nil || c.want != "" && (len(got) != 1 || !strings.HasPrefix(got[0], c.want)) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

// Package gen draws the reference pages of docs/ from the protocol's Go types,
// their tags and their comments, for whoever talks to the broker or reads a code
// without reading Go. Its test keeps the pages true; with -update it writes them.
package gen

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
)

// Source is what reflection does not tell of package protocol: comments and
// constants.
type Source struct {
	types     map[string]string     // comment by type
	fields    map[string]string     // comment by "Type.json_name"
	constants map[string][]Constant // by type, in the order of the source
}

// Constant is a string constant of a named type.
type Constant struct{ Name, Value string }

// Read reads the Go files of dir.
func Read(dir string) (Source, error) {
	s := Source{types: map[string]string{}, fields: map[string]string{}, constants: map[string][]Constant{}}
	files, err := parse(dir)
	if err != nil {
		return s, err
	}
	for _, file := range files {
		for _, decl := range file.Decls {
			group, ok := decl.(*ast.GenDecl)
			if !ok {
				continue
			}
			for _, spec := range group.Specs {
				if err := s.add(group, spec); err != nil {
					return s, fmt.Errorf("read %s: %w", dir, err)
				}
			}
		}
	}
	return s, nil
}

func parse(dir string) ([]*ast.File, error) {
	names, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil || len(names) == 0 {
		return nil, fmt.Errorf("read %s: %w", dir, fs.ErrNotExist)
	}
	var files []*ast.File
	fset := token.NewFileSet()
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		file, err := parser.ParseFile(fset, name, text, parser.ParseComments)
		if err != nil {
			return nil, err
		}
		files = append(files, file)
	}
	return files, nil
}

func (s Source) add(group *ast.GenDecl, spec ast.Spec) error {
	switch spec := spec.(type) {
	case *ast.TypeSpec:
		comment := spec.Doc
		if comment == nil {
			comment = group.Doc
		}
		s.types[spec.Name.Name] = sentence(comment)
		if fields, ok := spec.Type.(*ast.StructType); ok {
			return s.addFields(spec.Name.Name, fields)
		}
	case *ast.ValueSpec:
		of, typed := spec.Type.(*ast.Ident)
		if !typed || len(spec.Values) != 1 {
			return nil
		}
		literal, ok := spec.Values[0].(*ast.BasicLit)
		if !ok || literal.Kind != token.STRING {
			return nil
		}
		value, err := strconv.Unquote(literal.Value)
		if err != nil {
			return err
		}
		s.constants[of.Name] = append(s.constants[of.Name], Constant{spec.Names[0].Name, value})
	}
	return nil
}

func (s Source) addFields(of string, fields *ast.StructType) error {
	for _, field := range fields.Fields.List {
		if field.Tag == nil {
			continue
		}
		tag, err := strconv.Unquote(field.Tag.Value)
		if err != nil {
			return err
		}
		name, _, _ := strings.Cut(reflect.StructTag(tag).Get("json"), ",")
		s.fields[of+"."+name] = strings.TrimSpace(sentence(field.Doc) + " " + sentence(field.Comment))
	}
	return nil
}

// sentence is a comment on one line, ended by a full stop.
func sentence(comment *ast.CommentGroup) string {
	text := strings.Join(strings.Fields(comment.Text()), " ")
	if text == "" || strings.HasSuffix(text, ".") {
		return text
	}
	return text + "."
}

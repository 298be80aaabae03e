package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// licences writes the licences of what is linked into a program: most of them ask that
// whoever gets the program gets their text. A licence that several modules share word
// for word is there once. A part of a module may have terms of its own: each folder
// between a package and its module is looked at.
func licences(dir string, packages io.Reader) error {
	var order []string
	users := map[string][]string{}
	seen := map[string]bool{}
	lines := bufio.NewScanner(packages)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) != 4 {
			return fmt.Errorf("a package is MODULE VERSION ROOT FOLDER, not %q", lines.Text())
		}
		module, version, root := fields[0], fields[1], fields[2]
		for folder := fields[3]; !seen[folder]; folder = filepath.Dir(folder) {
			seen[folder] = true
			text, err := licence(folder, folder == root)
			if err != nil {
				return fmt.Errorf("module %s: %w", module, err)
			}
			if text != "" {
				if len(users[text]) == 0 {
					order = append(order, text)
				}
				users[text] = append(users[text], module+strings.TrimPrefix(folder, root)+" "+version)
			}
			if folder == root {
				break
			}
		}
	}
	if err := lines.Err(); err != nil {
		return err
	}
	var out bytes.Buffer
	out.WriteString("The modules that are linked into the program, and the terms they come under.\n")
	for _, text := range order {
		fmt.Fprintf(&out, "\n%s\n%s\n\n%s\n", strings.Repeat("=", 80), strings.Join(users[text], "\n"), text)
	}
	return write(filepath.Join(dir, "LICENCES"), out.Bytes())
}

// licence is what the files say by which a folder names its terms; "" if it does not and
// need not. It is an error if one of them is not known to let the module be linked.
func licence(folder string, needed bool) (string, error) {
	var texts []string
	licensed := false
	for _, pattern := range []string{"LICEN[CS]E*", "COPYING*", "NOTICE*", "PATENTS*"} {
		paths, err := filepath.Glob(filepath.Join(folder, pattern))
		if err != nil {
			return "", err
		}
		for _, path := range paths {
			text, err := os.ReadFile(path)
			if err != nil {
				return "", err
			}
			if pattern[0] == 'L' || pattern[0] == 'C' {
				licensed = true
				if !permissive(string(text)) {
					return "", fmt.Errorf("%s has terms that packaging/gen does not know to be compatible with the Apache License", path)
				}
			}
			texts = append(texts, strings.TrimSpace(string(text)))
		}
	}
	if needed && !licensed {
		return "", fmt.Errorf("no licence in %s", folder)
	}
	return strings.Join(texts, "\n\n"), nil
}

// permissive reports whether the terms are those of the licences that ask no more than
// that their text is passed on. A text that names the GPL needs a person to read it.
func permissive(text string) bool {
	text = strings.ToLower(strings.Join(strings.Fields(text), " "))
	if strings.Contains(text, "general public license") {
		return false
	}
	for _, known := range []string{
		"apache license version 2.0, january 2004",
		"permission is hereby granted, free of charge, to any person obtaining a copy",                   // MIT
		"redistribution and use in source and binary forms, with or without modification, are permitted", // BSD
	} {
		if strings.Contains(text, known) {
			return true
		}
	}
	return false
}

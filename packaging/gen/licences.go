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

// licences writes the licences of the modules that are linked into a program:
// most of them ask that whoever gets the program gets their text. A licence that
// several modules share word for word is there once.
func licences(dir string, modules io.Reader) error {
	var order []string
	users := map[string][]string{}
	lines := bufio.NewScanner(modules)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) != 3 {
			return fmt.Errorf("a module is PATH VERSION FOLDER, not %q", lines.Text())
		}
		text, err := licence(fields[2])
		if err != nil {
			return fmt.Errorf("module %s: %w", fields[0], err)
		}
		if len(users[text]) == 0 {
			order = append(order, text)
		}
		users[text] = append(users[text], fields[0]+" "+fields[1])
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

// licence is what the files say by which a module's folder names its terms.
func licence(folder string) (string, error) {
	var texts []string
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
			texts = append(texts, strings.TrimSpace(string(text)))
		}
	}
	if len(texts) == 0 {
		return "", fmt.Errorf("no licence in %s", folder)
	}
	return strings.Join(texts, "\n\n"), nil
}

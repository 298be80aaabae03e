package audit

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Files are the files of a log, the oldest first. A folder that is not there has none.
func Files(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var files []string
	for _, e := range entries {
		if name := e.Name(); strings.HasPrefix(name, "audit-") && strings.HasSuffix(name, ".log") {
			files = append(files, filepath.Join(dir, name))
		}
	}
	slices.Sort(files)
	if _, err := os.Stat(filepath.Join(dir, current)); err == nil {
		files = append(files, filepath.Join(dir, current))
	}
	return files, nil
}

// lines yields the lines of a file, each with its bytes; nil for one that is none.
func lines(file io.Reader) func(yield func(*Line, []byte) bool) {
	return func(yield func(*Line, []byte) bool) {
		in := bufio.NewScanner(file)
		in.Buffer(make([]byte, 0, 4096), maxLine+1)
		for in.Scan() {
			var line Line
			read := &line
			if json.Unmarshal(in.Bytes(), &line) != nil || line.Seq <= 0 {
				read = nil
			}
			if !yield(read, in.Bytes()) {
				return
			}
		}
		if in.Err() != nil {
			yield(nil, nil)
		}
	}
}

func digest(raw []byte) string {
	sum := sha256.Sum256(raw)
	return hex.EncodeToString(sum[:])
}

func firstSeq(name string) (int64, error) {
	file, err := os.Open(name)
	if err != nil {
		return 0, err
	}
	defer file.Close()
	for line := range lines(file) {
		if line != nil {
			return line.Seq, nil
		}
	}
	return 0, fmt.Errorf("%s has no line", name)
}

package diagnosis

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

const (
	maxKept    = 10 // reports on a host
	keptPrefix = "diagnosis-"
)

// keep writes the report into a folder and takes the oldest away. Written again, it
// is the same file.
func (r Report) keep(dir string) error {
	if dir == "" {
		return nil
	}
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	name := filepath.Join(dir, keptPrefix+time.UnixMilli(r.At).UTC().Format("20060102T150405.000Z")+".json")
	if err := os.WriteFile(name+".new", append(text, '\n'), 0o600); err != nil {
		return errors.Join(err, os.Remove(name+".new"))
	}
	if err := os.Rename(name+".new", name); err != nil {
		return err
	}
	kept, err := ReportFiles(dir)
	if err != nil {
		return err
	}
	for _, old := range kept[:max(0, len(kept)-maxKept)] {
		err = errors.Join(err, os.Remove(old))
	}
	return err
}

// ReportFiles are the files of the reports in a folder, the oldest first. A folder that is
// not there has none.
func ReportFiles(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list reports: %w", err)
	}
	var files []string
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), keptPrefix) && strings.HasSuffix(e.Name(), ".json") {
			files = append(files, filepath.Join(dir, e.Name()))
		}
	}
	slices.Sort(files)
	return files, nil
}

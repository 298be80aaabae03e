package audit

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"devserver-agent/protocol"
)

func now() int64 { return protocol.Millis(time.Now()) }

// Report is what Verify found.
type Report struct {
	Lines int    `json:"lines"`
	First int64  `json:"first"` // number of the oldest line there is
	Last  int64  `json:"last"`
	Head  string `json:"head"` // SHA-256 of the last line: keep it elsewhere
	// Broken says where the chain does not hold, and why; "" if it holds.
	Broken string `json:"broken,omitempty"`
}

// Read calls each with every line of the log in dir, oldest first, until it returns
// false. whole is false for a line that cannot be read.
func Read(dir string, each func(line Line, whole bool) bool) error {
	return read(dir, func(_ string, line *Line, _ []byte) bool {
		if line == nil {
			return each(Line{}, false)
		}
		return each(*line, true)
	})
}

func read(dir string, each func(file string, line *Line, raw []byte) bool) error {
	files, err := Files(dir)
	if err != nil {
		return err
	}
	for _, name := range files {
		file, err := os.Open(name)
		if err != nil {
			return err
		}
		more := true
		for line, raw := range lines(file) {
			if more = each(filepath.Base(name), line, raw); !more {
				break
			}
		}
		if err := file.Close(); err != nil {
			return err
		}
		if !more {
			return nil
		}
	}
	return nil
}

// Verify follows the chain of the log in dir from its oldest line.
func Verify(dir string) (Report, error) {
	var r Report
	in, at := "", 0 // the file and its line
	err := read(dir, func(file string, line *Line, raw []byte) bool {
		if file != in {
			in, at = file, 0
		}
		at++
		r.Lines++
		broken := func(format string, args ...any) bool {
			r.Broken = fmt.Sprintf("line %d of %s: ", at, file) + fmt.Sprintf(format, args...)
			return false
		}
		switch {
		case line == nil:
			return broken("it cannot be read")
		case r.Lines == 1 && line.Seq == 1 && line.Prev != "":
			return broken("it is the first, and names one before it")
		case r.Lines == 1:
			r.First = line.Seq
		case line.Seq != r.Last+1:
			return broken("it has number %d, and the one before it %d", line.Seq, r.Last)
		case line.Prev != r.Head:
			return broken("the one before it is not the one that was there when it was written")
		}
		r.Last, r.Head = line.Seq, digest(raw)
		return true
	})
	return r, err
}

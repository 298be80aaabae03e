package ascend

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
)

const maxFile = 64 << 10 // bytes of one of the installers' files

var errTooLarge = fmt.Errorf("is larger than %d bytes", maxFile)

// readFile reads a small file of the host.
func readFile(files fs.FS, name string) ([]byte, error) {
	f, err := files.Open(name)
	if err != nil {
		return nil, fmt.Errorf("read /%s: %w", name, reason(err))
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("read /%s: %w", name, reason(err))
	}
	if len(data) > maxFile {
		return nil, fmt.Errorf("read /%s: %w", name, errTooLarge)
	}
	return data, nil
}

// Head is the first 4 KiB of a file of the host, "" if it cannot be read.
func Head(files fs.FS, name string) string {
	file, err := files.Open(name)
	if err != nil {
		return ""
	}
	defer file.Close()
	raw, err := io.ReadAll(io.LimitReader(file, 4096))
	if err != nil {
		return ""
	}
	return string(raw)
}

// Kernel is the release of the host's running kernel, "" if it cannot be read.
func Kernel(files fs.FS) string {
	return strings.TrimSpace(Head(files, "proc/sys/kernel/osrelease"))
}

// reason is err without the file's name, which is said once already.
func reason(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return fs.ErrNotExist
	}
	if pathErr := (*fs.PathError)(nil); errors.As(err, &pathErr) {
		return pathErr.Err
	}
	return err
}

// assignments are the key=value lines of a file, in any order. What is no
// assignment is passed over; a key must not have two values.
func assignments(data []byte) (map[string]string, error) {
	values := map[string]string{}
	for line := range lines([]byte(strings.TrimPrefix(string(data), "\ufeff"))) {
		f, ok := cutField(line, "=")
		if !ok || f.Key == "" || strings.HasPrefix(f.Key, "#") {
			continue
		}
		if !printable(f.Key) || !printable(f.Value) {
			return nil, errors.New("has a line that is not text")
		}
		if former, given := values[f.Key]; given && former != f.Value {
			return nil, fmt.Errorf("gives %q and %q as %s", clip(former, maxSaid), clip(f.Value, maxSaid), clip(f.Key, maxSaid))
		}
		values[f.Key] = f.Value
	}
	return values, nil
}

package facts

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strconv"
	"strings"
)

// maxFile bounds what is read of one file, in bytes. /proc/stat of a host with
// many CPUs is the largest of them.
const maxFile = 256 << 10

// read is the beginning of a file of the host. One that is not there is empty.
func read(files fs.FS, name string) ([]byte, error) {
	f, err := files.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read /%s: %w", name, err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxFile))
	if err != nil {
		return nil, fmt.Errorf("read /%s: %w", name, err)
	}
	return text, nil
}

// firstLine is the first line of the first of names that has one.
func firstLine(files fs.FS, names ...string) (string, error) {
	for _, name := range names {
		text, err := read(files, name)
		if err != nil {
			return "", err
		}
		line, _, _ := strings.Cut(string(text), "\n")
		if line = strings.TrimSpace(line); line != "" {
			return strings.ToValidUTF8(line, "?"), nil
		}
	}
	return "", nil
}

// osName is the operating system's name and version for people. os-release(5)
// names both places.
func osName(files fs.FS) (string, error) {
	for _, name := range []string{"etc/os-release", "usr/lib/os-release"} {
		text, err := read(files, name)
		if err != nil {
			return "", err
		}
		if text != nil {
			return parseOSRelease(string(text)), nil
		}
	}
	return "", nil
}

func parseOSRelease(text string) string {
	values := map[string]string{}
	for line := range strings.Lines(text) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok {
			values[name] = strings.ToValidUTF8(unquote(value), "?")
		}
	}
	if pretty := values["PRETTY_NAME"]; pretty != "" {
		return pretty
	}
	return strings.TrimSpace(values["NAME"] + " " + values["VERSION"])
}

// unquote undoes the shell's quoting as far as os-release(5) allows it.
func unquote(s string) string {
	if len(s) < 2 || (s[0] != '"' && s[0] != '\'') || s[len(s)-1] != s[0] {
		return s
	}
	quote, s := s[0], s[1:len(s)-1]
	if quote == '\'' {
		return s
	}
	var out strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) && strings.IndexByte("\\\"$`", s[i+1]) >= 0 {
			i++
		}
		out.WriteByte(s[i])
	}
	return out.String()
}

// cpus counts the CPUs that are online. What a process may use (its affinity)
// is something else.
func cpus(files fs.FS) (int, error) {
	const online = "sys/devices/system/cpu/online"
	text, err := read(files, online)
	if err != nil || len(text) == 0 {
		return 0, err
	}
	n, err := countCPUs(strings.TrimSpace(string(text)))
	if err != nil {
		return 0, fmt.Errorf("read /%s: %w", online, err)
	}
	return n, nil
}

// countCPUs counts a list such as "0-63,72" (Documentation/admin-guide/cputopology
// of the kernel).
func countCPUs(list string) (int, error) {
	const most = 1 << 16
	n := 0
	for part := range strings.SplitSeq(list, ",") {
		low, high, ranged := strings.Cut(part, "-")
		if !ranged {
			high = low
		}
		from, err1 := strconv.ParseUint(low, 10, 16)
		to, err2 := strconv.ParseUint(high, 10, 16)
		if err1 != nil || err2 != nil || to < from {
			return 0, fmt.Errorf("%.40q is not a list of CPUs", list)
		}
		if n += int(to-from) + 1; n > most {
			return 0, fmt.Errorf("%.40q names more than %d CPUs", list, most)
		}
	}
	return n, nil
}

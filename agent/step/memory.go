package step

import (
	"io/fs"
	"os"
	"path"
	"strconv"
	"strings"
)

// oomKills counts how many processes of this process's control group the kernel
// has killed for want of memory, their limit's or the host's; 0 if that cannot be
// told. root is the host's files: cgroups(7), memory.events of version 2 and
// memory.oom_control of version 1.
func oomKills(root fs.FS) int {
	groups, err := fs.ReadFile(root, "proc/self/cgroup")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(groups)) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) != 3 {
			continue
		}
		file := ""
		switch own := strings.TrimPrefix(parts[2], "/"); {
		case parts[0] == "0" && parts[1] == "":
			file = path.Join("sys/fs/cgroup", own, "memory.events")
		case parts[1] == "memory":
			file = path.Join("sys/fs/cgroup/memory", own, "memory.oom_control")
		default:
			continue
		}
		if text, err := fs.ReadFile(root, file); err == nil {
			return counter(string(text), "oom_kill")
		}
	}
	return 0
}

// counter is the value beside a name in a file of lines "name value".
func counter(text, name string) int {
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		if len(words) == 2 && words[0] == name {
			n, _ := strconv.Atoi(words[1])
			return n
		}
	}
	return 0
}

// host is the files of the host itself.
func host() fs.FS { return os.DirFS("/") }

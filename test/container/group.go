package container

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// groups makes control groups of the container's own below those of this process,
// one in every hierarchy, in which its systemd may set limits.
func (c *Container) groups() (made []string, err error) {
	parents, err := ownGroups()
	if err != nil {
		return nil, err
	}
	for _, parent := range parents {
		group := filepath.Join(parent, c.name)
		if err := os.Mkdir(group, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, err
		}
		// A group of CPUs has none to begin with (cpuset(7)).
		for _, file := range []string{"cpuset.cpus", "cpuset.mems"} {
			value, err := os.ReadFile(filepath.Join(parent, file))
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err == nil {
				err = os.WriteFile(filepath.Join(group, file), value, 0)
			}
			if err != nil {
				return nil, err
			}
		}
		made = append(made, group)
	}
	return made, nil
}

// ownGroups are the folders of this process's control groups (cgroups(7)).
func ownGroups() (folders []string, err error) {
	raw, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(string(raw)) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) != 3 {
			continue
		}
		mounts := []string{"/sys/fs/cgroup/" + strings.TrimPrefix(parts[1], "name=")}
		if parts[1] == "" {
			mounts = []string{"/sys/fs/cgroup/unified", "/sys/fs/cgroup"}
		}
		for _, mount := range mounts {
			folder := filepath.Join(mount, parts[2])
			if _, err := os.Stat(filepath.Join(folder, "cgroup.procs")); err == nil {
				folders = append(folders, folder)
				break
			}
		}
	}
	return folders, nil
}

func (c *Container) removeGroups() error {
	parents, err := ownGroups()
	if err != nil {
		return err
	}
	for _, parent := range parents {
		err = errors.Join(err, removeTree(filepath.Join(parent, c.name)))
	}
	return err
}

// removeTree removes a control group and those in it; their files go with them.
func removeTree(group string) error {
	entries, err := os.ReadDir(group)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, entry := range entries {
		if entry.IsDir() {
			err = errors.Join(err, removeTree(filepath.Join(group, entry.Name())))
		}
	}
	if removed := syscall.Rmdir(group); removed != nil && !errors.Is(removed, syscall.ENOENT) {
		err = errors.Join(err, &os.PathError{Op: "rmdir", Path: group, Err: removed})
	}
	return err
}

package ascend

import (
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"

	"devserver-agent/executors/lazyregexp"
)

// Holder is a process of the host that keeps NPUs from others: it has a node open,
// or it replaces the driver.
type Holder struct {
	PID       int
	Name      string
	Container string // its id, as far as the cgroup has it
	NPU       bool   // a node is open
	Devices   []int  // the numbers N of the nodes /dev/davinciN that are open
	Installer string // the HDK package it runs, "" for none
}

// String names a process for a message.
func (h Holder) String() string {
	text := fmt.Sprintf("process %d", h.PID)
	if h.Name != "" {
		text += " (" + h.Name + ")"
	}
	if h.Container != "" {
		text += fmt.Sprintf(" in container %.12s", h.Container)
	}
	return text
}

var (
	// Nodes whose holders keep the driver from being replaced, as Huawei's
	// installer checks them.
	npuNode     = lazyregexp.New(`/dev/(?:davinci([0-9]{1,5})|davinci_manager|devmm_svm|hisi_hdc)$`)
	containerID = lazyregexp.New(`[0-9a-f]{64}`)
	hdkPackage  = lazyregexp.New(`(?i)^(?:Ascend-hdk|Atlas-).*npu-(?:driver|firmware).*\.run$|^A\d+.*-npu-(?:driver|firmware).*\.run$`)
)

// Holders finds the processes that hold NPU nodes or run an HDK installer, as /proc
// tells. One that ends meanwhile is left out.
func Holders(files fs.FS) []Holder {
	entries, err := fs.ReadDir(files, "proc")
	if err != nil {
		return nil
	}
	var found []Holder
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		dir := path.Join("proc", entry.Name())
		h := Holder{PID: pid, Installer: installerOf(files, dir)}
		h.NPU, h.Devices = openNodes(files, dir)
		if !h.NPU && h.Installer == "" {
			continue
		}
		h.Name = strings.TrimSpace(Head(files, path.Join(dir, "comm")))
		h.Container = containerID.FindString(Head(files, path.Join(dir, "cgroup")))
		found = append(found, h)
	}
	return found
}

// openNodes are the nodes of NPUs that a process has open: whether there are any, and
// the numbers of those that are a chip's.
func openNodes(files fs.FS, dir string) (open bool, devices []int) {
	fds, err := fs.ReadDir(files, path.Join(dir, "fd"))
	if err != nil {
		return false, nil // it ended, or is a kernel thread
	}
	for _, fd := range fds {
		target, err := fs.ReadLink(files, path.Join(dir, "fd", fd.Name()))
		if err != nil {
			continue
		}
		match := npuNode.FindStringSubmatch(target)
		if match == nil {
			continue
		}
		open = true
		if n, err := strconv.Atoi(match[1]); err == nil && !slices.Contains(devices, n) {
			devices = append(devices, n)
		}
	}
	return open, devices
}

func installerOf(files fs.FS, dir string) string {
	for arg := range strings.SplitSeq(Head(files, path.Join(dir, "cmdline")), "\x00") {
		if name := path.Base(arg); hdkPackage.MatchString(name) {
			return name
		}
	}
	return ""
}

package ascend

import (
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"strconv"
	"strings"
)

// Holder is a process of the host that keeps NPUs from others: it has a node open,
// or it replaces the driver.
type Holder struct {
	PID       int
	Name      string
	Container string // its id, as far as the cgroup tells it
	NPU       bool   // a node is open
	Installer string // the HDK package it runs, "" for none
}

// String names a process for a message.
func (h Holder) String() string {
	text := fmt.Sprintf("process %d (%s)", h.PID, h.Name)
	if h.Container != "" {
		text += fmt.Sprintf(" in container %.12s", h.Container)
	}
	return text
}

var (
	// Nodes whose holders keep the driver from being replaced, as Huawei's
	// installer checks them.
	npuNode     = regexp.MustCompile(`/dev/(?:davinci[0-9]+|davinci_manager|devmm_svm|hisi_hdc)$`)
	containerID = regexp.MustCompile(`[0-9a-f]{64}`)
	hdkPackage  = regexp.MustCompile(`(?i)^(?:Ascend-hdk|Atlas-).*npu-(?:driver|firmware).*\.run$|^A\d+.*-npu-(?:driver|firmware).*\.run$`)
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
		h := Holder{PID: pid, NPU: holdsNPU(files, dir), Installer: installerOf(files, dir)}
		if !h.NPU && h.Installer == "" {
			continue
		}
		h.Name = strings.TrimSpace(Head(files, path.Join(dir, "comm")))
		h.Container = containerID.FindString(Head(files, path.Join(dir, "cgroup")))
		found = append(found, h)
	}
	return found
}

func holdsNPU(files fs.FS, dir string) bool {
	fds, err := fs.ReadDir(files, path.Join(dir, "fd"))
	if err != nil {
		return false // it ended, or is a kernel thread
	}
	for _, fd := range fds {
		if target, err := fs.ReadLink(files, path.Join(dir, "fd", fd.Name())); err == nil && npuNode.MatchString(target) {
			return true
		}
	}
	return false
}

func installerOf(files fs.FS, dir string) string {
	for arg := range strings.SplitSeq(Head(files, path.Join(dir, "cmdline")), "\x00") {
		if name := path.Base(arg); hdkPackage.MatchString(name) {
			return name
		}
	}
	return ""
}

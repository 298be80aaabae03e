package hdk

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"regexp"
	"strconv"
	"strings"

	"devserver-agent/executors"
)

// process is what /proc tells of one process that matters to an installer.
type process struct {
	pid       int
	name      string
	container string // its id, as far as the cgroup tells it
	holdsNPU  bool
	installer string // the HDK package it runs, "" for none
}

func (p process) String() string {
	text := fmt.Sprintf("process %d (%s)", p.pid, p.name)
	if p.container != "" {
		text += fmt.Sprintf(" in container %.12s", p.container)
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

// readProcesses finds those who hold NPU nodes or run an HDK installer. One that
// ends meanwhile is left out.
func readProcesses(files fs.FS) []process {
	entries, err := fs.ReadDir(files, "proc")
	if err != nil {
		return nil
	}
	var found []process
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		dir := path.Join("proc", entry.Name())
		p := process{pid: pid, holdsNPU: holdsNPU(files, dir), installer: installerOf(files, dir)}
		if !p.holdsNPU && p.installer == "" {
			continue
		}
		p.name = strings.TrimSpace(head(files, path.Join(dir, "comm")))
		p.container = containerID.FindString(head(files, path.Join(dir, "cgroup")))
		found = append(found, p)
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
	for arg := range strings.SplitSeq(head(files, path.Join(dir, "cmdline")), "\x00") {
		if name := path.Base(arg); hdkPackage.MatchString(name) {
			return name
		}
	}
	return ""
}

// head is the beginning of a file, "" if it cannot be read.
func head(files fs.FS, name string) string {
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

// container is a running container that was given an NPU.
type container struct{ id, name string }

// containers asks docker, as Huawei's installer does: it refuses when a
// container was given a node, whether or not anything in it holds it. Hosts
// without docker have none.
func containers(ctx context.Context, host executors.Host) []container {
	listing, err := host.Query(ctx, "docker", "ps", "-q", "--no-trunc")
	if err != nil || listing.Code != 0 {
		if err != nil && !errors.Is(err, executors.ErrNotFound) {
			host.Printf("warning: containers are not known: %v\n", err)
		}
		return nil
	}
	ids := containerID.FindAllString(string(listing.Output), 512)
	if len(ids) == 0 {
		return nil
	}
	reply, err := host.Query(ctx, append([]string{"docker", "inspect"}, ids...)...)
	if err != nil {
		host.Printf("warning: containers are not known: %v\n", err)
		return nil
	}
	return withNPU(reply.Output)
}

// withNPU reads what docker inspect prints: one or several JSON lists.
func withNPU(out []byte) []container {
	var found []container
	for in := json.NewDecoder(strings.NewReader(string(out))); ; {
		var list []json.RawMessage
		if err := in.Decode(&list); err != nil {
			return found // its end, or the message of a container that just ended
		}
		for _, raw := range list {
			var c struct{ ID, Name string }
			if json.Unmarshal(raw, &c) == nil && strings.Contains(string(raw), "/dev/davinci") {
				found = append(found, container{c.ID, c.Name})
			}
		}
	}
}

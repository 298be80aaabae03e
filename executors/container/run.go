package container

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"devserver-agent/executors"
)

// Run is one container as it is to be.
type Run struct {
	Name    string   `json:"name"` // of the container; of one item only
	Image   string   `json:"image"`
	Command []string `json:"command,omitempty"` // nil: the image's own
	Env     []string `json:"env,omitempty"`
	Volumes []string `json:"volumes,omitempty"` // HOST:CONTAINER[:ro]
	Network string   `json:"network"`

	Devices []string `json:"devices,omitempty"` // nodes of NPUs and their managers
	Driver  []string `json:"driver,omitempty"`  // files of the driver, read-only
	NPUs    []int    `json:"npus,omitempty"`

	Service string   `json:"service,omitempty"` // of SERVICE_DEPLOY
	Ready   int      `json:"ready,omitempty"`   // seconds that a service has to stay up
	Sockets []string `json:"sockets,omitempty"`

	StopTimeout int `json:"stop_timeout,omitempty"` // Engine.StopTimeout in seconds
}

var volume = regexp.MustCompile(`^/[^:,]*:/[^:,]*(?::ro|:rw)?$`)

// parse reads the parameters, which fit their patterns.
func parse(spec executors.Spec) (Run, error) {
	run := Run{Image: spec["image"], Network: spec["network"], Service: spec["name"], Ready: 10}
	if run.Network == "" {
		run.Network = "bridge"
	}
	switch text := strings.TrimSpace(spec["command"]); {
	case strings.HasPrefix(text, "["):
		if err := json.Unmarshal([]byte(text), &run.Command); err != nil {
			return Run{}, fmt.Errorf("command begins as a JSON list and is none: %w", err)
		}
	default:
		run.Command = strings.Fields(text) // words as they are: there is no shell
	}
	for _, v := range split(spec["volumes"]) {
		if from, _, _ := strings.Cut(v, ":"); !volume.MatchString(v) || path.Clean(from) != from {
			return Run{}, fmt.Errorf("%.200q is no volume, HOST:CONTAINER or HOST:CONTAINER:ro", v)
		}
		if err := admissible(v); err != nil {
			return Run{}, err
		}
		run.Volumes = append(run.Volumes, v)
	}
	for _, v := range split(spec["env"]) {
		if !strings.Contains(v, "=") {
			return Run{}, fmt.Errorf("%.200q is no NAME=value", v)
		}
		run.Env = append(run.Env, v)
	}
	if text := spec["ready_seconds"]; text != "" {
		n, err := strconv.Atoi(text)
		if err != nil {
			return Run{}, fmt.Errorf("ready_seconds: %w", err)
		}
		run.Ready = n
	}
	return run, nil
}

func split(list string) []string {
	return strings.FieldsFunc(list, func(r rune) bool { return r == ',' })
}

// closed are folders of the host that no container is given: with them it would be
// the host, or the agent.
var closed = []string{"/", "/etc/devserver-agent", "/var/lib/devserver-agent", "/run", "/var/run", "/proc", "/sys", "/dev", "/boot", "/etc", "/root", "/var", "/usr"}

func admissible(volume string) error {
	from, _, _ := strings.Cut(volume, ":")
	if slices.Contains(closed, from) || strings.HasPrefix(from, "/run/") || strings.HasPrefix(from, "/var/run/") ||
		strings.HasPrefix(from, "/var/lib/devserver-agent/") || strings.HasPrefix(from, "/etc/devserver-agent/") {
		return fmt.Errorf("volume %.200q is not given to containers: it would open the host or the agent", volume)
	}
	return nil
}

// managers are the nodes that come with those of NPUs, and driverFiles what programs
// on NPUs need of the driver, as Ascend-docker-runtime mounts them (its documentation,
// "mount content").
var (
	managers    = []string{"davinci_manager", "devmm_svm", "hisi_hdc"}
	driverFiles = []string{
		"/usr/local/Ascend/driver/lib64", "/usr/local/Ascend/driver/include", "/usr/local/Ascend/driver/version.info",
		"/usr/local/dcmi", "/usr/local/bin/npu-smi", "/etc/ascend_install.info",
	}
)

var node = regexp.MustCompile(`^davinci([0-9]{1,4})$`)

var errNoNPU = errors.New("the host has no such NPU")

// mapNPUs gives the run NPUs: "" and none, all, or a list of numbers of /dev/davinciN.
func (r *Run) mapNPUs(files fs.FS, wanted string) error {
	if wanted == "" || wanted == "none" {
		return nil
	}
	entries, err := fs.ReadDir(files, "dev")
	if err != nil {
		return fmt.Errorf("list /dev: %w", err)
	}
	var there []int
	for _, e := range entries {
		if match := node.FindStringSubmatch(e.Name()); match != nil {
			n, _ := strconv.Atoi(match[1]) // four digits
			there = append(there, n)
		}
	}
	slices.Sort(there)
	r.NPUs = there
	if wanted != "all" {
		r.NPUs = nil
		for _, word := range split(wanted) {
			n, err := strconv.Atoi(word)
			if err != nil || !slices.Contains(there, n) {
				return fmt.Errorf("npus: %s: %w (/dev has %v)", word, errNoNPU, there)
			}
			r.NPUs = append(r.NPUs, n)
		}
	}
	if len(r.NPUs) == 0 {
		return fmt.Errorf("npus: %w", errNoNPU)
	}
	for _, n := range r.NPUs {
		r.Devices = append(r.Devices, fmt.Sprintf("/dev/davinci%d", n))
	}
	for _, name := range managers {
		if _, err := fs.Stat(files, "dev/"+name); err == nil {
			r.Devices = append(r.Devices, "/dev/"+name)
		}
	}
	for _, name := range driverFiles {
		if _, err := fs.Stat(files, strings.TrimPrefix(name, "/")); err == nil {
			r.Driver = append(r.Driver, name)
		}
	}
	return nil
}

// stopTimeout is how long a container may take to end, usually as long as it says.
func (r Run) stopTimeout(usual time.Duration) time.Duration {
	return cmp.Or(time.Duration(r.StopTimeout)*time.Second, usual)
}

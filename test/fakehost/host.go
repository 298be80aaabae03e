package fakehost

import (
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

// Host is a fake host in a folder. It holds no state of its own, so values for the
// same folder may be used by any number of goroutines and processes.
type Host struct {
	dir string
}

// Options change what New builds. Every zero value but Binary's has a meaning.
type Options struct {
	// Binary is the path of the fakehost command, see Binary. It must exist.
	Binary string
	// ServerID is noted in the state; boot ids and the machine id depend on it.
	ServerID string
	// Arch is the host's uname -m; if empty, that of this machine.
	Arch string
	// Release is what is installed and runs; an empty field means the model's first release.
	// In a virtual machine the firmware runs and is not installed.
	Release Release
	// Bare builds a host on which no driver was ever installed: no npu-smi, no
	// /dev/davinci*, no version.info. The chips run Release.Firmware from their flash.
	Bare bool
	// Place is where the operating system runs: on metal, in a virtual machine or in a
	// container.
	Place Place
	// Cards is how many cards the host has, the last ones of its model, with their own ids;
	// if zero, all. A test that asks all of them asks fewer.
	Cards int
	// Sparse gives the cards odd ids, as in a chassis in which every second slot is used.
	Sparse bool
	// HotReset makes an upgrade of the driver take effect at once (exit code 0).
	HotReset bool
	// InstallForAll is what ascend_install.info says of the last installation.
	InstallForAll bool
	// Pace is how long an installation takes; if zero, 200 ms.
	Pace time.Duration
	// Seed gives hosts in the same folder with the same ServerID other boot ids.
	Seed int64
}

// New builds a host of a model in dir, which is created and must be empty or absent.
// The host is on and in its first boot; its tools work at once, also without Boot.
func New(dir string, m Model, o Options) (*Host, error) {
	p, err := m.Profile()
	if err != nil {
		return nil, err
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return nil, err
	}
	if o.Binary, err = filepath.Abs(cmp.Or(o.Binary, "?")); err != nil {
		return nil, err
	}
	if _, err := os.Stat(o.Binary); err != nil {
		return nil, fmt.Errorf("fakehost: Options.Binary: %w", err)
	}
	if entries, err := os.ReadDir(dir); err == nil && len(entries) > 0 {
		return nil, fmt.Errorf("fakehost: %s is not empty", dir)
	}
	for _, sub := range []string{"root", "state", "run"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil {
			return nil, err
		}
	}
	h := &Host{dir: dir}
	r := Release{
		Driver:   cmp.Or(o.Release.Driver, p.Releases[0].Driver),
		Firmware: cmp.Or(o.Release.Firmware, p.Releases[0].Firmware),
	}
	s := State{
		Model: m, Place: o.Place, ServerID: o.ServerID, Arch: cmp.Or(o.Arch, machineArch()),
		HotReset: o.HotReset, Pace: cmp.Or(o.Pace, 200*time.Millisecond),
		Power: On, Boots: 1, Installed: r, InstallForAll: o.InstallForAll, Complete: true,
	}
	s.Seed = fmt.Sprintf("%s|%s|%d", dir, o.ServerID, o.Seed)
	s.BootID = s.bootID()
	if o.Place == VM {
		s.Installed.Firmware = "" // the hypervisor's host installs it; the chips run it
	}
	if o.Sparse {
		p.NPUs = odd(p.NPUs)
	}
	s.Chips = p.chips(r)
	if o.Cards > 0 && o.Cards < len(p.NPUs) {
		first := p.NPUs[len(p.NPUs)-o.Cards]
		s.Chips = s.Chips[slices.IndexFunc(s.Chips, func(c Chip) bool { return c.NPU == first }):]
	}
	if o.Bare {
		s.Installed, s.Complete = Release{}, false
		for i := range s.Chips {
			s.Chips[i].Running.Driver = ""
		}
	}
	unlock, err := h.lock()
	if err != nil {
		return nil, err
	}
	defer unlock()
	return h, errors.Join(h.writeFixed(s, o.Binary), h.commit(s))
}

// Open gives access to a host that New built earlier, perhaps in another process.
func Open(dir string) (*Host, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	h := &Host{dir: dir}
	_, err = h.State()
	return h, err
}

// Dir is the host's folder.
func (h *Host) Dir() string { return h.dir }

// Root is what would be / on a real host: the agent's host.root.
func (h *Host) Root() string { return filepath.Join(h.dir, "root") }

// Path is a file of the host, given as it would be named on a real one.
func (h *Host) Path(name string) string { return filepath.Join(h.Root(), name) }

// BootIDFile is the agent's host.boot_id_file.
func (h *Host) BootIDFile() string { return h.Path("/proc/sys/kernel/random/boot_id") }

// RebootCommand is the agent's host.reboot_command.
func (h *Host) RebootCommand() []string { return []string{h.Path("/sbin/reboot")} }

// SearchPath is a value of PATH in which the host's tools come before this machine's.
func (h *Host) SearchPath() string {
	var dirs []string
	for _, d := range []string{"/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin"} {
		dirs = append(dirs, h.Path(d))
	}
	return strings.Join(append(dirs, os.Getenv("PATH")), ":")
}

// bootID is a boot id in the kernel's form that depends on the host and its boot count only.
func (s State) bootID() string { return uuid(fmt.Sprintf("%s|boot %d", s.Seed, s.Boots)) }

func uuid(seed string) string {
	b := sha256.Sum256([]byte(seed))
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[0:4], b[4:6], b[6:8], b[8:10], b[10:16])
}

// machineArch is this machine's uname -m.
func machineArch() string {
	switch runtime.GOARCH {
	case "amd64":
		return "x86_64"
	case "arm64":
		return "aarch64"
	}
	return runtime.GOARCH
}

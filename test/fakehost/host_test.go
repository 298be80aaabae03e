package fakehost_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"devserver-agent/test/fakehost"
)

func TestMain(m *testing.M) { os.Exit(fakehost.Main(m)) }

func read(t *testing.T, h *fakehost.Host, path string) string {
	t.Helper()
	raw, err := os.ReadFile(h.Path(path))
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

func absent(h *fakehost.Host, path string) bool {
	_, err := os.Lstat(h.Path(path))
	return errors.Is(err, fs.ErrNotExist)
}

func state(t *testing.T, h *fakehost.Host) fakehost.State {
	t.Helper()
	s, err := h.State()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestEveryModelHasItsDevicesAndVersions(t *testing.T) {
	tests := []struct {
		model    fakehost.Model
		device   string
		chips    int
		npus     []int
		versions fakehost.Release
	}{
		{fakehost.A2, "0xd802", 8, []int{0, 1, 2, 3, 4, 5, 6, 7}, fakehost.Release{Driver: "24.1.0", Firmware: "7.5.0.2.220"}},
		{fakehost.A3, "0xd803", 16, []int{0, 1, 2, 3, 4, 5, 6, 7}, fakehost.Release{Driver: "24.1.rc3.9", Firmware: "7.5.0.108.220"}},
		{fakehost.P310, "0xd500", 2, []int{8, 16}, fakehost.Release{Driver: "24.1.0.1", Firmware: "7.5.0.5.220"}},
		{fakehost.Duo310P, "0xd500", 4, []int{8, 16}, fakehost.Release{Driver: "24.1.0.1", Firmware: "7.5.0.5.220"}},
		{fakehost.B310, "0xd107", 1, []int{0}, fakehost.Release{Driver: "23.0.0", Firmware: "7.1.0.3.220"}},
	}
	for _, tt := range tests {
		t.Run(string(tt.model), func(t *testing.T) {
			h := fakehost.ForTest(t, tt.model, fakehost.Options{ServerID: "s1"})
			s := state(t, h)
			if len(s.Chips) != tt.chips || !cmp.Equal(s.Profile().NPUs, tt.npus) || s.Running() != tt.versions {
				t.Errorf("%d chips on %v running %v, want %d on %v running %v", len(s.Chips), s.Profile().NPUs, s.Running(), tt.chips, tt.npus, tt.versions)
			}
			devices, err := filepath.Glob(h.Path("/sys/bus/pci/devices/*/device"))
			must(t, err)
			for _, path := range devices {
				raw, err := os.ReadFile(path)
				must(t, err)
				if string(raw) != tt.device+"\n" {
					t.Errorf("%s says %q, want %s", path, raw, tt.device)
				}
			}
			nodes, err := filepath.Glob(h.Path("/dev/davinci[0-9]*"))
			must(t, err)
			if len(devices) != tt.chips || len(nodes) != tt.chips {
				t.Errorf("%d PCI devices and %d nodes, want %d of each", len(devices), len(nodes), tt.chips)
			}
			info := read(t, h, "/usr/local/Ascend/driver/version.info")
			if !strings.HasPrefix(info, "Version="+tt.versions.Driver+"\n") {
				t.Errorf("the driver's version.info begins with %.40q, want version %s", info, tt.versions.Driver)
			}
			if id := read(t, h, "/proc/sys/kernel/random/boot_id"); id != s.BootID+"\n" {
				t.Errorf("boot_id is %q, the state says %s", id, s.BootID)
			}
		})
	}
}

func TestNewRefusesWhatItCannotBuild(t *testing.T) {
	binary := fakehost.Binary(t)
	full := t.TempDir()
	must(t, os.WriteFile(filepath.Join(full, "x"), nil, 0o644))
	tests := map[string]func() error{
		"an unknown model":        func() error { _, err := fakehost.New(t.TempDir(), "A9", fakehost.Options{Binary: binary}); return err },
		"no binary":               func() error { _, err := fakehost.New(t.TempDir(), fakehost.A2, fakehost.Options{}); return err },
		"a folder that is in use": func() error { _, err := fakehost.New(full, fakehost.A2, fakehost.Options{Binary: binary}); return err },
		"opening what is no host": func() error { _, err := fakehost.Open(full); return err },
		"a fault nobody knows":    func() error { return fakehost.ForTest(t, fakehost.A2, fakehost.Options{}).SetFault("card_sad") },
		"an argument nobody knows": func() error {
			return fakehost.ForTest(t, fakehost.A2, fakehost.Options{}).SetFault(fakehost.CardLost, "colour=red")
		},
	}
	for name, try := range tests {
		if err := try(); err == nil {
			t.Errorf("%s is no error", name)
		}
	}
}

func TestABareHostHasNoDriver(t *testing.T) {
	h := fakehost.ForTest(t, fakehost.A2, fakehost.Options{Bare: true})
	for _, path := range []string{
		"/usr/local/sbin/npu-smi", "/usr/local/Ascend/driver/version.info", "/usr/local/Ascend/firmware/version.info",
		"/etc/ascend_install.info", "/dev/davinci0", "/dev/davinci_manager",
	} {
		if !absent(h, path) {
			t.Errorf("a bare host has %s", path)
		}
	}
	if absent(h, "/sys/bus/pci/devices/0000:c1:00.0/device") {
		t.Error("a bare host has no PCI devices")
	}
}

func TestFilesFollowFaults(t *testing.T) {
	h := fakehost.ForTest(t, fakehost.A2, fakehost.Options{})
	const info = "/usr/local/Ascend/firmware/version.info"
	whole := read(t, h, info)
	must(t, h.SetFault(fakehost.CardLost, "card=1"))
	must(t, h.SetFault(fakehost.BusyProcess, "card=2", "pid=777", "name=vllm"))
	must(t, h.SetFault(fakehost.VersionInfoMissing, "kind=driver"))
	must(t, h.SetFault(fakehost.VersionInfoDamaged, "kind=firmware"))
	for _, path := range []string{"/sys/bus/pci/devices/0000:01:00.0", "/dev/davinci1", "/usr/local/Ascend/driver/version.info"} {
		if !absent(h, path) {
			t.Errorf("%s is there in spite of the fault", path)
		}
	}
	if got := read(t, h, info); got == whole || strings.Contains(got, "220") {
		t.Errorf("the damaged version.info is %q", got)
	}
	if link, err := os.Readlink(h.Path("/proc/777/fd/4")); err != nil || link != "/dev/davinci2" {
		t.Errorf("the busy process's fd 4 is %q, %v, want /dev/davinci2", link, err)
	}
	if comm := read(t, h, "/proc/777/comm"); comm != "vllm\n" {
		t.Errorf("the busy process is %q", comm)
	}
	for f := range state(t, h).Faults {
		must(t, h.ClearFault(f))
	}
	if got := read(t, h, info); got != whole {
		t.Errorf("after the fault version.info is %q, was %q", got, whole)
	}
	if absent(h, "/dev/davinci1") || absent(h, "/usr/local/Ascend/driver/version.info") || !absent(h, "/proc/777") {
		t.Error("the files do not come back when the faults are cleared")
	}
}

func TestEveryFaultIsDescribedOnce(t *testing.T) {
	seen := map[fakehost.Fault]bool{}
	for _, f := range fakehost.Faults() {
		if seen[f.Fault] || f.What == "" || strings.Contains(f.What, "\n") {
			t.Errorf("fault %s is described twice, not at all or in several lines", f.Fault)
		}
		seen[f.Fault] = true
	}
}

func TestManyChangesAtOnceAreAllKept(t *testing.T) {
	h := fakehost.ForTest(t, fakehost.P310, fakehost.Options{})
	const writers = 16
	errs := make(chan error)
	for range writers {
		go func() {
			errs <- h.Update(func(s *fakehost.State) error { s.Inits++; return nil })
		}()
	}
	for range writers {
		must(t, <-errs)
	}
	if got := state(t, h).Inits; got != writers {
		t.Errorf("%d of %d changes are left", got, writers)
	}
}

func TestARebootWithoutInitMakesPendingRun(t *testing.T) {
	next := fakehost.Release{Driver: "24.1.0.3", Firmware: "7.5.0.5.220"}
	tests := []struct {
		name   string
		faults map[fakehost.Fault][]string
		want   fakehost.Release
		cards  int
	}{
		{"healthy", nil, next, 8},
		{"the old version stays", map[fakehost.Fault][]string{fakehost.VersionStaysOld: nil}, fakehost.Release{Driver: "24.1.0", Firmware: "7.5.0.2.220"}, 8},
		{"the old firmware stays", map[fakehost.Fault][]string{fakehost.VersionStaysOld: {"kind=firmware"}}, fakehost.Release{Driver: "24.1.0.3", Firmware: "7.5.0.2.220"}, 8},
		{"a card is gone", map[fakehost.Fault][]string{fakehost.CardGoneAfterReboot: {"card=3"}}, next, 7},
		{"a broken driver is repaired", map[fakehost.Fault][]string{fakehost.DriverDown: {"until=install"}}, next, 8},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := fakehost.ForTest(t, fakehost.A2, fakehost.Options{})
			must(t, h.Update(func(s *fakehost.State) error { s.Installed, s.Pending = next, next; return nil }))
			for f, args := range tt.faults {
				must(t, h.SetFault(f, args...))
			}
			before := state(t, h)
			must(t, h.Reboot())
			s := state(t, h)
			if s.Running() != tt.want || len(s.Visible()) != tt.cards {
				t.Errorf("%d cards run %v, want %d with %v", len(s.Visible()), s.Running(), tt.cards, tt.want)
			}
			if s.BootID == before.BootID || s.Boots != 2 || !strings.HasPrefix(read(t, h, "/proc/sys/kernel/random/boot_id"), s.BootID) {
				t.Errorf("boot %d has the id %s, before it was %s", s.Boots, s.BootID, before.BootID)
			}
			if _, down := s.Fault(fakehost.DriverDown); down {
				t.Error("driver_down until=install outlives an installation")
			}
		})
	}
}

func TestInRanges(t *testing.T) {
	tests := []struct {
		version, ranges string
		want            bool
	}{
		{"7.5.0.5.220", "[7.0.0,7.2.99],[7.5.0,7.5.99]", true},
		{"7.3.0.1.220", "[7.0.0,7.2.99],[7.5.0,7.5.99]", false},
		{"7.2.99", "[7.0.0,7.2.99]", true},
		{"23.0.RC3", "[23.0.rc3,23.0.rc3.]", true},
		{"24.1.rc3.10", "[24.1.rc3.9,24.1.rc3.11]", true},
		{"24.1.0", "[24.1.rc3,24.1.rc4]", false},
		{"1.0", "", true},
	}
	for _, tt := range tests {
		if got := fakehost.InRanges(tt.version, tt.ranges); got != tt.want {
			t.Errorf("InRanges(%q, %q) = %v, want %v", tt.version, tt.ranges, got, tt.want)
		}
	}
}

package facts

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"golang.org/x/sys/unix"

	"devserver-agent/protocol"
)

// host writes a host's files below a new folder.
func host(t testing.TB, files map[string]string) (root string) {
	t.Helper()
	root = t.TempDir()
	for name, text := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// a2 is a host with two A2 chips, one chip of a family to come, and a network
// card of Huawei's.
func a2() map[string]string {
	return map[string]string{
		"proc/sys/kernel/hostname":             "a2-host\n",
		"proc/sys/kernel/osrelease":            "5.10.0-216.0.0.115.oe2203sp4.aarch64\n",
		"proc/stat":                            "cpu  1 2 3\nbtime 1755005748\nprocesses 7\n",
		"proc/meminfo":                         "MemTotal:       1583964160 kB\nMemFree:        1480211456 kB\n",
		"etc/os-release":                       "NAME=\"openEuler\"\nVERSION=\"22.03 (LTS-SP4)\"\nPRETTY_NAME=\"openEuler 22.03 (LTS-SP4)\"\n",
		"sys/devices/system/cpu/online":        "0-191\n",
		"sys/bus/pci/devices/c1/vendor":        "0x19e5\n",
		"sys/bus/pci/devices/c1/device":        "0xd802\n",
		"sys/bus/pci/devices/c2/vendor":        "0x19e5\n",
		"sys/bus/pci/devices/c2/device":        "0xd802\n",
		"sys/bus/pci/devices/c3/vendor":        "0x19e5\n",
		"sys/bus/pci/devices/c3/device":        "0xd90f\n",
		"sys/bus/pci/devices/c3/class":         "0x120000\n",
		"sys/bus/pci/devices/0000:06:0/vendor": "0x19e5\n",
		"sys/bus/pci/devices/0000:06:0/device": "0x0222\n",
		"sys/bus/pci/devices/0000:06:0/class":  "0x020000\n",
	}
}

func TestCollect(t *testing.T) {
	base := protocol.Facts{ServerID: "a2", AgentVersion: "1.0.0", BootID: "b", Held: true}
	got, err := Collect(t.Context(), host(t, a2()), base)
	if err != nil {
		t.Fatal(err)
	}
	if age := time.Since(time.UnixMilli(got.At)); age < 0 || age > time.Minute {
		t.Errorf("facts were taken at %d", got.At)
	}
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		t.Fatal(err)
	}
	want := base
	want.Hostname, want.OS, want.Kernel = "a2-host", "openEuler 22.03 (LTS-SP4)", "5.10.0-216.0.0.115.oe2203sp4.aarch64"
	want.Arch = unix.ByteSliceToString(name.Machine[:])
	want.CPUs, want.MemoryBytes = 192, 1583964160<<10
	want.BootedAt = 1755005748000
	want.NPUs = []string{"910b", "910b", "0xd90f"}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(protocol.Facts{}, "At")); diff != "" {
		t.Errorf("facts (-want +got):\n%s", diff)
	}
}

func TestCollectOfAHostWithoutFiles(t *testing.T) {
	got, err := Collect(t.Context(), t.TempDir(), protocol.Facts{ServerID: "bare"})
	if err != nil {
		t.Fatal(err)
	}
	want := protocol.Facts{ServerID: "bare", Arch: got.Arch, At: got.At}
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("facts (-want +got):\n%s", diff)
	}
}

func TestCollectGoesOnPastWhatItCannotRead(t *testing.T) {
	files := a2()
	files["proc/stat"] = "btime soon\n"
	files["sys/devices/system/cpu/online"] = "all\n"
	files["sys/bus/pci/devices/c1/device"] = "nonsense\n"
	delete(files, "proc/sys/kernel/osrelease")
	files["proc/sys/kernel/osrelease/x"] = "" // a folder where a file should be
	got, err := Collect(t.Context(), host(t, files), protocol.Facts{})
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"/proc/stat: btime", `"all" is not a list of CPUs`, "nonsense", "/proc/sys/kernel/osrelease"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in the error:\n%v", want, err)
		}
	}
	if got.Hostname != "a2-host" || got.MemoryBytes == 0 || got.BootedAt != 0 || got.CPUs != 0 {
		t.Errorf("facts are %+v", got)
	}
}

func TestDigestTellsWhatChanged(t *testing.T) {
	base := protocol.Facts{ServerID: "a", BootID: "b", NPUs: []string{"910b"}, BootedAt: 1, At: 1}
	digest := func(change func(*protocol.Facts)) string {
		f := base
		change(&f)
		d, err := Digest(f)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	same := digest(func(*protocol.Facts) {})
	for name, tc := range map[string]struct {
		change func(*protocol.Facts)
		equal  bool
	}{
		"later":          {func(f *protocol.Facts) { f.At = 2 }, true},
		"clock was set":  {func(f *protocol.Facts) { f.BootedAt = 2 }, true},
		"another boot":   {func(f *protocol.Facts) { f.BootID = "c" }, false},
		"a chip is lost": {func(f *protocol.Facts) { f.NPUs = nil }, false},
		"held":           {func(f *protocol.Facts) { f.Held = true }, false},
	} {
		if got := digest(tc.change) == same; got != tc.equal {
			t.Errorf("%s: equal is %t", name, got)
		}
	}
}

func TestMachine(t *testing.T) {
	machine := func(id, uuid string) string {
		files := fstest.MapFS{}
		if id != "" {
			files["etc/machine-id"] = &fstest.MapFile{Data: []byte(id + "\n")}
		}
		if uuid != "" {
			files["sys/class/dmi/id/product_uuid"] = &fstest.MapFile{Data: []byte(uuid + "\n")}
		}
		m, err := Machine(files)
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	const id, uuid = "0123456789abcdef0123456789abcdef", "4c4c4544-0031-5910-8052-b4c04f4e4d32"
	both := machine(id, uuid)
	if strings.Contains(both, id) || strings.Contains(both, uuid) {
		t.Errorf("an id is shown: %s", both)
	}
	for name, other := range map[string]string{
		"another disk":  machine("f"+id[1:], uuid),
		"another board": machine(id, "5"+uuid[1:]),
		"no board id":   machine(id, ""),
		"nothing":       machine("", ""),
	} {
		if other == both {
			t.Errorf("%s is the same machine", name)
		}
	}
	if got := machine(id, strings.ToUpper(uuid)); got != both {
		t.Errorf("case of the board's id matters: %s, %s", both, got)
	}
	for _, placeholder := range []string{"00000000-0000-0000-0000-000000000000", "FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF"} {
		if got, want := machine(id, placeholder), machine(id, ""); got != want {
			t.Errorf("board %s counts: %s", placeholder, got)
		}
	}
	if got := machine("uninitialized", ""); got != "" {
		t.Errorf("an image that was never booted is %s", got)
	}
}

func TestBootID(t *testing.T) {
	root := host(t, map[string]string{"boot_id": "61be1dfb-1f0d-4d1d-9a5b-3a7a3c2d7a36\n", "empty": "\n", "long": strings.Repeat("x", 200)})
	if id, err := BootID(filepath.Join(root, "boot_id")); err != nil || id != "61be1dfb-1f0d-4d1d-9a5b-3a7a3c2d7a36" {
		t.Errorf("boot id %q, %v", id, err)
	}
	if id, err := BootID("/proc/sys/kernel/random/boot_id"); err != nil || len(id) != 36 {
		t.Errorf("this host's boot id is %q, %v", id, err)
	}
	for _, name := range []string{"empty", "long", "none"} {
		if id, err := BootID(filepath.Join(root, name)); err == nil || !strings.Contains(err.Error(), "host.boot_id_file") {
			t.Errorf("%s: boot id %q, %v", name, id, err)
		}
	}
}

func TestOSReleaseNames(t *testing.T) {
	for name, tc := range map[string]struct{ text, want string }{
		"a pretty name":            {"ID=x\nPRETTY_NAME=\"openEuler 22.03 (LTS-SP4)\"\n", "openEuler 22.03 (LTS-SP4)"},
		"no pretty name":           {"NAME=HCE\nVERSION='2.0 (x86_64)'\n", "HCE 2.0 (x86_64)"},
		"escaped characters":       {`PRETTY_NAME="a \"b\" \$c \\d"`, `a "b" $c \d`},
		"a comment and blank line": {"# x\n\nPRETTY_NAME=Debian\n", "Debian"},
		"nothing":                  {"", ""},
	} {
		if got := parseOSRelease(tc.text); got != tc.want {
			t.Errorf("%s: %q, want %q", name, got, tc.want)
		}
	}
}

func TestCPULists(t *testing.T) {
	for list, want := range map[string]int{"0": 1, "0-3": 4, "0-63,72,80-81": 67} {
		if got, err := countCPUs(list); err != nil || got != want {
			t.Errorf("%s: %d, %v; want %d", list, got, err, want)
		}
	}
	for _, list := range []string{"", "-", "3-1", "0-x", "0,,1", "-1", "0-65535,0-65535"} {
		if got, err := countCPUs(list); err == nil {
			t.Errorf("%q: %d", list, got)
		}
	}
}

func FuzzHostFiles(f *testing.F) {
	for _, text := range []string{"0-3,5\n", "PRETTY_NAME=\"x\\\"\"\n", "btime 1755005748\n", "btime -1\n", "\n\n", "0x19e5"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		data := &fstest.MapFile{Data: []byte(text)}
		files := fstest.MapFS{"proc/stat": data, "etc/os-release": data, "sys/devices/system/cpu/online": data, "etc/machine-id": data}
		if at, err := bootedAt(files); at < 0 || (err != nil && at != 0) {
			t.Errorf("booted at %d, %v", at, err)
		}
		if n, err := cpus(files); n < 0 || n > 1<<16 || (err != nil && n != 0) {
			t.Errorf("%d CPUs, %v", n, err)
		}
		name, err := osName(files)
		if err != nil || strings.Contains(name, "\n") {
			t.Errorf("OS is %q, %v", name, err)
		}
		m, err := Machine(files)
		if err != nil || (m != "" && !strings.HasPrefix(m, "os:")) {
			t.Errorf("machine is %q, %v", m, err)
		}
	})
}

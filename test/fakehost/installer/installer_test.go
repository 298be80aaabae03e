package installer_test

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"devserver-agent/test/fakehost"
)

var (
	from = fakehost.Release{Driver: "24.1.0", Firmware: "7.5.0.2.220"}
	to   = fakehost.Release{Driver: "24.1.0.3", Firmware: "7.5.0.5.220"}
)

// packages are built once: name to path of a real archive.
var packages = sync.OnceValues(func() (map[string]string, error) {
	dir, err := os.MkdirTemp("", "fakehost-packages-*")
	if err != nil {
		return nil, err
	}
	cleanup = func() { os.RemoveAll(dir) }
	pair, err := to.Packages(fakehost.A2)
	if err != nil {
		return nil, err
	}
	odd := pair[0]
	odd.Version, odd.Requires = "24.1.0.9", "[1.0.0,1.9.99]"
	foreign := pair[0]
	foreign.Arch = "riscv64"
	soc := fakehost.Package{Kind: fakehost.Driver, Chip: "310b", Version: "24.1.0"}
	built, err := fakehost.BuildPackages(dir, append(pair, odd, foreign, soc))
	if err != nil {
		return nil, err
	}
	found := map[string]string{}
	for i, name := range []string{"driver", "firmware", "odd", "foreign", "soc"} {
		found[name] = built[i].Path
	}
	return found, nil
})

var cleanup = func() {}

func TestMain(m *testing.M) {
	status := fakehost.Main(m)
	cleanup()
	os.Exit(status)
}

// install runs a package on the host as an agent would and returns exit code and output.
func install(t *testing.T, h *fakehost.Host, name, stdin string, args ...string) (int, string) {
	t.Helper()
	cmd := command(t, h, name, args...)
	cmd.Stdin = strings.NewReader(stdin)
	var out bytes.Buffer
	cmd.Stdout = &out
	err := cmd.Run()
	var ended *exec.ExitError
	if err != nil && !errors.As(err, &ended) {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), out.String()
}

func command(t *testing.T, h *fakehost.Host, name string, args ...string) *exec.Cmd {
	t.Helper()
	found, err := packages()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(found[name], args...)
	cmd.Env = append(os.Environ(), "PATH="+h.SearchPath(), "TMPDIR="+t.TempDir())
	return cmd
}

func host(t *testing.T, o fakehost.Options) *fakehost.Host {
	t.Helper()
	if o.Pace == 0 {
		o.Pace = 10 * time.Millisecond
	}
	return fakehost.ForTest(t, fakehost.A2, o)
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

func changes(t *testing.T, h *fakehost.Host) int {
	t.Helper()
	journal, err := h.Events()
	must(t, err)
	return len(journal.Of(fakehost.KindChange, ""))
}

func TestOneInstallation(t *testing.T) {
	const wait = "Reboot needed for installation/upgrade to take effect! "
	tests := []struct {
		name      string
		pkg       string
		args      string
		options   fakehost.Options
		fault     fakehost.Fault
		faultArgs []string
		stdin     string
		status    int
		says      string
		installed fakehost.Release
		running   fakehost.Release
		untouched bool
	}{
		{name: "an upgrade of the driver needs a reboot", pkg: "driver", args: "--quiet --upgrade", status: 2, says: "[INFO]Driver package installed successfully! " + wait,
			installed: fakehost.Release{Driver: to.Driver, Firmware: from.Firmware}, running: from},
		{name: "a hot reset makes the upgrade take effect", pkg: "driver", args: "--upgrade --quiet", options: fakehost.Options{HotReset: true},
			says:      "[INFO]Driver package upgraded successfully! The new version takes effect immediately. ",
			installed: fakehost.Release{Driver: to.Driver, Firmware: from.Firmware}, running: fakehost.Release{Driver: to.Driver, Firmware: from.Firmware}},
		{name: "force forgoes the hot reset", pkg: "driver", args: "--upgrade --quiet --force", options: fakehost.Options{HotReset: true}, status: 2, says: wait,
			installed: fakehost.Release{Driver: to.Driver, Firmware: from.Firmware}, running: from},
		{name: "a first driver runs at once", pkg: "driver", args: "--nox11 --full --quiet", options: fakehost.Options{Bare: true},
			says:      "[INFO]Driver package installed successfully! The new version takes effect immediately. ",
			installed: fakehost.Release{Driver: to.Driver}, running: fakehost.Release{Driver: to.Driver, Firmware: from.Firmware}},
		{name: "firmware exits with 0 and still waits for a reboot", pkg: "firmware", args: "--quiet --upgrade", says: "The firmware of [8] chips are successfully upgraded.",
			installed: fakehost.Release{Driver: from.Driver, Firmware: to.Firmware}, running: from},
		{name: "firmware needs a driver that runs", pkg: "firmware", args: "--quiet --full", options: fakehost.Options{Bare: true}, status: 1, untouched: true,
			says: "The driver is not running", running: fakehost.Release{Firmware: from.Firmware}},
		{name: "firmware needs a driver that answers", pkg: "firmware", args: "--quiet --upgrade", fault: fakehost.DriverDown, status: 1, untouched: true,
			says: "The driver is not running", installed: from, running: from},
		{name: "another architecture", pkg: "foreign", args: "--quiet --upgrade", status: 1, untouched: true, says: "Arch mismatch, src package is riscv64", installed: from, running: from},
		{name: "another chip", pkg: "soc", args: "--quiet --full", status: 1, untouched: true,
			says: "The current installation package and environment is not match, please check.", installed: from, running: from},
		{name: "two kinds of installation", pkg: "driver", args: "--full --upgrade", status: 1, untouched: true, says: "ERR_NO:0x0004;ERR_DES:", installed: from, running: from},
		{name: "install-for-all does not go with upgrade", pkg: "driver", args: "--upgrade --install-for-all", status: 1, untouched: true, says: "ERR_NO:0x0004", installed: from, running: from},
		{name: "a user does not come without a group", pkg: "driver", args: "--full --install-username=u", status: 1, untouched: true, says: "ERR_NO:0x0004", installed: from, running: from},
		{name: "an unknown user", pkg: "driver", args: "--full --install-username=u --install-usergroup=g", status: 1, untouched: true,
			says: "ERR_NO:0x0091;ERR_DES:u not exists! Please add u", installed: from, running: from},
		{name: "a busy process", pkg: "driver", args: "--quiet --upgrade", fault: fakehost.BusyProcess, status: 1, untouched: true,
			says: "The davinci nodes are occupied by some processes", installed: from, running: from},
		{name: "force passes a busy container", pkg: "driver", args: "--quiet --upgrade --force", fault: fakehost.BusyContainer, status: 2, says: wait,
			installed: fakehost.Release{Driver: to.Driver, Firmware: from.Firmware}, running: from},
		{name: "no space", pkg: "driver", args: "--quiet --upgrade", fault: fakehost.DiskFull, status: 1, untouched: true,
			says: "free space only 12M, cannot install driver package", installed: from, running: from},
		{name: "ranges that do not match are a warning when quiet", pkg: "odd", args: "--quiet --upgrade", status: 2, says: "version relationship check fail",
			installed: fakehost.Release{Driver: "24.1.0.9", Firmware: from.Firmware}, running: from},
		{name: "the answer n installs nothing and exits with 0", pkg: "odd", args: "--upgrade", stdin: "n\n", untouched: true, says: "installation Stoped!", installed: from, running: from},
		{name: "no answer installs nothing and exits with 0", pkg: "odd", args: "--upgrade", untouched: true,
			says: "driver required firmware version not match ,do you want to continue?  [y/n]", installed: from, running: from},
		{name: "the answer y goes on", pkg: "odd", args: "--upgrade", stdin: "y\n", status: 2, says: wait,
			installed: fakehost.Release{Driver: "24.1.0.9", Firmware: from.Firmware}, running: from},
		{name: "an installer that stops in spite of quiet", pkg: "firmware", args: "--quiet --upgrade", fault: fakehost.InstallStops, untouched: true,
			says: "installation Stoped!", installed: from, running: from},
		{name: "a failure in between leaves no driver", pkg: "driver", args: "--quiet --upgrade", fault: fakehost.InstallFailsAt, faultArgs: []string{"percent=40"}, status: 1,
			says: "Failed to upgrade driver package, please retry after uninstall and reboot!", installed: fakehost.Release{Firmware: from.Firmware}, running: from},
		{name: "a failure of the first step too", pkg: "driver", args: "--quiet --upgrade", fault: fakehost.InstallFailsAt, faultArgs: []string{"percent=10"}, status: 1,
			says: "Drv_dkms_env_check failed, details in : /var/log/ascend_seclog/ascend_install.log", installed: fakehost.Release{Firmware: from.Firmware}, running: from},
		{name: "a fault of the other kind", pkg: "driver", args: "--quiet --upgrade", fault: fakehost.InstallFailsAt, faultArgs: []string{"kind=firmware"}, status: 2, says: wait,
			installed: fakehost.Release{Driver: to.Driver, Firmware: from.Firmware}, running: from},
		{name: "version", pkg: "driver", args: "--version", untouched: true, says: to.Driver, installed: from, running: from},
		{name: "check", pkg: "driver", args: "--check", untouched: true, says: "All good.", installed: from, running: from},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			h := host(t, tt.options)
			if tt.fault != "" {
				must(t, h.SetFault(tt.fault, tt.faultArgs...))
			}
			status, out := install(t, h, tt.pkg, tt.stdin, strings.Fields(tt.args)...)
			if status != tt.status || !strings.Contains(out, tt.says) {
				t.Errorf("exit code %d, want %d, and want the text %q in\n%s", status, tt.status, tt.says, out)
			}
			s := state(t, h)
			if s.Installed != tt.installed || s.Running() != tt.running {
				t.Errorf("installed %v, running %v, want %v and %v", s.Installed, s.Running(), tt.installed, tt.running)
			}
			if (changes(t, h) == 0) != tt.untouched {
				t.Errorf("the installer went on to alter the host %d times", changes(t, h))
			}
		})
	}
}

func TestOutputHasTheVendorsForms(t *testing.T) {
	h := host(t, fakehost.Options{})
	_, driver := install(t, h, "driver", "", "--upgrade", "--quiet")
	for _, form := range []string{
		`(?m)^Verifying archive integrity\.\.\.`, `(?m)^Uncompressing ASCEND-HDK-910B-NPU DRIVER RUN PACKAGE`,
		`(?m)^\[Driver\] \[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\] \[INFO\]Start time: `, `\[INFO\]base version is 24\.1\.0\.`,
		`\[INFO\]driver install type: DKMS`, `upgradePercentage:10%`, `upgradePercentage:100%`, `\[INFO\]End time: `,
	} {
		if !regexp.MustCompile(form).MatchString(driver) {
			t.Errorf("the driver's output has no %s:\n%s", form, driver)
		}
	}
	_, again := install(t, h, "driver", "", "--quiet")
	if !strings.Contains(again, "[ERROR]\x1b[31mERR_NO:0x0004;") || !strings.Contains(again, "\x1b[0m\n") {
		t.Errorf("an error has no colour: %q", again)
	}
	_, firmware := install(t, h, "firmware", "", "--upgrade", "--quiet")
	if !strings.Contains(firmware, "upgradePercentage: 0%") {
		t.Errorf("the firmware's progress has another form:\n%s", firmware)
	}
	log, err := os.ReadFile(h.Path("/var/log/ascend_seclog/ascend_install.log"))
	must(t, err)
	if bytes.Contains(log, []byte("\x1b")) || !bytes.Contains(log, []byte("[Firmware]")) {
		t.Errorf("ascend_install.log has colours or lacks the firmware:\n%s", log)
	}
	operation, err := os.ReadFile(h.Path("/var/log/ascend_seclog/operation.log"))
	must(t, err)
	if !regexp.MustCompile(`(?m)^Upgrade MINOR root .* 127\.0\.0\.1 \S+\.run success cmdlist=--upgrade --quiet$`).Match(operation) {
		t.Errorf("operation.log:\n%s", operation)
	}
}

func TestInstallForAllIsWrittenDownAndUnknownTo310B(t *testing.T) {
	h := host(t, fakehost.Options{})
	if status, out := install(t, h, "driver", "", "--full", "--quiet", "--install-for-all"); status != 2 {
		t.Fatalf("exit code %d\n%s", status, out)
	}
	info, err := os.ReadFile(h.Path("/etc/ascend_install.info"))
	must(t, err)
	if !bytes.Contains(info, []byte("Driver_Install_For_All=yes\n")) {
		t.Errorf("ascend_install.info:\n%s", info)
	}
	soc := fakehost.ForTest(t, fakehost.B310, fakehost.Options{})
	status, out := install(t, soc, "soc", "", "--full", "--quiet", "--install-for-all")
	if status != 1 || !strings.Contains(out, "--install-for-all") || changes(t, soc) != 0 {
		t.Errorf("exit code %d\n%s", status, out)
	}
}

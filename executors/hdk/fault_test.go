package hdk_test

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"devserver-agent/executors"
	"devserver-agent/executors/hdk/repository"
	"devserver-agent/protocol"
	"devserver-agent/test/fakehost"
	"devserver-agent/test/hosttest"
	"devserver-agent/test/support/golden"
	"devserver-agent/test/support/plainwords"
)

// symptom is one thing that goes wrong during an upgrade of an A2 from 24.1.0 to
// 24.1.0.3, and what must come of it.
type symptom struct {
	name     string // as the page has it
	faults   []fault
	prepare  func(r *rig)
	spec     executors.Spec // beside version
	noReboot bool
	code     protocol.Code // "" with success
	says     string        // part of the message
	prints   string        // part of the output
}

func one(name fakehost.Fault, args ...string) []fault { return []fault{{name, args}} }

var symptoms = append([]symptom{
	{name: "A card has an alarm", faults: one(fakehost.CardAlarm), code: protocol.HDKCardUnhealthy, says: "card 7: chip 0 Alarm (80E01801)"},
	{name: "A card's health cannot be read", faults: one(fakehost.NotSupported, "type=health"), code: protocol.HDKCardUnhealthy, says: "cards 0-7: not reported by npu-smi"},
	{name: "A process uses an NPU", faults: one(fakehost.BusyProcess), code: protocol.HDKInUse, says: "NPUs are in use by process 40213 (python3)"},
	{name: "A container uses an NPU", faults: one(fakehost.BusyContainer), code: protocol.HDKInUse, says: "in container 3f1c9a5d7e20"},
	{name: "A container was given an NPU and does not use it", faults: one(fakehost.BusyContainer), prepare: func(r *rig) { r.remove("proc/40977") }, code: protocol.HDKInUse, says: "container python3 (3f1c9a5d7e20)"},
	{name: "The device is in use, says the driver", faults: one(fakehost.DriverDown, "code=-8020"), code: protocol.HDKInUse, says: "dcmi -8020"},
	{name: "Another installer runs", prepare: func(r *rig) {
		r.write("proc/4711/cmdline", "/bin/sh\x00/root/Ascend-hdk-910b-npu-driver_25.5.2_linux-aarch64.run\x00--full\x00")
	}, code: protocol.HDKInstallerRunning, says: "process 4711"},
	{name: "The installer's user is missing", prepare: func(r *rig) { r.write("etc/passwd", "root:x:0:0::/root:/bin/sh\n") }, code: protocol.HDKUserMissing, says: "user HwHiAiUser is not in /etc/passwd"},
	{name: "Several things are wrong at once", faults: []fault{{fakehost.CardAlarm, nil}, {fakehost.BusyProcess, nil}},
		prepare: func(r *rig) { r.remove("etc/group") }, code: protocol.HDKCardUnhealthy, says: "in use by process 40213 (python3); the installer's group HwHiAiUser is not in /etc/group"},
	{name: "No repository is configured", prepare: func(r *rig) { r.upgrade.Source = nil }, code: protocol.HDKRepository, says: "no repository is configured"},
	{name: "The repository has no index", prepare: func(r *rig) { r.upgrade.Source = repository.Folder(r.TempDir()) }, code: protocol.HDKRepository, says: "index.json"},
	{name: "The repository has no such release", spec: executors.Spec{"version": "24.1.0.9"}, code: protocol.HDKPackageNotFound, says: "no release 24.1.0.9 (it has 24.1.0, "},
	{name: "The release has packages for other chips only", spec: executors.Spec{"version": "24.1.rc3.10"}, code: protocol.HDKPackageNotFound, says: "has no firmware for 910b"},
	{name: "The release has several firmwares", prepare: func(r *rig) {
		r.reindex(func(p *repository.Package) []repository.Package {
			other := *p
			other.Version, other.SHA256 = "7.5.0.6.220", strings.Repeat("0", 64)
			return []repository.Package{*p, other}
		})
	}, code: protocol.HDKPackageNotFound, says: "set firmware_version to one of 7.5.0.5.220, 7.5.0.6.220"},
	{name: "A package is in the index and not in the repository", prepare: func(r *rig) {
		r.reindex(func(p *repository.Package) []repository.Package {
			p.File, p.SHA256 = "gone.run", strings.Repeat("0", 64)
			return []repository.Package{*p}
		})
	}, code: protocol.HDKPackageNotFound, says: "gone.run is in the index and not in the repository"},
	{name: "A package is not what the index declares", prepare: func(r *rig) {
		r.reindex(func(p *repository.Package) []repository.Package {
			p.SHA256 = strings.Repeat("0", 64)
			return []repository.Package{*p}
		})
	}, code: protocol.HDKPackageDamaged, says: "its SHA-256 is"},
	{name: "There is no room for the packages", prepare: func(r *rig) {
		r.reindex(func(p *repository.Package) []repository.Package {
			p.Size = repository.MaxPackage
			return []repository.Package{*p}
		})
	}, code: protocol.HDKDiskSpace, says: "3145984 MiB are needed"},
	{name: "Driver and firmware do not go together", prepare: func(r *rig) {
		r.reindex(func(p *repository.Package) []repository.Package {
			p.Requires = "[23.0.0,23.0.7]"
			return []repository.Package{*p}
		})
	}, code: protocol.HDKVersionMismatch, says: "firmware 7.5.0.5.220 goes with driver [23.0.0,23.0.7] only, and 24.1.0.3 is planned"},
	{name: "No chip of a known family", prepare: func(r *rig) { r.remove("sys/bus/pci") }, faults: one(fakehost.NotSupported, "type=board"), code: protocol.HDKChipUnknown, says: "no Ascend chip"},
	{name: "The former versions are not in the repository, for a rollback", spec: executors.Spec{"rollback": "true"}, prepare: func(r *rig) {
		r.keepOnly("24.1.0.3")
	}, code: protocol.HDKPackageNotFound, says: "no firmware 7.5.0.2.220 for 910b"},

	{name: "The firmware's installer fails", faults: one(fakehost.InstallFailsAt, "kind=firmware"), code: protocol.HDKInstallFailed, says: "The installer of firmware 7.5.0.5.220 failed: Firmware package upgrade failed"},
	{name: "The driver's installer fails in the middle", faults: one(fakehost.InstallFailsAt, "kind=driver"), code: protocol.HDKInstallFailed, says: "The host was not restarted. Now: Driver: missing (no version.info) | Firmware: 7.5.0.5.220"},
	{name: "An installer stops without a failure", faults: one(fakehost.InstallStops, "kind=driver"), code: protocol.HDKInstallFailed, says: "it stopped without installing anything, with exit code 0"},
	{name: "An installer finds the disk full", faults: one(fakehost.DiskFull, "kind=firmware"), code: protocol.HDKInstallFailed, says: "free space only 12M"},
	{name: "An installer is slow", faults: one(fakehost.InstallSlow, "factor=5"), says: newA2},
	{name: "The driver's installer fails, with rollback", spec: executors.Spec{"rollback": "true"}, faults: one(fakehost.InstallFailsAt, "kind=driver", "times=1"), code: protocol.HDKRolledBack, says: "The host was brought back: " + oldA2},
	{name: "The installers fail, and so does the rollback", spec: executors.Spec{"rollback": "true"}, faults: one(fakehost.InstallFailsAt, "kind=driver"), code: protocol.HDKRollbackFailed, says: "The rollback failed too"},
	{name: "An installer is cut in the middle", prepare: func(r *rig) { r.host.Cut("install-driver") }, says: newA2},

	{name: "Another package is being installed, and the upgrade comes as rpm", faults: one(fakehost.PackagesLocked), prepare: func(r *rig) {
		r.stock(false, fakehost.Package{Kind: fakehost.Driver, Format: fakehost.RPM, Chip: "910b", Version: "24.1.0.3"}, fakehost.Package{Kind: fakehost.Firmware, Format: fakehost.RPM, Chip: "910b", Version: "7.5.0.5.220"})
	}, code: protocol.HDKInstallFailed, says: "can't create transaction lock"},
	{name: "A card's MCU takes no new image", faults: one(fakehost.MCUFails, "card=2"), spec: mcuVersion, prepare: stockMCU, code: protocol.HDKMCUFailed, says: "MCUs: cards 0-1: 25.50.10; cards 2-7: 23.3.13"},
	{name: "A card's MCU goes on with its old image", faults: one(fakehost.MCUStaysOld), spec: mcuVersion, prepare: stockMCU, code: protocol.HDKMCUFailed, says: "the MCU still runs 23.3.13"},
	{name: "MCUs are to be upgraded and the driver is down", faults: one(fakehost.DriverDown), spec: mcuVersion, prepare: stockMCU, code: protocol.HDKDriverDown, says: "upgrade without mcu_version first"},

	{name: "The task asks for no restart", noReboot: true, code: protocol.RebootRequired, says: "becomes active after a restart of the host"},
	{name: "The driver does not answer until the restart", faults: one(fakehost.DriverDownUntilReboot), says: newA2},
	{name: "The driver does not answer until a restart that is not asked for", faults: one(fakehost.DriverDownUntilReboot), noReboot: true, code: protocol.RebootRequired, says: "driver not running: dcmi -8005. Driver 24.1.0.3"},
	{name: "The driver is down, and stays so", faults: one(fakehost.DriverDown), code: protocol.HDKDriverDown, says: "The driver does not answer"},
	{name: "The restart boots another kernel", faults: one(fakehost.OtherKernel), code: protocol.HDKDriverDown, says: "Since the restart the kernel is 5.10.0-216.0.0.119.oe2203sp4, and the driver was built for 5.10.0-216.0.0.115.oe2203sp4"},
	{name: "npu-smi hangs", faults: one(fakehost.SmiHang), code: protocol.HDKDriverDown, says: "npu-smi did not answer in time"},
	{name: "npu-smi prints garbage", faults: one(fakehost.SmiGarbage), code: protocol.HDKDriverDown, says: "npu-smi's answer is not a list of cards"},
	{name: "npu-smi prints without end", faults: one(fakehost.SmiFlood), code: protocol.HDKDriverDown, says: "npu-smi printed more than 1 MiB"},
	{name: "npu-smi is slow", faults: one(fakehost.ToolsSlow, "ms=20"), says: newA2},
	{name: "The board query is not supported", faults: one(fakehost.NotSupported, "type=board"), code: protocol.HDKCardUnhealthy, says: "cards 0-7: not reported by npu-smi"},
	{name: "The old version still runs after the restart", faults: one(fakehost.VersionStaysOld), code: protocol.HDKNotActive, says: "cards 0-7: driver 24.1.0, firmware 7.5.0.2.220"},
	{name: "The old firmware still runs after the restart", faults: one(fakehost.VersionStaysOld, "kind=firmware"), code: protocol.HDKNotActive, says: "cards 0-7: driver 24.1.0.3, firmware 7.5.0.2.220"},
	{name: "The old version still runs after the restart, with rollback", spec: executors.Spec{"rollback": "true"}, faults: one(fakehost.VersionStaysOld), code: protocol.HDKRolledBack, says: "The host was brought back: " + oldA2},
	{name: "One card runs other versions", faults: one(fakehost.CardsDisagree), code: protocol.HDKNotActive, says: "does not run: card 7: driver 23.0.3, firmware 7.1.0.5.220"},
	{name: "A card is gone after the restart", faults: one(fakehost.CardGoneAfterReboot), code: protocol.HDKCardLost, says: "cards are missing: card 7"},
	{name: "A card was gone before", faults: one(fakehost.CardLost), says: newA2},
	{name: "version.info is missing", faults: one(fakehost.VersionInfoMissing), says: "Driver: missing (no version.info) | Firmware: missing (no version.info) | running: driver 24.1.0.3, firmware 7.5.0.5.220"},
	{name: "version.info is damaged", faults: one(fakehost.VersionInfoDamaged), says: "running: driver 24.1.0.3, firmware 7.5.0.5.220"},
	{name: "A link is down", faults: one(fakehost.LinkDown), says: newA2},
}, slices.Concat(fieldSymptoms, installerSymptoms)...)

var mcuVersion = executors.Spec{"mcu_version": "25.50.10"}

// stockMCU adds an image for MCUs to the repository.
func stockMCU(r *rig) {
	r.Helper()
	r.stock(true, fakehost.Package{Kind: fakehost.Driver, Chip: "910b", Version: "25.0.rc1.1"}, fakehost.Package{Kind: fakehost.MCU, Chip: "910b", Version: "25.50.10"})
	r.upgrade.Rest, r.upgrade.Settle = time.Millisecond, 20*time.Millisecond
}

// write and remove change the fake host's files behind its back; they hold until
// its state changes.
func (r *rig) write(name, text string) { r.Helper(); write(r.T, r.fake.Root(), name, text) }

func (r *rig) remove(name string) {
	r.Helper()
	if err := os.RemoveAll(filepath.Join(r.fake.Root(), name)); err != nil {
		r.Fatal(err)
	}
}

// suffer runs an upgrade with a symptom.
func suffer(t *testing.T, s symptom) (r *rig, code protocol.Code, message string) {
	t.Helper()
	r = newRig(t, fakehost.A2, fakehost.Options{})
	r.spec = executors.Spec{"version": "24.1.0.3"}
	for key, value := range s.spec {
		r.spec[key] = value
	}
	r.reboot = !s.noReboot
	r.set(s.faults...)
	for _, f := range s.faults {
		if f.name == fakehost.SmiHang {
			r.host.TimeoutOf = hosttest.Only("npu-smi", 100*time.Millisecond)
		}
	}
	if s.prepare != nil {
		s.prepare(r)
	}
	code, message = verdictOf(r.run(context.Background()))
	return r, code, message
}

func TestEverySymptomIsToldWithWhatToDo(t *testing.T) {
	var mu sync.Mutex
	said := map[string][2]string{}
	t.Run("symptoms", func(t *testing.T) {
		for _, s := range symptoms {
			t.Run(s.name, func(t *testing.T) {
				t.Parallel()
				r, code, message := suffer(t, s)
				if code != s.code || !strings.Contains(message, s.says) || !strings.Contains(r.host.Output(), s.prints) {
					t.Errorf("got  [%s] %s\nwant [%s] ...%s..., and %q in the output:\n%s", code, message, s.code, s.says, s.prints, r.host.Output())
				}
				r.checkHonest(code, message)
				plainwords.Check(t, code, message)
				mu.Lock()
				defer mu.Unlock()
				said[s.name] = [2]string{string(code), message}
			})
		}
	})
	if !t.Failed() && len(said) == len(symptoms) {
		golden.Compare(t, filepath.Join("..", "..", "docs", "hdk-troubleshooting.md"), troubleshooting(said))
	}
}

// Each fault of a fake host that an upgrade sees has a row.
func TestEveryFaultThatAnUpgradeSeesHasARow(t *testing.T) {
	var tested []fakehost.Fault
	for _, s := range symptoms {
		for _, f := range s.faults {
			tested = append(tested, f.name)
		}
	}
	if missing := fakehost.Missing(fakehost.Upgrade, tested); missing != nil {
		t.Errorf("no row has %v", missing)
	}
}

// checkHonest checks what must hold whatever goes wrong.
func (r *rig) checkHonest(code protocol.Code, message string) {
	r.Helper()
	state, err := r.fake.State()
	if err != nil {
		r.Fatal(err)
	}
	succeeded := code == "" && !strings.HasPrefix(message, "error: ")
	if target := (fakehost.Release{Driver: "24.1.0.3", Firmware: "7.5.0.5.220"}); succeeded && r.spec["dry_run"] == "" && state.Running() != target {
		r.Errorf("SUCCESS, and %+v runs", state.Running())
	}
	if !succeeded && slices.Contains(r.restarts, "final") && len(r.executed.Message) == 0 {
		r.Errorf("restarted after a failure: %v", r.restarts)
	}
	if len(r.restarts) > 3 {
		r.Errorf("restarted %d times: %v", len(r.restarts), r.restarts)
	}
	if strings.HasPrefix(message, "error: ") || !succeeded && (code == "" || protocol.Explain(code).Code == "") {
		r.Errorf("a failure without a code: [%s] %s", code, message)
	}
	count := map[string]int{}
	for _, installer := range r.started() {
		if count[installer]++; count[installer] > 1 && !strings.Contains(r.host.Output(), "started once more") {
			r.Errorf("%s was started again", installer)
		}
	}
}

// What differs from machine to machine, or is shorter in tests.
var masks = []struct {
	what *regexp.Regexp
	as   string
}{
	{regexp.MustCompile(`[0-9a-f]{64}`), "..."},
	// makeself's own parts fail at the same time.
	{regexp.MustCompile(`fails its own check: [^(]*\(exit code 15\)`), "fails its own check: Uncompressing ASCEND-HDK-910B-NPU FIRMWARE RUN PACKAGE ... Extraction failed (exit code 15)"},
	{regexp.MustCompile(`[0-9]+ bytes are missing`), "145 bytes are missing"},
	{regexp.MustCompile(`/tmp/\S*/`), ".../"},
	{regexp.MustCompile(`200ms`), "20m0s"},
	{regexp.MustCompile(`has [0-9]+ MiB free`), "has 812 MiB free"},
	{regexp.MustCompile(` on (?:x86_64|aarch64)`), " on aarch64"},
}

// troubleshooting is the page that operators look symptoms up in.
func troubleshooting(said map[string][2]string) []byte {
	var page bytes.Buffer
	page.WriteString(`# When an upgrade of the HDK goes wrong

What the verdict of HDK_UPGRADE says, and what to do then. The example upgrades a
server with eight 910B cards from 24.1.0 to 24.1.0.3. Every row is a test
(executors/hdk/fault_test.go), which writes this page.

| symptom | code | what the verdict says | what to do |
|---|---|---|---|
`)
	for _, s := range symptoms {
		code, message := said[s.name][0], said[s.name][1]
		for _, mask := range masks {
			message = mask.what.ReplaceAllString(message, mask.as)
		}
		remedy := protocol.Explain(protocol.Code(code)).Remedy
		if code == "" {
			code, remedy = "SUCCESS", "Nothing."
		} else {
			code = "`" + code + "`"
		}
		fmt.Fprintf(&page, "| %s | %s | %s | %s |\n", s.name, code, strings.ReplaceAll(message, "|", "\\|"), remedy)
	}
	return page.Bytes()
}

var (
	pairs    = flag.Int("pairs", 4, "how many pairs of faults to try")
	pairSeed = flag.Uint64("pairseed", 1, "seed that pairs of faults are drawn with")
)

// TestFaultsInPairs tries pairs of faults. What comes of a pair is not foretold;
// that it is honest is. All pairs: -pairs 1000.
func TestFaultsInPairs(t *testing.T) {
	var all [][2]symptom
	for i, a := range symptoms {
		for _, b := range symptoms[:i] {
			if len(a.faults) == 1 && len(b.faults) == 1 && a.prepare == nil && b.prepare == nil && a.faults[0].name != b.faults[0].name {
				all = append(all, [2]symptom{a, b})
			}
		}
	}
	draw := rand.New(rand.NewPCG(*pairSeed, 0))
	draw.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	t.Logf("%d of %d pairs, -pairseed %d", min(*pairs, len(all)), len(all), *pairSeed)
	for _, pair := range all[:min(*pairs, len(all))] {
		both := symptom{faults: append(slices.Clone(pair[0].faults), pair[1].faults...), noReboot: pair[0].noReboot || pair[1].noReboot, spec: executors.Spec{}}
		for _, s := range pair {
			for key, value := range s.spec {
				both.spec[key] = value
			}
		}
		t.Run(fmt.Sprint(both.faults, both.spec, both.noReboot), func(t *testing.T) {
			t.Parallel()
			r, code, message := suffer(t, both)
			r.checkHonest(code, message)
		})
	}
}

package hdk_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"devserver-agent/executors"
	"devserver-agent/executors/hdk/repository"
	"devserver-agent/protocol"
	"devserver-agent/test/fakehost"
)

// written lists the cards whose MCU was written to and that were made to run it.
func (r *rig) written() (wrote, ran []string) {
	r.Helper()
	events, err := r.fake.Events()
	if err != nil {
		r.Fatal(err)
	}
	for _, e := range events.Of(fakehost.KindStart, "npu-smi") {
		switch line := strings.Join(e.Argv, " "); {
		case strings.HasPrefix(line, "upgrade -t mcu -i "):
			wrote = append(wrote, e.Argv[4])
		case strings.HasPrefix(line, "upgrade -a mcu -i "):
			ran = append(ran, e.Argv[4])
		}
	}
	return wrote, ran
}

func mcuRig(t *testing.T, o fakehost.Options, format string) *rig {
	t.Helper()
	r := newRig(t, fakehost.A2, o)
	driver := fakehost.Package{Kind: fakehost.Driver, Chip: "910b", Version: "25.0.rc1.1"}
	r.stock(true, driver, fakehost.Package{Kind: fakehost.MCU, Format: format, Chip: "910b", Version: "25.50.10"})
	r.upgrade.Rest, r.upgrade.Settle = time.Millisecond, 20*time.Millisecond
	r.spec = executors.Spec{"version": "24.1.0.3", "mcu_version": "25.50.10"}
	return r
}

var allCards = []string{"0", "1", "2", "3", "4", "5", "6", "7"}

func TestMCUs(t *testing.T) {
	const done = newA2 + " | MCU: 25.50.10"
	for name, c := range map[string]struct {
		options    fakehost.Options
		format     string
		faults     []fault
		prepare    func(*rig)
		spec       executors.Spec
		wrote, ran []string
		installers int
		code       protocol.Code
		want       string // the message's beginning
	}{
		"before firmware and driver, one after the other": {wrote: allCards, ran: allCards, installers: 2, want: done},
		"from the zip that Huawei gives":                  {format: fakehost.Zip, wrote: allCards, ran: allCards, installers: 2, want: done},
		"alone":                                           {options: fakehost.Options{Release: a2Release}, wrote: allCards, ran: allCards, want: done},
		"of which some run it already": {
			prepare: func(r *rig) { r.runsMCU("25.50.10", 0, 1, 2, 3, 4, 6) }, wrote: []string{"5", "7"}, ran: []string{"5", "7"}, installers: 2, want: done},
		"nothing to do": {options: fakehost.Options{Release: a2Release}, prepare: func(r *rig) { r.runsMCU("25.50.10", 0, 1, 2, 3, 4, 5, 6, 7) }, want: done},
		"as a dry run":  {spec: executors.Spec{"dry_run": "true"}, want: "To reach driver 24.1.0.3, firmware 7.5.0.5.220: write MCU 25.50.10 into cards 0-7, then install firmware"},
		"cut in the middle": {
			prepare: func(r *rig) { r.host.Cut("mcu-2") }, wrote: []string{"0", "1", "2", "2", "3", "4", "5", "6", "7"}, ran: allCards, installers: 2, want: done},
		"cut in the middle twice": {
			prepare: func(r *rig) { r.host.Cut("mcu-0"); r.host.Cut("mcu-0") }, wrote: []string{"0", "0"}, code: protocol.HDKMCUFailed,
			want: "The MCU of card 0 was not brought to 25.50.10: it was cut in the middle twice. Neither firmware nor driver was begun, the host was not restarted. MCUs: cards 0-7: 23.3.13. Now: " + oldA2 + "."},
		"one refuses": {
			faults: one(fakehost.MCUFails, "card=2"), wrote: []string{"0", "1", "2"}, ran: []string{"0", "1"}, code: protocol.HDKMCUFailed,
			want: "The MCU of card 2 was not brought to 25.50.10: Failed to upgrade the MCU firmware. Neither firmware nor driver was begun, the host was not restarted. MCUs: cards 0-1: 25.50.10; cards 2-7: 23.3.13."},
		"one keeps its old image": {
			faults: one(fakehost.MCUStaysOld, "card=1"), wrote: []string{"0", "1"}, ran: []string{"0", "1"}, code: protocol.HDKMCUFailed,
			want: "The MCU of card 1 was not brought to 25.50.10: the image was written and the MCU still runs 23.3.13."},
		"the firmware fails afterwards": {
			faults: one(fakehost.InstallFailsAt, "kind=firmware"), wrote: allCards, ran: allCards, installers: 1, code: protocol.HDKInstallFailed,
			want: "The installer of firmware 7.5.0.5.220 failed: Firmware package upgrade failed; details are in /var/log/ascend_seclog/ascend_install.log (exit code 1). The MCUs run 25.50.10 and keep it."},
		"the driver is down": {
			faults: one(fakehost.DriverDown), code: protocol.HDKDriverDown,
			want: "Not begun, nothing was changed: MCUs are reached through a driver that answers, and this one does not: driver not running: dcmi -8005"},
		"the image is not in the repository": {
			spec: executors.Spec{"mcu_version": "25.51.0"}, code: protocol.HDKPackageNotFound, want: "Not begun, nothing was changed: the repository has no mcu 25.51.0 for 910b"},
		"no version": {spec: executors.Spec{"mcu_version": "new"}, code: protocol.SpecInvalid, want: "spec.mcu_version"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := mcuRig(t, c.options, c.format)
			r.set(c.faults...)
			if c.prepare != nil {
				c.prepare(r)
			}
			for key, value := range c.spec {
				r.spec[key] = value
			}
			code, message := verdictOf(r.run(context.Background()))
			if code != c.code || !strings.HasPrefix(message, c.want) {
				t.Errorf("got  %s [%s]\nwant %s [%s]\noutput:\n%s", message, code, c.want, c.code, r.host.Output())
			}
			wrote, ran := r.written()
			if diff := cmp.Diff([2][]string{c.wrote, c.ran}, [2][]string{wrote, ran}); diff != "" {
				t.Errorf("cards written to and made to run (-want +got):\n%s", diff)
			}
			if got := r.started(); len(got) != c.installers {
				t.Errorf("installers: %q", got)
			}
		})
	}
}

// runsMCU has cards run an image.
func (r *rig) runsMCU(version string, cards ...int) {
	r.Helper()
	err := r.fake.Update(func(s *fakehost.State) error {
		s.MCU = map[int]string{}
		for _, card := range cards {
			s.MCU[card] = version
		}
		return nil
	})
	if err != nil {
		r.Fatal(err)
	}
}

// TestAnImageIsWrittenOnceWhateverDies kills the agent after every record.
func TestAnImageIsWrittenOnceWhateverDies(t *testing.T) {
	t.Parallel()
	r := mcuRig(t, fakehost.Options{}, fakehost.Zip)
	m := &mortal{Host: r.host, seen: map[string]bool{}}
	if _, err := m.toEnd(context.Background(), r); err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, card := range allCards {
		want = append(want, "mcu-"+card, fmt.Sprintf("mcu-%s-run", card))
	}
	want = append([]string{"check-firmware", "check-driver"}, want...)
	if diff := cmp.Diff(append(want, "install-firmware", "install-driver"), m.steps); diff != "" {
		t.Errorf("steps (-want +got):\n%s", diff)
	}
	if wrote, ran := r.written(); !slices.Equal(wrote, allCards) || !slices.Equal(ran, allCards) {
		t.Errorf("written to %v, made to run %v", wrote, ran)
	}
}

// TestPackagesOfTheHostsOwnFormat upgrades by rpm and deb.
func TestPackagesOfTheHostsOwnFormat(t *testing.T) {
	debian := func(r *rig) {
		r.remove("var/lib/rpm")
		r.write("var/lib/dpkg/status", "")
	}
	for name, c := range map[string]struct {
		format  string
		mixed   bool // the repository has run packages too
		options fakehost.Options
		faults  []fault
		prepare func(*rig)
		spec    executors.Spec
		started []string
		code    protocol.Code
		want    string
	}{
		"rpm":        {format: fakehost.RPM, started: []string{"firmware 7.5.0.5.220 --upgrade --quiet", "driver 24.1.0.3 --upgrade --quiet"}, want: newA2},
		"deb":        {format: fakehost.Deb, prepare: debian, started: []string{"firmware 7.5.0.5.220 --upgrade --quiet", "driver 24.1.0.3 --upgrade --quiet"}, want: newA2},
		"rpm, first": {format: fakehost.RPM, options: fakehost.Options{Bare: true}, started: []string{"driver 24.1.0.3 --full --quiet", "firmware 7.5.0.5.220 --full --quiet"}, want: newA2},
		"rpm, hot":   {format: fakehost.RPM, options: fakehost.Options{HotReset: true}, started: []string{"firmware 7.5.0.5.220 --upgrade --quiet", "driver 24.1.0.3 --upgrade --quiet"}, want: newA2},
		"run is the first choice": {format: fakehost.RPM, mixed: true, spec: executors.Spec{"dry_run": "true"},
			want: "To reach driver 24.1.0.3, firmware 7.5.0.5.220: install firmware 7.5.0.5.220 (--upgrade --quiet)"},
		"rpm, as a dry run": {format: fakehost.RPM, spec: executors.Spec{"dry_run": "true"},
			want: "To reach driver 24.1.0.3, firmware 7.5.0.5.220: install firmware 7.5.0.5.220 (rpm), then install driver 24.1.0.3 (rpm)"},
		"rpm on a host with debs": {format: fakehost.RPM, prepare: debian, code: protocol.HDKPackageNotFound,
			want: "Not begun, nothing was changed: the repository has firmware 7.5.0.5.220 only as rpm, and this host takes run, deb, image; the repository has driver 24.1.0.3 only as rpm"},
		"another package is installed, rpm": {format: fakehost.RPM, faults: one(fakehost.PackagesLocked), code: protocol.HDKInstallFailed,
			want: "The installer of firmware 7.5.0.5.220 failed: error: can't create transaction lock on /var/lib/rpm/.rpm.lock (Resource temporarily unavailable) (exit code 1). The host was not restarted. Now: " + oldA2 + ". Another package is being installed on the host"},
		"another package is installed, deb": {format: fakehost.Deb, prepare: debian, faults: one(fakehost.PackagesLocked), code: protocol.HDKInstallFailed,
			want: "The installer of firmware 7.5.0.5.220 failed: dpkg: error: dpkg frontend lock was locked by another process with pid 4711 (exit code 2)."},
		"the script before fails": {format: fakehost.RPM, faults: one(fakehost.DiskFull, "kind=firmware"), started: []string{"firmware 7.5.0.5.220 --upgrade --quiet"}, code: protocol.HDKInstallFailed,
			want: "The installer of firmware 7.5.0.5.220 failed: free space only 12M, cannot install firmware package / error: %prein("},
		"the script after fails, and rpm does not mind": {format: fakehost.RPM, faults: one(fakehost.InstallFailsAt, "kind=driver"),
			started: []string{"firmware 7.5.0.5.220 --upgrade --quiet", "driver 24.1.0.3 --upgrade --quiet"}, code: protocol.HDKInstallFailed,
			want: "The installer of driver 24.1.0.3 failed: Driver_ko_install failed / warning: %post("},
		"back by deb": {format: fakehost.Deb, prepare: debian, spec: executors.Spec{"rollback": "true"}, faults: one(fakehost.VersionStaysOld),
			started: []string{"firmware 7.5.0.5.220 --upgrade --quiet", "driver 24.1.0.3 --upgrade --quiet", "firmware 7.5.0.2.220 --upgrade --quiet", "driver 24.1.0 --upgrade --quiet"},
			code:    protocol.HDKRolledBack, want: "Driver 24.1.0.3, firmware 7.5.0.5.220 was installed and does not run"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, fakehost.A2, c.options)
			var packages []fakehost.Package
			for _, release := range []fakehost.Release{{Driver: "24.1.0", Firmware: "7.5.0.2.220"}, a2Release} {
				pair, err := release.Packages(fakehost.A2)
				if err != nil {
					t.Fatal(err)
				}
				for _, p := range pair {
					p.Format = c.format
					packages = append(packages, p)
				}
			}
			r.stock(c.mixed, packages...)
			r.set(c.faults...)
			if c.prepare != nil {
				c.prepare(r)
			}
			r.spec = executors.Spec{"version": "24.1.0.3", "firmware_version": "7.5.0.5.220"}
			for key, value := range c.spec {
				r.spec[key] = value
			}
			code, message := verdictOf(r.run(context.Background()))
			if code != c.code || !strings.HasPrefix(message, c.want) {
				t.Errorf("got  %s [%s]\nwant %s [%s]\noutput:\n%s", message, code, c.want, c.code, r.host.Output())
			}
			if diff := cmp.Diff(c.started, r.started()); diff != "" {
				t.Errorf("installers (-want +got):\n%s\noutput:\n%s", diff, r.host.Output())
			}
		})
	}
}

func TestUnzip(t *testing.T) {
	dir := t.TempDir()
	built, err := fakehost.BuildPackages(dir, []fakehost.Package{{Kind: fakehost.MCU, Format: fakehost.Zip, Chip: "910b", Version: "25.50.10"}})
	if err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(dir, "out")
	for range 2 {
		image, err := repository.Unzip(built[0].Path, out)
		if err != nil || image != filepath.Join(out, "Ascend-hdk-910b-mcu_25.50.10.hpm") {
			t.Fatal(image, err)
		}
	}
	if beside, err := filepath.Glob(filepath.Join(out, "*")); err != nil || len(beside) != 3 {
		t.Error(beside, err)
	}
	if _, err := repository.Unzip(filepath.Join(out, "crldata.crl"), out); err == nil {
		t.Error("what is no zip was unpacked")
	}
	if _, err := repository.Unzip(filepath.Join(out, "none"), out); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}

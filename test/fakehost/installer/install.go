package installer

import (
	"errors"
	"fmt"

	"devserver-agent/test/fakehost"
)

// driver plays --full, --upgrade and the like of a driver package.
func (r *run) driver() (int, error) {
	old := r.state.Installed.Driver
	if old != "" {
		r.info("base version is " + old + ".")
	}
	r.warning("Do not power off or restart the system during the installation/upgrade")
	v := passed(r.checkArch, r.checkChip, r.checkAlone, r.checkOwner, r.checkRelation, r.checkSpace, r.checkIdle)
	if v != pass {
		return v.status(), nil
	}
	if status, ends, err := r.trouble(0); ends || err != nil {
		return status, err
	}
	// --upgrade, and --full over another, remove the former driver first.
	if err := errors.Join(r.host.Update(r.removeDriver), r.begin()); err != nil {
		return failed, err
	}
	r.info("driver install type: DKMS")
	stages := []struct {
		percent int
		then    func(*fakehost.State) error
		fails   string // with which sentence, where it does
	}{
		{10, nil, "Drv_dkms_env_check failed"}, {30, nil, "Drv_file_copy failed"}, {40, nil, "Device_images_crl_check failed"},
		{90, nil, "Driver_ko_install failed"}, {100, r.placeDriver, "Driver_ko_install_manually failed"},
	}
	from := 0
	for _, stage := range stages {
		ok, err := r.step(from, stage.percent, "upgradePercentage:%d%%")
		if err != nil {
			return failed, err
		}
		if !ok {
			return r.failAt(stage.fails), nil
		}
		if status, ends, err := r.trouble(stage.percent); ends || err != nil {
			return status, err
		}
		if stage.then != nil {
			if err := r.host.Update(stage.then); err != nil {
				return failed, err
			}
		}
		from = stage.percent
	}
	return r.loadDriver()
}

func (r *run) verb() string {
	if r.options.mode == "upgrade" {
		return "upgrade"
	}
	return "install"
}

func (r *run) removeDriver(s *fakehost.State) error {
	s.Installed.Driver, s.Pending.Driver, s.DriverWants, s.Complete = "", "", "", false
	return nil
}

func (r *run) placeDriver(s *fakehost.State) error {
	s.Installed.Driver, s.Pending.Driver = r.pkg.version, r.pkg.version
	s.DriverWants = r.pkg.requires
	s.Complete = true
	if r.options.mode != "upgrade" {
		s.InstallForAll = r.options.installForAll
	}
	return nil
}

// loadDriver makes the new driver run now if no other is loaded or the host can reset
// its chips hot, and leaves it to the next boot otherwise.
func (r *run) loadDriver() (int, error) {
	loaded := false
	err := r.host.Update(func(s *fakehost.State) error {
		loaded = !s.Loaded() || (s.HotReset && !r.options.force)
		if loaded {
			s.LoadDriver()
		}
		return nil
	})
	if err != nil {
		return failed, err
	}
	if loaded {
		done := map[string]string{"upgrade": "upgraded", "install": "installed"}[r.verb()]
		r.info("Driver package " + done + " successfully! The new version takes effect immediately. ")
		return 0, nil
	}
	r.info("Driver package installed successfully! Reboot needed for installation/upgrade to take effect! ")
	return rebootNeeded, nil
}

// firmware plays --full and --upgrade of a firmware package.
func (r *run) firmware() (int, error) {
	r.warning("Do not power off or restart the system during the installation/upgrade")
	v := passed(r.checkChip, r.checkPlace, r.checkAlone, r.checkOwner, r.checkRelation, r.checkSpace, r.checkDriver)
	if v != pass {
		return v.status(), nil
	}
	if status, ends, err := r.trouble(0); ends || err != nil {
		return status, err
	}
	if err := r.begin(); err != nil {
		return failed, err
	}
	from := 0
	for _, percent := range []int{0, 0, 45, 90, 90, 100} {
		ok, err := r.step(from, percent, "upgradePercentage: %d%%")
		if err != nil {
			return failed, err
		}
		if !ok {
			r.fail("Firmware package " + r.verb() + " failed, details in /var/log/ascend_seclog/ascend_install.log")
			return failed, nil
		}
		if status, ends, err := r.trouble(percent); ends || err != nil {
			return status, err
		}
		from = percent
	}
	chips := 0
	err := r.host.Update(func(s *fakehost.State) error {
		chips = len(s.Visible())
		s.Installed.Firmware, s.Pending.Firmware = r.pkg.version, r.pkg.version
		s.FirmwareWants = r.pkg.requires
		return nil
	})
	if err != nil {
		return failed, err
	}
	r.info(fmt.Sprintf("The firmware of [%d] chips are successfully upgraded.", chips))
	r.info("Firmware package installed successfully! Reboot now or after driver installation for the installation/upgrade to take effect.")
	return done, nil
}

// uninstall plays --uninstall. A driver is unloaded at once, with --force at the next
// boot; firmware stays in the chips, only its files go.
func (r *run) uninstall() (int, error) {
	installed := r.state.Installed.Firmware
	checks := []func() verdict{r.checkAlone}
	if r.pkg.kind == fakehost.Driver {
		installed = r.state.Installed.Driver
		checks = append(checks, r.checkIdle)
	}
	if installed == "" {
		r.fail(title(r.pkg.kind) + " package is not installed on this device, uninstall failed")
		return failed, nil
	}
	if v := passed(checks...); v != pass {
		return v.status(), nil
	}
	if err := r.begin(); err != nil {
		return failed, err
	}
	err := r.host.Update(func(s *fakehost.State) error {
		if r.pkg.kind == fakehost.Firmware {
			s.Installed.Firmware, s.FirmwareWants = "", ""
			return nil
		}
		if err := r.removeDriver(s); err != nil || r.options.force {
			return err
		}
		s.LoadDriver()
		return nil
	})
	if err != nil {
		return failed, err
	}
	if r.pkg.kind == fakehost.Driver && r.options.force {
		r.info("Driver package uninstalled successfully! Reboot needed for uninstallation to take effect!")
		return done, nil
	}
	r.info(title(r.pkg.kind) + " package uninstalled successfully! Uninstallation takes effect immediately.")
	return done, nil
}

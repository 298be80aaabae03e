package fakehost

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

func (h *Host) writeBus(s State) error {
	device := s.Profile().DeviceID
	_, unknown := s.Fault(FamilyUnknown)
	var errs []error
	for _, c := range s.Chips {
		dir := "/sys/bus/pci/devices/" + strings.ToLower(c.BusID)
		if unknown || !s.visible(c.Logic) {
			errs = append(errs, os.RemoveAll(h.Path(dir)))
			continue
		}
		errs = append(errs,
			h.keep(dir+"/vendor", "0x19e5\n", 0o444, true),
			h.keep(dir+"/device", device+"\n", 0o444, true),
			h.keep(dir+"/class", "0x120000\n", 0o444, true),
			h.writeLink(s, c, dir))
	}
	return errors.Join(errs...)
}

// writeLink shows a chip's PCIe link as sysfs does.
func (h *Host) writeLink(s State, c Chip, dir string) error {
	width, fatal := "16", 0
	if _, narrow := s.Hits(PCIeNarrow, c.NPU); narrow {
		width = "8"
	}
	if args, on := s.Hits(PCIeErrors, c.NPU); on {
		fatal = args.Int("count", 3)
	}
	return errors.Join(
		h.keep(dir+"/current_link_speed", "32.0 GT/s PCIe\n", 0o444, true),
		h.keep(dir+"/max_link_speed", "32.0 GT/s PCIe\n", 0o444, true),
		h.keep(dir+"/current_link_width", width+"\n", 0o444, true),
		h.keep(dir+"/max_link_width", "16\n", 0o444, true),
		h.keep(dir+"/aer_dev_fatal", fmt.Sprintf("Undefined 0\nDLP 0\nTOTAL_ERR_FATAL %d\n", fatal), 0o444, true),
		h.keep(dir+"/aer_dev_nonfatal", "Undefined 0\nTOTAL_ERR_NONFATAL 0\n", 0o444, true))
}

// writeModule shows the driver's kernel module as DKMS keeps it, built for the kernel
// that it was installed under.
func (h *Host) writeModule(s State) error {
	kernel := Kernel
	if s.Loaded() {
		kernel = cmp.Or(s.Kernel, Kernel)
	}
	const tree = "/var/lib/dkms/davinci_ascend"
	if s.Installed.Driver == "" {
		return os.RemoveAll(h.Path(tree))
	}
	_, missing := s.Fault(DKMSMissing)
	module := tree + "/1.0/" + kernel + "/" + s.Arch + "/module/drv_davinci.ko"
	return errors.Join(
		h.keep(tree+"/1.0/source/dkms.conf", "PACKAGE_NAME=\"davinci_ascend\"\n", 0o644, true),
		h.keep(module, "\x7fELF", 0o644, !missing))
}

func (h *Host) writeNodes(s State) error {
	var errs []error
	for _, node := range []string{"davinci_manager", "devmm_svm", "hisi_hdc"} {
		errs = append(errs, h.keep("/dev/"+node, "", 0o660, s.Loaded()))
	}
	for _, c := range s.Chips {
		errs = append(errs, h.keep(davinci(c.Logic), "", 0o660, s.Loaded() && s.visible(c.Logic)))
	}
	return errors.Join(errs...)
}

func davinci(logic int) string { return fmt.Sprintf("/dev/davinci%d", logic) }

func (s State) visible(logic int) bool {
	return slices.ContainsFunc(s.Visible(), func(c Chip) bool { return c.Logic == logic })
}

// writeProcesses shows the processes that hold NPUs as /proc does: a folder with comm,
// cmdline, cgroup and links from fd/ to the nodes, named as on a real host.
func (h *Host) writeProcesses(s State) error {
	var errs []error
	var busy []string
	for _, p := range s.Processes() {
		dir := fmt.Sprintf("/proc/%d", p.PID)
		busy = append(busy, filepath.Base(dir))
		cgroup := "0::/system.slice/app.service\n"
		if p.Container != "" {
			cgroup = "0::/system.slice/docker-" + p.Container + ".scope\n"
		}
		errs = append(errs,
			h.keep(dir+"/comm", p.Name+"\n", 0o444, true),
			h.keep(dir+"/cmdline", p.Name+"\x00serve.py\x00", 0o444, true),
			h.keep(dir+"/cgroup", cgroup, 0o444, true),
			h.keep(dir+"/status", fmt.Sprintf("Name:\t%s\nState:\tS (sleeping)\nPid:\t%d\nPPid:\t1\n", p.Name, p.PID), 0o444, true),
			h.keep(dir+"/stat", fmt.Sprintf("%d (%s) S 1 %d %d 0 -1 4194304\n", p.PID, p.Name, p.PID, p.PID), 0o444, true),
			os.MkdirAll(h.Path(dir+"/fd"), 0o755))
		for fd, node := range []string{"/dev/null", "/dev/davinci_manager", "/dev/devmm_svm", "/dev/hisi_hdc", davinci(p.Logic)} {
			err := os.Symlink(node, h.Path(fmt.Sprintf("%s/fd/%d", dir, fd)))
			if !errors.Is(err, fs.ErrExist) {
				errs = append(errs, err)
			}
		}
	}
	entries, err := os.ReadDir(h.Path("/proc"))
	errs = append(errs, err)
	for _, e := range entries {
		if name := e.Name(); strings.Trim(name, "0123456789") == "" && !slices.Contains(busy, name) {
			errs = append(errs, os.RemoveAll(h.Path("/proc/"+name)))
		}
	}
	return errors.Join(errs...)
}

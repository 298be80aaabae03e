package fakehost

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

const defaultContainer = "3f1c9a5d7e20b84c6a1f0d2e9b57c3a8146fe0d9b2c75a31e8f4d60a9b1c2d3e"

// toolPaths says which tools the driver package brings and where they are found.
// They are there while a driver is installed.
var toolPaths = map[string][]string{
	"npu-smi":      {"/usr/local/sbin/npu-smi", "/usr/local/bin/npu-smi"},
	"hccn_tool":    {"/usr/local/Ascend/driver/tools/hccn_tool", "/usr/local/bin/hccn_tool"},
	"upgrade-tool": {"/usr/local/Ascend/driver/tools/upgrade-tool"},
	"msnpureport":  {"/usr/local/Ascend/driver/tools/msnpureport"},
	"ascend-dmi":   {"/usr/local/Ascend/toolbox/latest/Ascend-DMI/bin/ascend-dmi"},
}

// Unpackers are the programs of the machine itself that a package is unpacked with.
var Unpackers = []string{"tar", "gzip"}

// writeFixed writes what New alone writes: afterwards a test may change it.
func (h *Host) writeFixed(s State, binary string) error {
	files := map[string]string{
		"/etc/passwd":               "root:x:0:0:root:/root:/bin/bash\nHwHiAiUser:x:1000:1000::/home/HwHiAiUser:/bin/bash\n",
		"/etc/group":                "root:x:0:\nHwHiAiUser:x:1000:\n",
		"/etc/os-release":           "NAME=\"openEuler\"\nVERSION=\"22.03 (LTS-SP4)\"\nID=\"openEuler\"\nVERSION_ID=\"22.03\"\nPRETTY_NAME=\"openEuler 22.03 (LTS-SP4)\"\n",
		"/etc/machine-id":           strings.ReplaceAll(uuid(s.Seed+"|machine"), "-", "") + "\n",
		"/proc/meminfo":             "MemTotal:       1583964160 kB\nMemFree:        1480211456 kB\nMemAvailable:   1497804800 kB\nHugePages_Total:       0\n",
		"/var/lib/rpm/rpmdb.sqlite": "",
		"/proc/cmdline":             "BOOT_IMAGE=/vmlinuz-" + Kernel + " root=/dev/mapper/openeuler-root ro\n",
	}
	scripts := map[string]string{
		"/usr/bin/docker":                       "tool docker --host",
		"/usr/bin/rpm":                          "tool rpm --host",
		"/usr/bin/dpkg":                         "tool dpkg --host",
		"/usr/bin/dmesg":                        "tool dmesg --host",
		"/usr/bin/timedatectl":                  "tool timedatectl --host",
		"/usr/bin/journalctl":                   "tool journalctl --host",
		"/usr/local/sbin/ascend-fake-installer": "tool installer --host",
		"/sbin/reboot":                          "reboot --dir",
		"/sbin/poweroff":                        "poweroff --dir",
	}
	var errs []error
	for path, text := range files {
		errs = append(errs, replaceFile(h.Path(path), []byte(text), 0o644))
	}
	errs = append(errs,
		os.MkdirAll(h.Path("/var/log/ascend_seclog"), 0o750),
		os.MkdirAll(h.Path("/usr/local/Ascend"), 0o755),
		os.MkdirAll(h.Path("/dev"), 0o755),
		os.MkdirAll(h.Path("/lib/modules/"+Kernel+"/build"), 0o755),
		os.Symlink(binary, h.binaryPath()))
	for _, tool := range Unpackers {
		errs = append(errs, replaceFile(h.Path("/usr/bin/"+tool), []byte("#!/bin/sh\nexec /bin/"+tool+" \"$@\"\n"), 0o755))
	}
	for path, words := range scripts {
		errs = append(errs, h.writeScript(path, words))
	}
	return errors.Join(errs...)
}

// binaryPath is a link to the fakehost command, so that a host can be given a newer one.
func (h *Host) binaryPath() string { return filepath.Join(h.dir, "state", "fakehost") }

// maxInterpreter bounds the first line of a script; kernels before 5.1 read 127 bytes of it.
const maxInterpreter = 120

// writeScript writes a script that starts the fakehost command with the host's folder: as
// its interpreter, or from a shell where the folder's name is too long for that, or has
// blanks. A shell would double what it costs to start a tool.
func (h *Host) writeScript(path, words string) error {
	after := ""
	if strings.HasPrefix(words, "tool ") {
		after = " --"
	}
	text := fmt.Sprintf("#!%s script\n%s %s%s\n", h.binaryPath(), words, h.dir, after)
	if line, _, _ := strings.Cut(text, "\n"); len(line) > maxInterpreter || len(strings.Fields(h.dir)) != 1 {
		text = fmt.Sprintf("#!/bin/sh\nexec %s %s %s%s \"$@\"\n", quote(h.binaryPath()), words, quote(h.dir), after)
	}
	return h.keep(path, text, 0o755, true)
}

func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// writeRoot makes the files under root say what the state says; the lock is held.
// Doing it again changes nothing, so it also completes what a killed process began.
func (h *Host) writeRoot(s State) error {
	return errors.Join(
		h.keep("/proc/sys/kernel/random/boot_id", s.BootID+"\n", 0o444, true),
		h.keep("/proc/sys/kernel/osrelease", cmp.Or(s.Kernel, Kernel)+"\n", 0o444, true),
		h.writeBus(s), h.writeNodes(s), h.writeTools(s), h.writeModule(s),
		h.writeVersionInfo(Driver, s), h.writeVersionInfo(Firmware, s),
		h.keep("/etc/ascend_install.info", installInfo(s), 0o640, s.Installed != Release{}),
		h.writeProcesses(s), h.writePlace(s))
}

// writePlace says what machine it is, as firmware and kernel do (sysfs, cpuid).
func (h *Host) writePlace(s State) error {
	vendor, flags := "Huawei", "fpu sse2"
	if s.Place == VM {
		vendor, flags = "QEMU", "fpu sse2 hypervisor"
	}
	return errors.Join(
		h.keep("/sys/class/dmi/id/sys_vendor", vendor+"\n", 0o444, true),
		h.keep("/proc/cpuinfo", "processor\t: 0\nflags\t\t: "+flags+"\n", 0o444, true))
}

// keep makes path hold text if it is wanted and be absent if not.
func (h *Host) keep(path, text string, mode fs.FileMode, wanted bool) error {
	full := h.Path(path)
	if !wanted {
		return os.RemoveAll(full)
	}
	if old, err := os.ReadFile(full); err == nil && bytes.Equal(old, []byte(text)) {
		return nil
	}
	return replaceFile(full, []byte(text), mode)
}

func (h *Host) writeTools(s State) error {
	var errs []error
	for tool, paths := range toolPaths {
		for _, path := range paths {
			if s.Installed.Driver == "" {
				errs = append(errs, os.RemoveAll(h.Path(path)))
			} else {
				errs = append(errs, h.writeScript(path, "tool "+tool+" --host"))
			}
		}
	}
	for kind, version := range map[string]string{Driver: s.Installed.Driver, Firmware: s.Installed.Firmware} {
		script := "/usr/local/Ascend/" + kind + "/script/uninstall.sh"
		if version == "" {
			errs = append(errs, os.RemoveAll(h.Path(script)))
		} else {
			errs = append(errs, h.writeScript(script, "tool uninstall-"+kind+" --host"))
		}
	}
	return errors.Join(errs...)
}

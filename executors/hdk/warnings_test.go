package hdk

import (
	"io/fs"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"devserver-agent/executors/ascend"
)

// complete is a host on which no warning is due.
func complete() fstest.MapFS {
	file := func(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text)} }
	return fstest.MapFS{
		"proc/sys/kernel/osrelease":                     file("5.10.0-60.18.0.50.oe2203.aarch64\n"),
		"boot/vmlinuz-5.10.0-60.18.0.50.oe2203.aarch64": file(""),
		"usr/sbin/dkms":                                 file(""),
		"usr/bin/tar":                                   file(""),
		"bin/gzip":                                      file(""),
		"usr/bin/gcc":                                   file(""),
		"usr/bin/make":                                  file(""),
		"usr/sbin/lspci":                                file(""),
		"sbin/ifconfig":                                 file(""),
		"boot/grub2/grubenv":                            file("# GRUB Environment Block\nsaved_entry=openEuler (5.10.0-60.18.0.50.oe2203.aarch64) 22.03 LTS\n"),
		"etc/default/grub":                              file("GRUB_DEFAULT=saved\n"),
		"run/systemd/system":                            {Mode: 0o755 | 1<<31},
		"var/lib/dpkg/updates":                          {Mode: 0o755 | 1<<31},
		"lib/modules/5.10.0-60.18.0.50.oe2203.aarch64/build/Makefile":              file(""),
		"etc/systemd/system/multi-user.target.wants/devserver-agent.service":       file(""),
		"sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c": file("\x06\x00\x00\x00\x00"),
	}
}

func TestWarningsNameWhatOftenGoesWrong(t *testing.T) {
	file := func(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text)} }
	without := func(names ...string) func(fstest.MapFS) {
		return func(files fstest.MapFS) {
			for _, name := range names {
				delete(files, name)
			}
		}
	}
	for name, c := range map[string]struct {
		change func(fstest.MapFS)
		says   string // of the only warning; "": there is none
	}{
		"a host that has all": {without(), ""},
		"no tools":            {without("usr/sbin/dkms", "sbin/ifconfig"), "the installer may need what is not here: dkms, ifconfig"},
		"no tar":              {without("usr/bin/tar"), "archives that cannot be unpacked without what is not here: tar"},
		"no kernel headers":   {without("lib/modules/5.10.0-60.18.0.50.oe2203.aarch64/build/Makefile"), "not here: kernel headers of 5.10.0-60.18.0.50.oe2203.aarch64"},
		"another kernel is next": {func(f fstest.MapFS) {
			f["boot/grub2/grubenv"] = file("saved_entry=openEuler (5.10.0-216.0.0) 22.03\n")
			f["boot/vmlinuz-5.10.0-216.0.0"] = file("")
		}, "the next start boots kernel 5.10.0-216.0.0 (/boot/grub2/grubenv), and 5.10.0-60.18.0.50.oe2203.aarch64 runs: the driver is built for the running one"},
		"the next kernel cannot be known": {func(f fstest.MapFS) {
			f["etc/default/grub"] = file("GRUB_DEFAULT=\"1>2\"\n")
		}, "which kernel the next start boots is not known: /etc/default/grub names the entry \"1>2\""},
		"another kernel is next, by its boot loader entry": {func(f fstest.MapFS) {
			f["boot/grub2/grubenv"] = file("saved_entry=0af-6.6.0-10\n")
			f["boot/loader/entries/0af-6.6.0-10.conf"] = file("title openEuler\nlinux /vmlinuz-6.6.0-10\n")
		}, "the next start boots kernel 6.6.0-10 (/boot/grub2/grubenv)"},
		"another kernel is next, on Ubuntu": {func(f fstest.MapFS) {
			delete(f, "boot/grub2/grubenv")
			f["boot/grub/grub.cfg"] = file("menuentry 'Ubuntu' {\n\tlinux /boot/vmlinuz-5.15.0-102-generic root=UUID=1 ro\n}\n")
		}, "the next start boots kernel 5.15.0-102-generic (/boot/grub/grub.cfg)"},
		"another kernel is next, by a link": {func(f fstest.MapFS) {
			delete(f, "boot/grub2/grubenv")
			f["boot/vmlinuz"] = &fstest.MapFile{Data: []byte("vmlinuz-5.15.0-91-generic"), Mode: fs.ModeSymlink}
		}, "the next start boots kernel 5.15.0-91-generic (/boot/vmlinuz)"},
		"another kernel is next, the driver of now was built for it": {func(f fstest.MapFS) {
			f["boot/grub2/grubenv"] = file("saved_entry=Linux (6.6.0-10)\n")
			f["boot/vmlinuz-6.6.0-10"] = file("")
			f["var/lib/dkms/davinci_ascend/1.0/6.6.0-10/aarch64/module/drv_davinci.ko"] = file("")
		}, "the next start boots kernel 6.6.0-10"},
		"the entry is a number":  {func(f fstest.MapFS) { f["boot/grub2/grubenv"] = file("saved_entry=0\n") }, ""},
		"no environment of grub": {without("boot/grub2/grubenv"), ""},
		"Secure Boot": {func(f fstest.MapFS) {
			f["sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"] = file("\x06\x00\x00\x00\x01")
		}, "Secure Boot is on"},
		"no EFI":                   {without("sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"), ""},
		"dpkg was interrupted":     {func(f fstest.MapFS) { f["var/lib/dpkg/updates/0001"] = file("Package: dkms\n") }, "a transaction of the package manager is not finished"},
		"yum was interrupted":      {func(f fstest.MapFS) { f["var/lib/yum/transaction-all.2026-11-22.10:00.00"] = file("") }, "a transaction of the package manager is not finished"},
		"the agent is not enabled": {without("etc/systemd/system/multi-user.target.wants/devserver-agent.service"), "devserver-agent.service is not enabled"},
		"no systemd, no service":   {without("run/systemd/system", "etc/systemd/system/multi-user.target.wants/devserver-agent.service"), ""},
	} {
		t.Run(name, func(t *testing.T) {
			files := complete()
			c.change(files)
			var said []string
			next, how := ascend.NextKernel(files)
			for _, f := range slices.Concat(installWarnings(files), kernelWarnings(files, next, how, true), restartWarnings(files)) {
				if f.Blocks {
					t.Errorf("%+v keeps the upgrade from being begun", f)
				}
				said = append(said, f.What)
			}
			switch {
			case c.says == "" && len(said) > 0, c.says != "" && (len(said) != 1 || !strings.Contains(said[0], c.says)):
				t.Errorf("warned of %q, want %q", said, c.says)
			}
		})
	}
}

// TestARestartThatKeepsTheDriverWarnsOfNothing is about a restart without an
// installation: what is installed may have been built for the next kernel already.
func TestARestartThatKeepsTheDriverWarnsOfNothing(t *testing.T) {
	const next = "6.6.0-10.aarch64+debug[1]"
	for name, c := range map[string]struct {
		module string // "": there is none
		warns  bool
	}{
		"built by DKMS":                   {module: "var/lib/dkms/davinci_ascend/1.0/" + next + "/aarch64/module/drv_davinci.ko.xz"},
		"installed as an update":          {module: "lib/modules/" + next + "/updates/drv_davinci.ko"},
		"installed as an update by DKMS":  {module: "lib/modules/" + next + "/updates/dkms/drv_davinci.ko"},
		"not built":                       {warns: true},
		"another module, of another make": {module: "lib/modules/" + next + "/updates/nvidia.ko", warns: true},
	} {
		t.Run(name, func(t *testing.T) {
			files := complete()
			if c.module != "" {
				files[c.module] = &fstest.MapFile{}
			}
			if found := kernelWarnings(files, next, "grubby", false); (len(found) > 0) != c.warns {
				t.Errorf("warned of %+v", found)
			}
		})
	}
}

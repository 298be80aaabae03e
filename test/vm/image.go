package vm

import (
	"errors"
	"os"
	"path/filepath"

	"devserver-agent/test/debian"
)

// packages of the machine beside what Debian calls essential.
var packages = []string{
	"systemd", "systemd-sysv", "dbus", "libpam-systemd", "procps", "iproute2", "ca-certificates", "kmod", "udev",
	"linux-image-cloud-amd64", "initramfs-tools", "openssh-server", "e2fsprogs",
}

// Files of an image.
const (
	kernelFile = "vmlinuz"
	initrdFile = "initrd"
	diskFile   = "disk.qcow2"
	keyFile    = "key"
)

// fixed is what every machine has on its disk.
var fixed = map[string]string{
	"etc/hostname":   "vm\n",
	"etc/machine-id": "",
	"etc/fstab":      "srv /srv virtiofs defaults 0 0\n",
	// The machine's own network: qemu's, see qemu(1), -netdev user.
	"etc/systemd/network/eth0.network":       "[Match]\nName=eth0\n[Network]\nAddress=10.0.2.15/24\nGateway=10.0.2.2\nLinkLocalAddressing=no\n",
	"etc/systemd/journald.conf.d/kept.conf":  "[Journal]\nStorage=persistent\n",
	"etc/initramfs-tools/conf.d/modules":     "MODULES=list\n",
	"etc/initramfs-tools/modules":            "virtio_pci\nvirtio_blk\nvirtio_net\nvirtio_rng\next4\n",
	"etc/ssh/sshd_config.d/quick.conf":       "UseDNS no\n",
	"etc/sysctl.d/sysrq.conf":                "kernel.sysrq = 1\n",
	"etc/modules-load.d/virtiofs.conf":       "virtiofs\n",
	"etc/systemd/system.conf.d/patient.conf": "[Manager]\nDefaultTimeoutStartSec=300\n",
}

// idle are units that nothing here needs.
var idle = []string{
	"apt-daily.timer", "apt-daily-upgrade.timer", "dpkg-db-backup.timer", "e2scrub_all.timer", "e2scrub_reap.service", "fstrim.timer",
	"systemd-networkd-wait-online.service", "systemd-timesyncd.service", "getty@tty1.service", "serial-getty@ttyS0.service",
}

// image is the folder of the image that all machines are copies of.
func image() (string, error) {
	return debian.Cached("vm-1", func(at string) error {
		root := filepath.Join(at, "root")
		if err := errors.Join(os.MkdirAll(at, 0o700), debian.Make(root, "amd64", packages...)); err != nil {
			return err
		}
		for name, text := range fixed {
			path := filepath.Join(root, name)
			if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
				return err
			}
		}
		units := filepath.Join(root, "etc/systemd/system")
		for _, unit := range idle {
			if err := os.Symlink("/dev/null", filepath.Join(units, unit)); err != nil {
				return err
			}
		}
		raw, key := filepath.Join(at, "disk.raw"), filepath.Join(at, keyFile)
		kernels, err := os.ReadDir(filepath.Join(root, "lib/modules"))
		if err != nil {
			return err
		}
		kernel := kernels[0].Name()
		return errors.Join(
			os.MkdirAll(filepath.Join(units, "multi-user.target.wants"), 0o755),
			os.Symlink("/lib/systemd/system/systemd-networkd.service", filepath.Join(units, "multi-user.target.wants/systemd-networkd.service")),
			debian.Run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key),
			debian.Run("install", "-D", "-m", "600", key+".pub", filepath.Join(root, "root/.ssh/authorized_keys")),
			debian.Run("chroot", root, "mkinitramfs", "-o", "/boot/initrd.small", kernel),
			debian.Run("cp", filepath.Join(root, "boot/vmlinuz-"+kernel), filepath.Join(at, kernelFile)),
			debian.Run("mv", filepath.Join(root, "boot/initrd.small"), filepath.Join(at, initrdFile)),
			debian.Run("truncate", "--size=2G", raw),
			debian.Run("mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=1,lazy_journal_init=1", "-d", root, raw),
			debian.Run("qemu-img", "convert", "-O", "qcow2", raw, filepath.Join(at, diskFile)),
			os.Remove(raw), os.RemoveAll(root),
		)
	})
}

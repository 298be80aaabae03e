package facts

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Machine identifies this machine: the installation of its operating system
// (/etc/machine-id) and its board (DMI product_uuid), each hashed, since
// machine-id(5) asks that it not be shown to others. Another disk image or
// another board is another machine. A part that the host does not have, or that
// only root may read and we are not, is left out; with neither it is "", which
// says nothing about any machine.
func Machine(files fs.FS) (string, error) {
	var parts []string
	for _, source := range []struct{ name, file string }{
		{"os", "etc/machine-id"},
		{"board", "sys/class/dmi/id/product_uuid"},
	} {
		id, err := firstLine(files, source.file)
		if errors.Is(err, fs.ErrPermission) {
			continue
		}
		if err != nil {
			return "", fmt.Errorf("identify the machine: %w", err)
		}
		id = strings.ToLower(id)
		if !identifies(id) {
			continue
		}
		sum := sha256.Sum256([]byte("devserver-agent " + source.name + " " + id))
		parts = append(parts, source.name+":"+hex.EncodeToString(sum[:8]))
	}
	return strings.Join(parts, " "), nil
}

// identifies reports whether an id is more than a placeholder: firmware that
// was never given one has all zeros or all ones (SMBIOS 7.2.1), and an image
// that was never booted says "uninitialized" (machine-id(5)).
func identifies(id string) bool {
	digits := strings.ReplaceAll(id, "-", "")
	return strings.Trim(digits, "0") != "" && strings.Trim(digits, "f") != "" && id != "uninitialized"
}

// BootID is the id of the running boot, from file, an absolute path such as
// /proc/sys/kernel/random/boot_id. It changes with every boot and at no other
// time.
func BootID(file string) (string, error) {
	id, err := firstLine(os.DirFS(filepath.Dir(file)), filepath.Base(file))
	if err != nil {
		return "", fmt.Errorf("boot id: %w", err)
	}
	if id == "" || len(id) > 128 {
		return "", fmt.Errorf("boot id: %s is missing or holds none; see host.boot_id_file", file)
	}
	return id, nil
}

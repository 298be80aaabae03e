// Package facts finds out what this host is and tells it: the Facts message,
// the identity of machine and boot, and the heartbeat.
//
// Everything is read from files below the host's root; no program is run and no
// NPU is touched: chips are counted by what the PCI bus says of them. What is
// not there is left out, so a partly readable host still has facts. Nothing is
// written.
package facts

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/shirou/gopsutil/v3/common"
	"github.com/shirou/gopsutil/v3/mem"
	"golang.org/x/sys/unix"

	"devserver-agent/executors/ascend"
	"devserver-agent/protocol"
)

// Collect completes base with what the files below root say of the host, and
// with the time. base holds what the caller knows: ids, names, versions and
// executors. The facts are good to send even with an error, which says what
// could not be read. While a task has the host exclusively nobody calls it.
func Collect(ctx context.Context, root string, base protocol.Facts) (protocol.Facts, error) {
	files := os.DirFS(root)
	f := base
	f.At = protocol.Millis(time.Now())
	var err [6]error
	f.Hostname, err[0] = firstLine(files, "proc/sys/kernel/hostname", "etc/hostname")
	f.Kernel, err[1] = firstLine(files, "proc/sys/kernel/osrelease")
	f.OS, err[2] = osName(files)
	f.CPUs, err[3] = cpus(files)
	f.BootedAt, err[4] = bootedAt(files)
	f.NPUs, err[5] = chips(files)
	f.Arch = arch()
	f.MemoryBytes = memory(ctx, root)
	return f, errors.Join(err[:]...)
}

// Digest is equal for facts that say the same. When they were taken and the
// computed time of the boot do not count: the latter moves whenever the clock
// is set, and another boot has another BootID.
func Digest(f protocol.Facts) (string, error) {
	f.At, f.BootedAt = 0, 0
	text, err := json.Marshal(f)
	if err != nil {
		return "", fmt.Errorf("encode facts: %w", err)
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:]), nil
}

// arch is the machine as uname -m prints it.
func arch() string {
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		return "" // it fails for a bad address only, uname(2)
	}
	return unix.ByteSliceToString(name.Machine[:])
}

// memory is the size of the host's memory in bytes, 0 if it is not known:
// gopsutil reads meminfo and tells nothing of a file that is not there.
func memory(ctx context.Context, root string) uint64 {
	ctx = context.WithValue(ctx, common.EnvKey, common.EnvMap{common.HostProcEnvKey: filepath.Join(root, "proc")})
	stat, err := mem.VirtualMemoryWithContext(ctx)
	if err != nil {
		return 0
	}
	return stat.Total
}

// bootedAt reads the time of the boot from /proc/stat, proc(5), in
// milliseconds. gopsutil's BootTime subtracts the uptime from the clock, which
// gives another second from call to call.
func bootedAt(files fs.FS) (int64, error) {
	text, err := read(files, "proc/stat")
	if err != nil {
		return 0, err
	}
	for line := range bytes.Lines(text) {
		if value, ok := strings.CutPrefix(string(line), "btime "); ok {
			seconds, err := strconv.ParseInt(strings.TrimSpace(value), 10, 64)
			if err != nil || seconds < 0 || seconds > 1<<40 {
				return 0, fmt.Errorf("read /proc/stat: btime %.40q is not a time", value)
			}
			return seconds * 1000, nil
		}
	}
	return 0, nil
}

// chips names the family of every NPU on the PCI bus, or its PCI device id if
// the family is not known yet.
func chips(files fs.FS) ([]string, error) {
	devices, err := ascend.Devices(files)
	names := make([]string, 0, len(devices))
	for _, d := range devices {
		name := string(d.Chip)
		if name == "" {
			name = fmt.Sprintf("0x%04x", d.ID)
		}
		names = append(names, name)
	}
	return names, err
}

package diagnosis

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/shirou/gopsutil/v3/common"
	diskstat "github.com/shirou/gopsutil/v3/disk"
	"github.com/shirou/gopsutil/v3/mem"

	"devserver-agent/executors"
	"devserver-agent/executors/ascend"
)

// Limits of this project's own.
const (
	diskLow   = 95 // percent in use
	diskFull  = 99
	memoryLow = 5 // percent available
)

// disk warns before the file systems are full that the driver, its logs and the
// agent need.
type disk struct{}

func (disk) run(ctx context.Context, p *probe) (string, []Finding) {
	var found []Finding
	var examined []string
	seen := map[string]bool{}
	for _, dir := range []string{"/", "/usr/local/Ascend", "/var/log", "/var/lib", "/boot"} {
		if !exists(p.host.Files(), strings.TrimPrefix(filepath.Clean("."+dir), "/")) {
			continue
		}
		usage, err := diskstat.UsageWithContext(ctx, filepath.Join(p.root, dir))
		if err != nil {
			found = append(found, Finding{Grade: Skip, What: fmt.Sprintf("%s: %v", dir, err)})
			continue
		}
		if key := fmt.Sprint(usage.Total, usage.Free, usage.InodesTotal); seen[key] {
			continue // the same file system
		} else {
			seen[key] = true
		}
		examined = append(examined, dir)
		found = append(found, judgeDisk(dir, usage)...)
	}
	return "file systems of " + strings.Join(examined, ", "), found
}

func judgeDisk(dir string, usage *diskstat.UsageStat) []Finding {
	const do = "Make room; old logs are in /var/log and under npu, /root/ascend and ~/ascend."
	var found []Finding
	for _, kind := range []struct {
		what string
		used float64
	}{{"space", usage.UsedPercent}, {"inodes", usage.InodesUsedPercent}} {
		switch {
		case kind.used >= diskFull:
			found = append(found, Finding{Fail, fmt.Sprintf("%s: %.0f %% of its %s is in use", dir, kind.used, kind.what), do})
		case kind.used >= diskLow:
			found = append(found, Finding{Warn, fmt.Sprintf("%s: %.0f %% of its %s is in use", dir, kind.used, kind.what), do})
		}
	}
	return found
}

// memory warns when the host's memory is nearly used up, huge pages included.
type memory struct{}

func (memory) run(ctx context.Context, p *probe) (string, []Finding) {
	ctx = context.WithValue(ctx, common.EnvKey, common.EnvMap{common.HostProcEnvKey: filepath.Join(p.root, "proc")})
	stat, err := mem.VirtualMemoryWithContext(ctx)
	if err != nil || stat.Total == 0 {
		return "/proc/meminfo", []Finding{{Grade: Skip, What: "/proc/meminfo cannot be read"}}
	}
	var found []Finding
	if percent := float64(stat.Available) * 100 / float64(stat.Total); percent < memoryLow {
		found = append(found, Finding{Warn, fmt.Sprintf("%.1f %% of the host's memory is available", percent), "See what uses it; jobs on the NPUs need memory of the host too."})
	}
	if stat.HugePagesTotal > 0 {
		found = append(found, Finding{Grade: Info, What: fmt.Sprintf("huge pages: %d, free: %d", stat.HugePagesTotal, stat.HugePagesFree)})
	}
	return fmt.Sprintf("%d GiB of memory", stat.Total>>30), found
}

// clock warns when nobody keeps the clock: certificates and the deadlines of tasks
// depend on it.
type clock struct{}

// synchronised are the words before timedatectl's answer, before and since systemd 239.
var synchronised = []string{"system clock synchronized", "ntp synchronized"}

func (clock) run(ctx context.Context, p *probe) (string, []Finding) {
	const examined = "timedatectl"
	reply, err := p.host.Query(ctx, "timedatectl", "status")
	switch {
	case errors.Is(err, executors.ErrNotFound):
		return examined, []Finding{{Grade: Skip, What: "timedatectl not found"}}
	case err != nil:
		return examined, []Finding{{Grade: Skip, What: fmt.Sprintf("timedatectl: %v", err)}}
	}
	for line := range strings.Lines(string(reply.Output)) {
		key, value, _ := strings.Cut(line, ":")
		key, value = strings.ToLower(strings.TrimSpace(key)), strings.TrimSpace(value)
		for _, words := range synchronised {
			switch {
			case key != words:
			case value == "yes":
				return examined, nil
			default:
				return examined, []Finding{{Warn, "the clock is not synchronised", "Set up chrony or systemd-timesyncd."}}
			}
		}
	}
	return examined, []Finding{{Grade: Skip, What: "timedatectl does not report it: " + ascend.Excerpt(reply.Output)}}
}

package main

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"devserver-agent/executors/ascend"
	"devserver-agent/executors/hdk/repository"
	"devserver-agent/test/fakehost"
)

const (
	simulatedHosts = 1000
	perProcess     = 100
	slowest        = 30 * time.Second // one installer's time on the slowest host
	quickest       = 5 * time.Second
	// loner is the host whose upgrade, alone, is the floor: as slow as the slowest.
	loner = "sim-alone"
	// target is the release that A2 hosts are taken to.
	target = "24.1.0.3"
)

// thousand measures an upgrade with a restart over a fleet, POST to FINISHED,
// beside the same on the slowest of its hosts alone, and what the broker and the
// control plane take in memory meanwhile.
func thousand(ctx context.Context, b bench) (figures []figure, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	packages, err := b.packages(target)
	if err != nil {
		return nil, err
	}
	broker, plane, err := b.apart(ctx)
	if err != nil {
		return nil, err
	}
	ids := []string{loner}
	for i := range simulatedHosts {
		ids = append(ids, fmt.Sprintf("sim-%04d", i))
	}
	agents, err := b.simulated(ctx, ids, plane, packages)
	if err != nil {
		return nil, err
	}
	if err := within(ctx, 3*time.Minute, time.Second, "all agents", func() bool { return plane.present() >= len(ids) }); err != nil {
		return nil, err
	}
	before, err := residents(broker, plane.process)
	if err != nil {
		return nil, err
	}
	floor, err := plane.upgrade(ctx, ids[:1])
	if err != nil {
		return nil, err
	}
	took, err := plane.upgrade(ctx, ids[1:])
	if err != nil {
		return nil, err
	}
	after, err := residents(broker, plane.process)
	if err != nil {
		return nil, err
	}
	if err := b.untouched(ids); err != nil {
		return nil, err
	}
	heap, err := residents(agents...)
	if err != nil {
		return nil, err
	}
	var sum int64
	for _, one := range heap {
		sum += one.peak
	}
	return []figure{
		{what: fmt.Sprintf("upgrade with restart of %d simulated hosts, POST to FINISHED (floor: the slowest of them alone)", simulatedHosts),
			value: took.Round(time.Millisecond).String(), floor: floor.Round(time.Millisecond).String(), ratio: fmt.Sprintf("%.2f", float64(took)/float64(floor))},
		{what: "  broker, RSS with the fleet connected, then its peak", value: mb(before[0].now) + ", " + mb(after[0].peak)},
		{what: "  control plane, RSS with the fleet connected, then its peak", value: mb(before[1].now) + ", " + mb(after[1].peak)},
		{what: fmt.Sprintf("  a simulated agent and its host, RSS at the peak, %d to a process", perProcess), value: mb(sum / int64(len(ids)))},
	}, nil
}

// packages writes a repository whose packages simulated hosts can play.
func (b bench) packages(driver string) (dir string, err error) {
	dir = filepath.Join(b.dir, "hdk")
	profile, err := fakehost.A2.Profile()
	if err != nil {
		return "", err
	}
	var release repository.Release
	for _, r := range profile.Releases {
		if r.Driver != driver {
			continue
		}
		described, err := r.Packages(fakehost.A2)
		if err != nil {
			return "", err
		}
		for _, p := range described {
			content := filepath.Join(b.dir, "content", p.Kind)
			entry := repository.Package{Kind: repository.Kind(p.Kind), Chip: ascend.Chip(p.Chip), Arch: repository.NoArch,
				Version: ascend.Version(p.Version), File: p.FileName(), Requires: p.Requires}
			if entry.Size, entry.SHA256, err = write(filepath.Join(dir, entry.File), content+"\n"); err == nil {
				err = p.Unpack(content)
			}
			if err != nil {
				return "", err
			}
			release.Packages = append(release.Packages, entry)
		}
		release.Version = ascend.Version(r.Driver)
	}
	raw, err := json.Marshal(repository.Index{Releases: []repository.Release{release}})
	if err != nil {
		return "", err
	}
	return dir, repository.WriteIndex(dir, raw)
}

// write makes a file and says what an index says of it.
func write(path, text string) (size int64, digest string, err error) {
	err = os.MkdirAll(filepath.Dir(path), 0o700)
	if err == nil {
		err = os.WriteFile(path, []byte(text), 0o600)
	}
	return int64(len(text)), fmt.Sprintf("%x", sha256.Sum256([]byte(text))), err
}

// apart starts a broker and a control plane as two processes.
func (b bench) apart(ctx context.Context) (broker *exec.Cmd, p *plane, err error) {
	api, listen, err := freePorts()
	if err != nil {
		return nil, nil, err
	}
	p = &plane{http: "http://" + api + "/v1/bench/dev-servers", nats: "nats://" + listen}
	broker, err = b.program(ctx, "broker.log", filepath.Join(b.bin, "e2e-broker"), "--dir", filepath.Join(b.dir, "broker"), "--listen", listen)
	if err != nil {
		return nil, nil, err
	}
	return broker, p, b.startPlane(ctx, p, "--listen", api, "--nats", p.nats)
}

// simulated makes the hosts and starts the processes of their agents.
func (b bench) simulated(ctx context.Context, ids []string, p *plane, packages string) (processes []*exec.Cmd, err error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	var files []string
	for i, id := range ids {
		pace := quickest + time.Duration(i)*(slowest-quickest)/time.Duration(len(ids)-1)
		if id == loner {
			pace = slowest
		}
		h, err := fakehost.New(filepath.Join(b.dir, id), fakehost.A2, fakehost.Options{Binary: filepath.Join(b.bin, "fakehost"), ServerID: id, Pace: pace})
		if err != nil {
			return nil, err
		}
		file := filepath.Join(b.dir, id+".yaml")
		text := fmt.Sprintf("server_id: %s\nstate_dir: %s\nnats: {servers: [%q], spread: 5s}\ntrust: {keys: [%q]}\nhost: {root: %s, boot_id_file: %s, reboot_command: [%s]}\nhdk: {repository: %s}\nlog: {level: warn}\n",
			id, filepath.Join(b.dir, id+"-state"), p.nats, p.key, h.Root(), h.BootIDFile(), h.RebootCommand()[0], packages)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			return nil, err
		}
		files = append(files, file)
	}
	for n := 0; len(files) > 0; n++ {
		some := files[:min(perProcess, len(files))]
		files = files[len(some):]
		cmd, err := b.program(ctx, fmt.Sprintf("agents-%d.log", n), append([]string{self, simulateArg}, some...)...)
		if err != nil {
			return nil, err
		}
		processes = append(processes, cmd)
	}
	return processes, nil
}

// upgrade posts an upgrade of all these servers at once and waits for its end.
// Anything but SUCCESS everywhere is an error.
func (p *plane) upgrade(ctx context.Context, ids []string) (time.Duration, error) {
	began := time.Now()
	id, err := p.post(map[string]any{
		"name": "bench", "type": "HDK_UPGRADE", "server_ids": ids, "is_reboot": true, "max_concurrent": len(ids),
		"items": []map[string]any{{"type": "HDK_UPGRADE", "spec": map[string]string{"version": target}}},
	})
	if err != nil {
		return 0, err
	}
	var j job
	every := time.Duration(1+len(ids)/2) * time.Millisecond // the answer grows with the job
	err = within(ctx, 15*time.Minute, every, "the job", func() bool {
		return p.get("/jobs/"+id, &j) == nil && j.Status == "FINISHED"
	})
	took := time.Since(began)
	if err != nil {
		return 0, err
	}
	for _, task := range j.Tasks {
		if task.Status != "SUCCESS" || len(task.Late) > 0 {
			err = errors.Join(err, fmt.Errorf("%s ended with %s, %d late: %s", task.ServerID, task.Status, len(task.Late), task.Message))
		}
	}
	return took, err
}

// untouched looks whether anything was done to a host more than once.
func (b bench) untouched(ids []string) (wrong error) {
	for _, id := range ids {
		h, err := fakehost.Open(filepath.Join(b.dir, id))
		if err != nil {
			return err
		}
		events, err := h.Events()
		if err != nil {
			return err
		}
		firmware, driver := len(events.Of(fakehost.KindStart, fakehost.FirmwareInstaller)), len(events.Of(fakehost.KindStart, fakehost.DriverInstaller))
		if boots := len(events.Of(fakehost.KindPower, "boot")); firmware != 1 || driver != 1 || boots != 1 {
			wrong = errors.Join(wrong, fmt.Errorf("%s: firmware was installed %d times, the driver %d, the host restarted %d", id, firmware, driver, boots))
		}
	}
	return wrong
}

type resident struct{ now, peak int64 } // bytes

func residents(processes ...*exec.Cmd) (all []resident, err error) {
	for _, p := range processes {
		status, err := fields(filepath.Join("/proc", fmt.Sprint(p.Process.Pid), "status"))
		if err != nil {
			return nil, err
		}
		all = append(all, resident{status["VmRSS"] * 1024, status["VmHWM"] * 1024})
	}
	return all, nil
}

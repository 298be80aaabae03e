package main

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"devserver-agent/executors/hdk/repository"
	"devserver-agent/test/fakehost"
)

const (
	upgrades = 5
	// installing is the time that each installer takes by itself.
	installing = 5 * time.Second
	gigabyte   = 1 << 30
	fetches    = 3
)

// upgrade measures what the agent adds to an upgrade: POST to FINISHED without
// the time in which the host is down, beside the same installers called by hand.
// Fetching a package of a gigabyte is measured apart, beside copying and hashing
// it once.
func upgrade(ctx context.Context, b bench) ([]figure, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	packages, err := b.archives(ctx)
	if err != nil {
		return nil, err
	}
	plane, err := b.plane(ctx)
	if err != nil {
		return nil, err
	}
	var took, floors, added []time.Duration
	for n := range upgrades {
		floor, err := b.byHand(ctx, fmt.Sprintf("by-hand-%d", n), packages)
		if err != nil {
			return nil, err
		}
		by, err := b.byAgent(ctx, fmt.Sprintf("by-agent-%d", n), plane, packages)
		if err != nil {
			return nil, err
		}
		took, floors, added = append(took, by), append(floors, floor), append(added, by-floor)
	}
	least, limit := median(floors), time.Second+median(floors)/100
	fetched, err := b.fetch(ctx)
	return append([]figure{{
		what:  fmt.Sprintf("upgrade of an A2 with restart, the host's down time left out (median of %d; floor: its installers by hand)", upgrades),
		value: median(took).Round(time.Millisecond).String(), floor: least.Round(time.Millisecond).String(),
		ratio: fmt.Sprintf("%.2f", float64(median(took))/float64(least)),
	}, {
		what: "  added by the agent", value: median(added).Round(time.Millisecond).String(),
		limit: "1 s + 1 % = " + limit.Round(time.Millisecond).String(), missed: median(added) > limit,
	}}, fetched...), err
}

// archives writes a repository of real packages of the target release.
func (b bench) archives(ctx context.Context) (built []fakehost.Built, err error) {
	dir := filepath.Join(b.dir, "hdk")
	profile, err := fakehost.A2.Profile()
	if err != nil {
		return nil, err
	}
	for _, r := range profile.Releases {
		if r.Driver != target {
			continue
		}
		described, err := r.Packages(fakehost.A2)
		if err != nil {
			return nil, err
		}
		if built, err = fakehost.BuildPackages(dir, described); err != nil {
			return nil, err
		}
	}
	index, _, err := repository.Scan(ctx, dir)
	if err != nil {
		return nil, err
	}
	raw, err := json.Marshal(index)
	if err != nil {
		return nil, err
	}
	return built, repository.WriteIndex(dir, raw)
}

// byHand calls a release's installers as an operator would: firmware, then driver.
func (b bench) byHand(ctx context.Context, id string, packages []fakehost.Built) (took time.Duration, err error) {
	h, err := b.a2(id)
	if err != nil {
		return 0, err
	}
	for _, kind := range []string{fakehost.Firmware, fakehost.Driver} {
		for _, p := range packages {
			if p.Kind != kind {
				continue
			}
			cmd := exec.CommandContext(ctx, p.Path, "--upgrade", "--quiet")
			cmd.Env = []string{"PATH=" + h.SearchPath()}
			began := time.Now()
			out, err := cmd.CombinedOutput()
			took += time.Since(began)
			var exit *exec.ExitError
			if err != nil && (!errors.As(err, &exit) || exit.ExitCode() != 2) { // 2: done, takes effect after a restart
				return 0, fmt.Errorf("%s: %w\n%s", p.Path, err, out)
			}
		}
	}
	return took, nil
}

func (b bench) a2(id string) (*fakehost.Host, error) {
	return fakehost.New(filepath.Join(b.dir, id), fakehost.A2, fakehost.Options{Binary: filepath.Join(b.bin, "fakehost"), ServerID: id, Pace: installing})
}

// byAgent has an agent do it, on a host with an init that restarts it.
func (b bench) byAgent(ctx context.Context, id string, p *plane, packages []fakehost.Built) (added time.Duration, err error) {
	h, err := b.a2(id)
	if err != nil {
		return 0, err
	}
	config := filepath.Join(b.dir, id+".yaml")
	text := fmt.Sprintf("server_id: %s\nstate_dir: %s\nnats: {servers: [%q], spread: 1s}\ntrust: {keys: [%q]}\nhost: {root: %s, boot_id_file: %s, reboot_command: [%s]}\nhdk: {repository: %s}\nlog: {level: warn}\n",
		id, filepath.Join(b.dir, id+"-state"), p.nats, p.key, h.Root(), h.BootIDFile(), h.RebootCommand()[0], filepath.Dir(packages[0].Path))
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return 0, err
	}
	before := p.present()
	machine, err := h.Boot(ctx, fakehost.Command{Argv: []string{filepath.Join(b.bin, "devserver-agent"), "run", "--config", config}})
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, machine.Stop()) }()
	if err := until(ctx, "the agent", func() bool { return p.present() > before }); err != nil {
		return 0, err
	}
	took, err := p.upgrade(ctx, []string{id})
	if err != nil {
		return 0, err
	}
	down, err := downTime(h)
	return took - down, err
}

// downTime is from the request of a host's restart to the start of its next agent.
func downTime(h *fakehost.Host) (time.Duration, error) {
	events, err := h.Events()
	if err != nil {
		return 0, err
	}
	for i, e := range events {
		if e.Kind != fakehost.KindPower || e.Name != "reboot" {
			continue
		}
		for _, next := range events[i:].Of(fakehost.KindAgent, "start") {
			return next.At.Sub(e.At), nil
		}
	}
	return 0, errors.New("the host was not restarted")
}

// fetch measures a package of a gigabyte on its way from a folder into a task's.
func (b bench) fetch(ctx context.Context) ([]figure, error) {
	source := filepath.Join(b.dir, "large")
	p := repository.Package{Kind: repository.Driver, Version: "1.0", File: "large.run"}
	if err := os.MkdirAll(source, 0o700); err != nil {
		return nil, err
	}
	file, err := os.Create(filepath.Join(source, p.File))
	if err != nil {
		return nil, err
	}
	sum := sha256.New()
	if p.Size, err = io.CopyN(io.MultiWriter(file, sum), rand.NewChaCha8([32]byte{1}), gigabyte); err != nil {
		return nil, err
	}
	if err := errors.Join(file.Sync(), file.Close()); err != nil {
		return nil, err
	}
	p.SHA256 = fmt.Sprintf("%x", sum.Sum(nil))
	var all, floors []time.Duration
	for n := range fetches {
		floor, err := copyOnce(filepath.Join(source, p.File), filepath.Join(b.dir, "copy"))
		if err != nil {
			return nil, err
		}
		cache, task := repository.Cache{Dir: filepath.Join(b.dir, fmt.Sprint("cache-", n))}, filepath.Join(b.dir, fmt.Sprint("task-", n))
		began := time.Now()
		if _, err := cache.Fetch(ctx, repository.Folder(source), p, task, nil); err != nil {
			return nil, err
		}
		all, floors = append(all, time.Since(began)), append(floors, floor)
		if err := errors.Join(os.RemoveAll(cache.Dir), os.RemoveAll(task)); err != nil {
			return nil, err
		}
	}
	took, floor := median(all), median(floors)
	return []figure{{
		what:  fmt.Sprintf("  apart from that: a package of 1 GiB from a folder, fetched, verified, kept (median of %d; floor: copied, hashed and synced once)", fetches),
		value: took.Round(time.Millisecond).String(), floor: floor.Round(time.Millisecond).String(), ratio: fmt.Sprintf("%.2f", float64(took)/float64(floor)),
	}}, nil
}

func copyOnce(from, to string) (time.Duration, error) {
	began := time.Now()
	in, err := os.Open(from)
	if err != nil {
		return 0, err
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		return 0, err
	}
	_, err = io.Copy(io.MultiWriter(out, sha256.New()), in)
	err = errors.Join(err, out.Sync(), out.Close())
	return time.Since(began), errors.Join(err, os.Remove(to))
}

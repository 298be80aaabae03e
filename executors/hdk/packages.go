package hdk

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"syscall"

	"devserver-agent/executors"
	"devserver-agent/executors/ascend"
	"devserver-agent/executors/hdk/repository"
	"devserver-agent/protocol"
)

func (r *run) index(ctx context.Context) (repository.Index, error) {
	if r.Source == nil {
		return repository.Index{}, repository.ErrNone
	}
	return r.Cache.Index(ctx, r.Source)
}

func (p *plan) lacksIndex(err error) {
	p.block(protocol.HDKRepository, "the HDK repository cannot be read: %v", err)
}

func releases(index repository.Index) string {
	var names []string
	for _, r := range index.Releases {
		names = append(names, string(r.Version))
	}
	slices.Sort(names)
	names = slices.Compact(names)
	if len(names) == 0 {
		return "none"
	}
	return clipList(names, 20)
}

// choose finds the package of a kind and version in a format that this host
// takes, or blocks.
func (r *run) choose(p *plan, index repository.Index, wanted *repository.Package) {
	found := index.Find(p.Target.Driver, wanted.Kind, p.Chip, p.Arch, wanted.Version)
	if len(found) == 0 && p.Chip != "" {
		p.block(protocol.HDKPackageNotFound, "the repository has no %s %s for %s on %s", wanted.Kind, wanted.Version, p.Chip, p.Arch)
		return
	}
	takes := formats(r.host.Files())
	for _, format := range takes {
		if at := slices.IndexFunc(found, func(f repository.Package) bool { return f.Format() == format }); at >= 0 {
			*wanted = found[at]
			return
		}
	}
	if len(found) > 0 {
		p.block(protocol.HDKPackageNotFound, "the repository has %s %s only as %s, and this host takes %s", wanted.Kind, wanted.Version, found[0].Format(), clipList(words(takes), 9))
	}
}

// formats are those of the packages that a host takes, the best first. What a
// host is by its package database, not by the tools that happen to be on it.
func formats(files fs.FS) []repository.Format {
	takes := []repository.Format{repository.Run}
	for _, database := range []struct {
		path   string
		format repository.Format
	}{{"var/lib/dpkg/status", repository.Deb}, {"var/lib/rpm", repository.RPM}, {"usr/lib/sysimage/rpm", repository.RPM}} {
		if _, err := fs.Stat(files, database.path); err == nil {
			return append(takes, database.format, repository.Image)
		}
	}
	return append(takes, repository.Image)
}

func words[T ~string](list []T) []string {
	var all []string
	for _, word := range list {
		all = append(all, string(word))
	}
	return all
}

// findRollbackPackages finds the packages that a rollback needs, before anything is
// changed: a host that has lost its driver may not reach the repository any more.
func (r *run) findRollbackPackages(p *plan, index repository.Index) {
	for _, part := range []struct {
		kind    repository.Kind
		version ascend.Version
	}{{repository.Firmware, p.Former.Firmware}, {repository.Driver, p.Former.Driver}} {
		if part.version == "" {
			p.warn("no former %s is known: a rollback could not return to it", part.kind)
			continue
		}
		back := install{Package: repository.Package{Kind: part.kind, Version: part.version}, Options: r.options("--upgrade")}
		r.choose(p, index, &back.Package)
		if back.Package.File != "" {
			p.RollbackPackages = append(p.RollbackPackages, back)
		}
	}
}

// fetch brings the packages into the item's folder and verifies them there.
func (r *run) fetch(ctx context.Context, p *plan) error {
	if slices.ContainsFunc(p.Findings, func(f finding) bool { return f.Code == protocol.HDKDiskSpace && f.Blocks }) {
		return nil
	}
	packages := append(slices.Clone(p.Installs), p.RollbackPackages...)
	if image := p.MCU.Package; image.File != "" {
		packages = append(packages, install{Package: image})
	}
	for n, i := range packages {
		progress := func(bytes int64) {
			share := float64(n) + float64(bytes)/float64(i.Package.Size)
			r.host.Progress(int(float64(planShare)*share/float64(len(packages))), "fetching "+i.String())
		}
		path, err := r.ready(ctx, i.Package, progress)
		if err == nil {
			err = repository.Examine(ctx, path, i.Package)
		}
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case errors.Is(err, repository.ErrDamaged), errors.Is(err, repository.ErrOtherPackage):
			p.block(protocol.HDKPackageDamaged, "%v", err)
		case errors.Is(err, fs.ErrNotExist):
			p.block(protocol.HDKPackageNotFound, "%s is in the index and not in the repository", i.Package.File)
		case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
			p.block(protocol.HDKDiskSpace, "%v", err)
		case err != nil:
			p.block(protocol.HDKRepository, "%v", err)
		}
	}
	return nil
}

// ready makes sure that a package is in the item's folder, verified.
func (r *run) ready(ctx context.Context, p repository.Package, progress func(int64)) (string, error) {
	dir, err := r.host.Scratch()
	if err != nil {
		return "", executors.Fail(protocol.ExecutorFailed, "The folder for packages cannot be made: %w.", err)
	}
	return r.Cache.Fetch(ctx, r.Source, p, dir, progress)
}

func clipList(names []string, most int) string {
	if len(names) > most {
		names = append(names[:most:most], fmt.Sprintf("and %d more", len(names)-most))
	}
	return strings.Join(names, ", ")
}

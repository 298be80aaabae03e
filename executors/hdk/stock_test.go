package hdk_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"devserver-agent/executors/hdk/repository"
	"devserver-agent/test/fakehost"
)

func TestMain(m *testing.M) { os.Exit(inWarehouse(m)) }

// warehouse is the folder of what is built once for all tests: packages, which are real
// archives, and repositories of them. Tests only read what is in it.
var warehouse string

func inWarehouse(m *testing.M) int {
	dir, err := os.MkdirTemp("", "hdk-packages-*")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	warehouse = dir
	return fakehost.Main(m)
}

// common is a repository with releases of all models.
var common = sync.OnceValues(func() (string, error) {
	dir := filepath.Join(warehouse, "common")
	for model, drivers := range map[fakehost.Model][]string{
		fakehost.A2: {"24.1.0", "24.1.0.3", "25.5.2"}, fakehost.A3: {"24.1.rc3.9", "24.1.rc3.10"},
		fakehost.P310: {"24.1.0.1", "24.1.1.1", "25.3.rc1"}, fakehost.B310: {"24.1.0"},
	} {
		profile, err := model.Profile()
		if err != nil {
			return "", err
		}
		for _, r := range profile.Releases {
			if !slices.Contains(drivers, r.Driver) {
				continue
			}
			described, err := r.Packages(model)
			if err != nil {
				return "", err
			}
			if _, err := fakehost.BuildPackages(filepath.Join(dir, string(model)+"-"+r.Driver), described); err != nil {
				return "", err
			}
		}
	}
	index, notes, err := repository.Scan(context.Background(), dir)
	if err != nil || len(notes) > 0 {
		return "", errors.Join(err, errors.New(strings.Join(notes, "\n")))
	}
	return dir, writeIndex(dir, index)
})

func writeIndex(dir string, index repository.Index) error {
	raw, err := json.Marshal(index)
	if err != nil {
		return err
	}
	return repository.WriteIndex(dir, raw)
}

// repo is the path of the common repository.
func repo(t *testing.T) string {
	t.Helper()
	dir, err := common()
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// stocks are the other repositories, by what is in them.
var stocks sync.Map // of func() (string, error)

// stock gives the rig a repository with more packages than the common one has, or others.
func (r *rig) stock(withCommon bool, packages ...fakehost.Package) {
	r.Helper()
	build := sync.OnceValues(func() (string, error) { return buildStock(withCommon, packages) })
	known, _ := stocks.LoadOrStore(fmt.Sprint(withCommon, packages), build)
	dir, err := known.(func() (string, error))()
	if err != nil {
		r.Fatal(err)
	}
	r.upgrade.Source = repository.Folder(dir)
}

func buildStock(withCommon bool, packages []fakehost.Package) (string, error) {
	dir, err := os.MkdirTemp(warehouse, "stock-*")
	if err != nil {
		return "", err
	}
	if withCommon {
		if err := linkCommon(dir); err != nil {
			return "", err
		}
	}
	if _, err := fakehost.BuildPackages(filepath.Join(dir, "more"), packages); err != nil {
		return "", err
	}
	index, _, err := repository.Scan(context.Background(), dir)
	if err != nil {
		return "", err
	}
	return dir, writeIndex(dir, index)
}

// linkCommon puts the packages of the common repository into a folder too.
func linkCommon(dir string) error {
	from, err := common()
	if err != nil {
		return err
	}
	return link(from, dir)
}

// link puts the packages of a repository into a folder too, without the index.
func link(from, dir string) error {
	return fs.WalkDir(os.DirFS(from), ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir():
			return os.MkdirAll(filepath.Join(dir, name), 0o755)
		case filepath.Ext(name) == ".json": // the index
			return nil
		}
		return os.Link(filepath.Join(from, name), filepath.Join(dir, name))
	})
}

// reindex gives the rig a repository in which the firmware of release 24.1.0.3
// is described otherwise.
func (r *rig) reindex(change func(*repository.Package) []repository.Package) {
	r.Helper()
	r.withIndex(func(index *repository.Index) {
		for i, release := range index.Releases {
			var changed []repository.Package
			for _, p := range release.Packages {
				if release.Version == "24.1.0.3" && p.Kind == repository.Firmware {
					changed = append(changed, change(&p)...)
				} else {
					changed = append(changed, p)
				}
			}
			index.Releases[i].Packages = changed
		}
	})
}

func (r *rig) keepOnly(version string) {
	r.Helper()
	r.withIndex(func(index *repository.Index) {
		index.Releases = slices.DeleteFunc(index.Releases, func(release repository.Release) bool { return string(release.Version) != version })
	})
}

// withIndex gives the rig the common repository with another index.
func (r *rig) withIndex(change func(*repository.Index)) {
	r.Helper()
	index, err := r.upgrade.Cache.Index(context.Background(), repository.Folder(repo(r.T)))
	if err != nil {
		r.Fatal(err)
	}
	change(&index)
	dir := r.TempDir()
	if err := errors.Join(linkCommon(dir), writeIndex(dir, index)); err != nil {
		r.Fatal(err)
	}
	r.upgrade.Source = repository.Folder(dir)
}

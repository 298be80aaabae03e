package repository_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"devserver-agent/executors/ascend"
	"devserver-agent/executors/hdk/repository"
	"devserver-agent/test/fakehost"
)

func TestAFileIsComparedWithItsIndex(t *testing.T) {
	dir := t.TempDir()
	for name, c := range map[string]struct {
		pkg    fakehost.Package
		change func(*repository.Package)
		harm   fakehost.Harm
		want   error
	}{
		"as declared":                       {pkg: driver("24.1.0", "")},
		"a firmware":                        {pkg: firmware("7.5.0.2.220", "")},
		"an rpm":                            {pkg: fakehost.Package{Kind: fakehost.Driver, Format: fakehost.RPM, Chip: "910b", Version: "24.1.0"}},
		"a deb":                             {pkg: fakehost.Package{Kind: fakehost.Driver, Format: fakehost.Deb, Chip: "910b", Version: "24.1.0"}},
		"another chip":                      {pkg: driver("24.1.0", ""), change: func(p *repository.Package) { p.Chip = ascend.Chip910_93 }, want: repository.ErrOtherPackage},
		"another kind":                      {pkg: driver("24.1.0", ""), change: func(p *repository.Package) { p.Kind = repository.Firmware }, want: repository.ErrOtherPackage},
		"another version":                   {pkg: driver("24.1.0", ""), change: func(p *repository.Package) { p.Version = "24.1.0.3" }, want: repository.ErrOtherPackage},
		"another architecture":              {pkg: driver("24.1.0", ""), change: func(p *repository.Package) { p.Arch = "riscv64" }, want: repository.ErrOtherPackage},
		"another version, rpm":              {pkg: fakehost.Package{Kind: fakehost.Driver, Format: fakehost.RPM, Chip: "910b", Version: "24.1.0"}, change: func(p *repository.Package) { p.Version = "24.1.0.3" }, want: repository.ErrOtherPackage},
		"content for any architecture, rpm": {pkg: fakehost.Package{Kind: fakehost.Firmware, Format: fakehost.RPM, Chip: "910b", Version: "7.5.0.2.220"}, change: func(p *repository.Package) { p.Arch = "aarch64" }},
		"content for any architecture, deb": {pkg: fakehost.Package{Kind: fakehost.Firmware, Format: fakehost.Deb, Chip: "910b", Version: "7.5.0.2.220"}, change: func(p *repository.Package) { p.Arch = "aarch64" }},
		"damaged":                           {pkg: driver("24.1.0", ""), harm: fakehost.InTheMiddle, want: repository.ErrDamaged},
		"an MCU's image":                    {pkg: fakehost.Package{Kind: fakehost.MCU, Chip: "910b", Version: "25.50.10"}},
		"for any architecture":              {pkg: driver("24.1.0", ""), change: func(p *repository.Package) { p.Arch = repository.NoArch }},
	} {
		t.Run(name, func(t *testing.T) {
			built := build(t, dir, filepath.Base(t.Name()), c.pkg)[0]
			p := repository.Package{Kind: repository.Kind(c.pkg.Kind), Chip: ascend.Chip(c.pkg.Chip), Arch: built.Arch, Version: ascend.Version(c.pkg.Version), File: filepath.Base(built.Path)}
			if c.change != nil {
				c.change(&p)
			}
			if c.harm != "" {
				whole, err := os.ReadFile(built.Path)
				if err != nil {
					t.Fatal(err)
				}
				content, err := c.harm.Do(whole)
				if err == nil {
					err = os.WriteFile(built.Path, content, 0o644)
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			if err := repository.Examine(t.Context(), built.Path, p); !errors.Is(err, c.want) || (err == nil) != (c.want == nil) {
				t.Errorf("got %v, want %v", err, c.want)
			}
		})
	}
	if err := repository.Examine(t.Context(), filepath.Join(dir, "none.run"), repository.Package{File: "none.run"}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
}

// What the indexer would leave out as something else is no package, whatever an index says.
func TestAFileThatIsNoPackageIsAnotherPackage(t *testing.T) {
	contradictory := archive(header{label: "ASCEND-HDK-910B-NPU DRIVER RUN PACKAGE"}, pack(t, "gzip", tarOf(t, "version.info", "Version=24.1.0\n", "driver/script/specific_func.inc", "device_bdf=\"0x19e5:0xd803\"\n")))
	for name, c := range map[string]struct {
		content []byte
		says    string
	}{
		"nginx.deb": {[]byte(strings.Replace(string(debOf(t, "arm64")), "Ascend910B-driver", "nginx-light-extra", 1)), `is the deb of a package "nginx-light-extra"`},
		"i386.deb":  {debOf(t, "i386"), `"i386" is not one that is known`},
		"label.run": {contradictory, "its label says chip"},
	} {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, c.content, 0o600); err != nil {
			t.Fatal(err)
		}
		p := repository.Package{Kind: repository.Driver, Chip: ascend.Chip910B, Arch: "aarch64", Version: "24.1.0", File: name}
		if err := repository.Examine(t.Context(), path, p); !errors.Is(err, repository.ErrOtherPackage) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

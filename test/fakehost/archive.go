package fakehost

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
)

// ErrNoMakeself says that the program that makes the archives is missing.
var ErrNoMakeself = errors.New("fakehost: makeself is not installed: apt-get install makeself")

// Built is a package on disk.
type Built struct {
	Package
	Path   string
	Size   int64
	SHA256 string // lower-case hex
}

// BuildPackages writes each package to dir as an executable makeself archive. Built
// twice, a package has the same bytes. Its startup script runs the program
// ascend-fake-installer of the PATH, so it installs onto the fake host whose folders
// come first there (Host.SearchPath); beside the script the archive holds version.info
// and scene.info. ErrNoMakeself if the program is missing.
func BuildPackages(dir string, packages []Package) ([]Built, error) {
	if _, err := exec.LookPath("makeself"); err != nil {
		return nil, ErrNoMakeself
	}
	header, err := ascendHeader()
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	var built []Built
	for _, p := range packages {
		b, err := p.buildAny(dir, header)
		if err != nil {
			return built, fmt.Errorf("fakehost: build %s: %w", p.FileName(), err)
		}
		built = append(built, b)
	}
	return built, nil
}

const startScript = `#!/bin/sh
# The startup script of a fake HDK package.
command -v ascend-fake-installer >/dev/null || { echo "no fake host's /usr/local/sbin is in PATH"; exit 1; }
exec ascend-fake-installer "$PWD" "$@"
`

// buildAny builds a package of any kind and format.
func (p Package) buildAny(dir string, header []byte) (Built, error) {
	if p.Kind == MCU {
		return p.buildImage(dir)
	}
	b, err := p.build(dir, header)
	wrap := map[string]func(Package, []byte) ([]byte, error){RPM: wrapRPM, Deb: wrapDeb}[p.Format]
	if err != nil || wrap == nil {
		return b, err
	}
	archive, err := os.ReadFile(b.Path)
	if err == nil {
		archive, err = wrap(b.Package, archive)
	}
	if err == nil {
		err = replaceFile(b.Path, archive, 0o644)
	}
	if err == nil {
		b.Size, b.SHA256, err = measure(b.Path)
	}
	return b, err
}

// buildImage writes an MCU's image: a line that says whose and which it is.
func (p Package) buildImage(dir string) (Built, error) {
	b := Built{Package: p, Path: filepath.Join(dir, p.FileName())}
	b.Arch = p.arch()
	content := []byte(Magic[HPM] + p.Chip + " " + p.Version + "\n")
	if p.format() == Zip {
		var packed bytes.Buffer
		archive := zip.NewWriter(&packed)
		image := p
		image.Format = HPM
		for name, text := range map[string][]byte{image.FileName(): content, image.FileName() + ".cms": []byte("signature"), "crldata.crl": []byte("revoked: none")} {
			file, err := archive.Create(name)
			if err == nil {
				_, err = file.Write(text)
			}
			if err != nil {
				return Built{}, err
			}
		}
		if err := archive.Close(); err != nil {
			return Built{}, err
		}
		content = packed.Bytes()
	}
	err := replaceFile(b.Path, content, 0o644)
	if err == nil {
		b.Size, b.SHA256, err = measure(b.Path)
	}
	return b, err
}

func (p Package) build(dir string, header []byte) (Built, error) {
	work, err := os.MkdirTemp(dir, ".build-*")
	if err != nil {
		return Built{}, err
	}
	defer os.RemoveAll(work)
	content := filepath.Join(work, "content")
	err = errors.Join(p.Unpack(content), replaceFile(filepath.Join(work, "header.sh"), header, 0o644))
	if p.Pad > 0 {
		err = errors.Join(err, writeNoise(filepath.Join(content, "payload.bin"), p.Pad))
	}
	if err != nil {
		return Built{}, err
	}
	label := fmt.Sprintf("ASCEND-HDK-%s-NPU %s RUN PACKAGE", strings.ToUpper(p.Chip), strings.ToUpper(p.Kind))
	// The level goes to gzip as it stands; n keeps a temporary file's name and time out.
	cmd := exec.Command("makeself", "--quiet", "--complevel", "9n", "--nox11", "--sha256", "--nomd5", "--nocrc", "--header", "./header.sh",
		"--tar-extra", "--mtime=@1700000000 --sort=name --owner=0 --group=0 --numeric-owner",
		"--packaging-date", "Mon Mar  2 09:00:00 UTC 2026", "./content", "./package.run", label, "./install.sh")
	cmd.Dir = work
	if out, err := cmd.CombinedOutput(); err != nil {
		return Built{}, fmt.Errorf("makeself: %w\n%s", err, out)
	}
	b := Built{Package: p, Path: filepath.Join(dir, p.FileName())}
	b.Arch = p.arch()
	if err := os.Rename(filepath.Join(work, "package.run"), b.Path); err != nil {
		return Built{}, err
	}
	b.Size, b.SHA256, err = measure(b.Path)
	return b, err
}

// deviceIDs are the PCI devices that a chip's driver is for.
var deviceIDs = map[string]string{"310": "d100", "310b": "d107", "310p": "d500", "910": "d801", "910b": "d802", "910_93": "d803", "950": "d806"}

// Unpack writes to dir what the package's archive holds, without its padding.
func (p Package) Unpack(dir string) error {
	scene := fmt.Sprintf("os=linux\narch=%s\nchip=%s\nkind=%s\n", p.arch(), p.Chip, p.Kind)
	err := errors.Join(
		replaceFile(filepath.Join(dir, "install.sh"), []byte(startScript), 0o755),
		replaceFile(filepath.Join(dir, "version.info"), []byte(versionInfo(p.Kind, p.Version, p.Requires)), 0o444),
		replaceFile(filepath.Join(dir, "scene.info"), []byte(scene), 0o444))
	if id := deviceIDs[p.Chip]; p.Kind == Driver && id != "" {
		// The vendor's installer compares this with the host's devices.
		specific := "#!/bin/bash\ndevice_bdf=\"0x19e5:0x" + id + "\"\n"
		err = errors.Join(err, replaceFile(filepath.Join(dir, "driver", "script", "specific_func.inc"), []byte(specific), 0o440))
	}
	return err
}

func measure(path string) (int64, string, error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, "", err
	}
	defer f.Close()
	sum := sha256.New()
	n, err := io.Copy(sum, f)
	return n, fmt.Sprintf("%x", sum.Sum(nil)), err
}

// writeNoise writes size bytes that are the same each time.
func writeNoise(path string, size int64) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	_, err = io.CopyN(f, rand.NewChaCha8([32]byte{'a', 's', 'c', 'e', 'n', 'd'}), size)
	return errors.Join(err, f.Close())
}

// ascendHeader is makeself's own header, altered as the vendor's packages show it: a
// flag that the header does not know goes to the installer, and so do --quiet and --check,
// after the sums were checked. Two more
// changes are for speed only, and save half the time of an archive: its sum is taken by
// sha256sum, not by the Perl script shasum, and the shell counts without expr, which is a
// process for each number.
var ascendHeader = sync.OnceValues(func() ([]byte, error) {
	count := regexp.MustCompile("\\\\`expr (.*?)\\\\`") // \`expr \$3 / 1024\`, quoted as the header is
	unknownFlag := regexp.MustCompile(`(?m)^(\s*)-\*\)\n(\s*echo Unrecognized flag)`)
	for _, dir := range []string{"/usr/share/makeself", "/usr/libexec/makeself", "/usr/lib/makeself", "/usr/local/share/makeself"} {
		raw, err := os.ReadFile(filepath.Join(dir, "makeself-header.sh"))
		if err != nil {
			continue
		}
		text := unknownFlag.ReplaceAllString(string(raw), "$1-*) break ;;\n$1--never)\n$2")
		altered := strings.Replace(text, "-q | --quiet)", "-q)", 1)
		checked := strings.Replace(altered, "MS_Check \"\\$0\" y\n\texit 0", "MS_Check \"\\$0\" y\n\tbreak", 1)
		if text == string(raw) || altered == text || checked == altered {
			return nil, fmt.Errorf("fakehost: %s/makeself-header.sh is of a version this package does not know", dir)
		}
		altered = strings.Replace(checked, "which shasum || command -v shasum || type shasum", "which sha256sum || command -v sha256sum || type sha256sum", 1)
		altered = count.ReplaceAllString(strings.ReplaceAll(altered, ` \+ `, " + "), `\$$(($1))`)
		return []byte(altered), nil
	}
	return nil, fmt.Errorf("%w (its makeself-header.sh was not found)", ErrNoMakeself)
})

package hdk_test

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"devserver-agent/executors"
	"devserver-agent/executors/hdk/repository"
	"devserver-agent/protocol"
	"devserver-agent/test/fakehost"
)

// installerSymptoms are what packages and their installers do on real hosts: published
// reports of people who ran them, and the scripts themselves.
var installerSymptoms = []symptom{
	{name: "The driver's archive is damaged in its middle", prepare: harmed(repository.Driver, fakehost.InTheMiddle), code: protocol.HDKPackageDamaged, says: "Ascend-hdk-910b-npu-driver_24.1.0.3_linux-"},
	{name: "The driver's archive is damaged, on a bare host", prepare: func(r *rig) { r.bare(); harmed(repository.Driver, fakehost.AtTheEnd)(r) }, code: protocol.HDKPackageDamaged, says: "is damaged: the payload's SHA-256 is"},
	{name: "The archives are not whole", prepare: func(r *rig) {
		harmed(repository.Driver, fakehost.Shorter)(r)
		harmed(repository.Firmware, fakehost.Shorter)(r)
	}, code: protocol.HDKPackageDamaged, says: "is damaged: "},
	{name: "The archive of a former version is damaged, for a rollback", spec: executors.Spec{"rollback": "true"}, prepare: harmedRelease("24.1.0", repository.Driver, fakehost.InTheMiddle), code: protocol.HDKPackageDamaged, says: "Ascend-hdk-910b-npu-driver_24.1.0_linux-"},
	{name: "A damaged archive, in a dry run", spec: executors.Spec{"dry_run": "true"}, prepare: harmed(repository.Driver, fakehost.InTheMiddle), code: protocol.HDKPackageDamaged, says: "is damaged: the payload's SHA-256 is"},
	{name: "A package is for another chip than its index declares", prepare: func(r *rig) {
		r.reindex(func(p *repository.Package) []repository.Package { return []repository.Package{*p} })
		r.swap("A2-24.1.0.3/Ascend-hdk-910b-npu-driver_24.1.0.3", "Atlas-A3-hdk-npu-driver_24.1.rc3.10")
	}, code: protocol.HDKPackageDamaged, says: "is another package than the index declares: the index says chip 910b, its content 910_93"},
	{name: "The host has no tar", prepare: without("tar"), code: protocol.HDKHostNotReady, says: "Extraction failed", prints: "warning: the packages are archives that cannot be unpacked without what is not here: tar"},
	{name: "The host has no gzip", prepare: without("gzip"), code: protocol.HDKHostNotReady, says: "Decompression failed", prints: "warning: the packages are archives that cannot be unpacked without what is not here: gzip"},
	{name: "The folder for temporary files is on a file system with noexec", prepare: func(r *rig) { r.upgrade.NoExec = func(string) bool { return true } }, code: protocol.HDKHostNotReady, says: "may not be executed: its file system is mounted with noexec"},

	{name: "The driver's installer asks for the kernel's path", faults: one(fakehost.InstallAsks, "kind=driver"), code: protocol.HDKInstallFailed,
		says: `failed: it asks "Do you want to try build driver after input kernel absolute path? [y/n]", which nobody can answer here, and was ended; /var/log/ascend_seclog/ascend_rebuild.log says: /lib/modules/5.10.0-216.0.0.115.oe2203sp4/build does not exist. The host was not restarted. Now: Driver: missing (no version.info) | Firmware: 7.5.0.5.220`},
	{name: "The firmware's installer asks before it writes a chip", faults: one(fakehost.InstallAsks, "kind=firmware", "percent=0", "question=path"), code: protocol.HDKInstallFailed,
		says: `it asks "You are going to put run-files on a unsecure install-path, do you want to continue? [y/n]", which nobody can answer here, and was ended. The host was not restarted. Now: ` + oldA2},
	{name: "An installer asks without an end of the line", faults: one(fakehost.InstallAsks, "kind=driver", "percent=0", "question=license"), code: protocol.HDKInstallFailed,
		says: `it asks "Please type y to accept, n otherwise:", which nobody can answer here, and was ended`},
	{name: "An installer repeats itself without end", faults: one(fakehost.InstallRepeats, "kind=driver"), code: protocol.HDKInstallFailed, says: `it printed "Waiting for device startup..." over and over, and was ended`},
	{name: "An installer prints without end", faults: one(fakehost.InstallFloods, "kind=driver"), code: protocol.HDKInstallFailed, says: "it printed more than 4 MiB, and was ended"},
	{name: "An installer exits with 0 and has done nothing", faults: one(fakehost.InstallExits, "kind=driver", "code=0"), code: protocol.HDKInstallFailed, says: "it does not say that it installed anything, and version.info says 24.1.0: it gave no reason"},
	{name: "An installer exits with 2 and has done nothing", faults: one(fakehost.InstallExits, "kind=driver", "code=2"), code: protocol.HDKInstallFailed, says: "it does not say that it installed anything, and version.info says 24.1.0: it gave no reason"},
	{name: "An installer exits with 1 without a word of its own", faults: one(fakehost.InstallExits, "kind=driver", "says=cp: cannot stat 'host': No such file or directory"), code: protocol.HDKInstallFailed, says: "its last words: "},
	{name: "An installer's script is broken", faults: one(fakehost.InstallExits, "kind=driver", "code=2", "says=./install.sh: line 12: syntax error: unexpected end of file"), code: protocol.HDKInstallFailed, says: "syntax error: unexpected end of file (exit code 2)"},
	{name: "An installer cannot execute what it unpacked", faults: one(fakehost.InstallExits, "kind=firmware", "code=126", "says=/root/a.run: line 702: ./install.sh: Permission denied"), code: protocol.HDKInstallFailed, says: "./install.sh: Permission denied (exit code 126)"},
	{name: "An installer lacks a program", faults: one(fakehost.InstallExits, "kind=driver", "code=127", "says=./install.sh: line 40: lspci: command not found"), code: protocol.HDKInstallFailed, says: "Install lspci on the host"},
	{name: "The installer may start no more processes", faults: one(fakehost.InstallExits, "kind=driver", "code=254", "says=./install.sh: fork: retry: Resource temporarily unavailable|./install.sh: fork: Resource temporarily unavailable"), code: protocol.HDKInstallFailed, says: "The host allows no more processes. See TasksMax"},
	{name: "There is no room in the folder for temporary files", faults: one(fakehost.InstallExits, "kind=driver", "says=Not enough space left in /tmp (61440 KB) to decompress /root/a.run (812004 KB)"), code: protocol.HDKInstallFailed, says: "Make room in /tmp: 61440 KB are free, 812004 KB are needed"},
	{name: "An installer gives its reason as information only", faults: one(fakehost.InstallExits, "kind=driver", "percent=10", "says=[Driver] [2026-11-28 10:31:02] [INFO]Failed to upgrade driver package, please retry after uninstall and reboot!"), code: protocol.HDKInstallFailed, says: "failed: Failed to upgrade driver package, please retry after uninstall and reboot (exit code 1). The host was not restarted. Now: Driver: missing (no version.info)"},

	{name: "The kernel's headers are missing", faults: refuses("headers"), code: protocol.HDKInstallFailed, says: "Drv_dkms_env_check failed; /var/log/ascend_seclog/ascend_install.log says: linux headers is currently not installed. / driver vermagic check failed (exit code 1)"},
	{name: "The driver's files cannot be copied", faults: refuses("copy"), code: protocol.HDKInstallFailed, says: "Its files could not be copied"},
	{name: "The package is signed in another mode", faults: refuses("signature"), code: protocol.HDKInstallFailed, says: "Currently configured is [pss]"},
	{name: "The package's images are revoked", faults: refuses("revoked"), code: protocol.HDKInstallFailed, says: "Device_images_crl_check failed"},
	{name: "Files for the chips are missing", faults: refuses("rename"), code: protocol.HDKInstallFailed, says: "davinci_mini.image) is missing"},
	{name: "/lib/davinci.conf cannot be written", faults: refuses("path"), code: protocol.HDKInstallFailed, says: "/lib/davinci.conf cannot be written"},
	{name: "The kernel module cannot be built", faults: refuses("module"), code: protocol.HDKInstallFailed, says: "Driver_ko_install failed"},
	{name: "The driver's services cannot be set up", faults: refuses("services"), code: protocol.HDKInstallFailed, says: "The driver's services could not be set up"},
	{name: "The kernel module cannot be loaded", faults: refuses("load"), code: protocol.HDKInstallFailed, says: "The kernel module was built and cannot be loaded"},
	{name: "The installation's folder does not belong to root", faults: refuses("owner"), code: protocol.HDKInstallFailed, says: "should belong to root"},
	{name: "The installation's folder has a wrong mode", faults: refuses("mode"), code: protocol.HDKInstallFailed, says: "permission is too small"},
	{name: "An all-in-one package is installed", faults: refuses("bundle"), code: protocol.HDKInstallFailed, says: "Uninstall the all-in-one package"},
	{name: "A livepatch cannot be taken away", faults: refuses("recovery"), code: protocol.HDKInstallFailed, says: "so reboot is recommended"},
}

func refuses(step string) []fault { return one(fakehost.InstallRefuses, "step="+step) }

// bare takes the HDK from the host.
func (r *rig) bare() {
	r.Helper()
	err := r.fake.Update(func(s *fakehost.State) error {
		s.Installed, s.Pending = fakehost.Release{}, fakehost.Release{}
		for i := range s.Chips {
			s.Chips[i].Running.Driver = ""
		}
		return nil
	})
	if err != nil {
		r.Fatal(err)
	}
}

func harmed(kind repository.Kind, how fakehost.Harm) func(*rig) {
	return harmedRelease("24.1.0.3", kind, how)
}

// swap puts another package in the place of one, and has the index declare its digest.
func (r *rig) swap(one, other string) {
	r.Helper()
	dir := string(r.upgrade.Source.(repository.Folder))
	found, err := filepath.Glob(filepath.Join(dir, "*", other+"*"))
	if err != nil || len(found) != 1 {
		r.Fatal(found, err)
	}
	content, err := os.ReadFile(found[0])
	if err != nil {
		r.Fatal(err)
	}
	index, err := r.upgrade.Cache.Index(r.Context(), repository.Folder(dir))
	if err != nil {
		r.Fatal(err)
	}
	for _, release := range index.Releases {
		for n, p := range release.Packages {
			if strings.HasPrefix(p.File, one) {
				r.replace(filepath.Join(dir, p.File), content)
				release.Packages[n].Size, release.Packages[n].SHA256 = int64(len(content)), fmt.Sprintf("%x", sha256.Sum256(content))
			}
		}
	}
	if err := writeIndex(dir, index); err != nil {
		r.Fatal(err)
	}
}

// replace gives a file of a repository other content. The file may be the warehouse's, too.
func (r *rig) replace(path string, content []byte) {
	r.Helper()
	if err := errors.Join(os.Remove(path), os.WriteFile(path, content, 0o644)); err != nil {
		r.Fatal(err)
	}
}

// harmedRelease gives the rig a repository with a damaged archive, of which the index was
// made afterwards.
func harmedRelease(version string, kind repository.Kind, how fakehost.Harm) func(*rig) {
	return func(r *rig) { r.Helper(); r.harm(version, kind, how, true) }
}

func (r *rig) harm(version string, kind repository.Kind, how fakehost.Harm, indexed bool) {
	r.Helper()
	from := r.upgrade.Source.(repository.Folder)
	index, err := r.upgrade.Cache.Index(r.Context(), from)
	if err != nil {
		r.Fatal(err)
	}
	dir := r.TempDir()
	if err := link(string(from), dir); err != nil {
		r.Fatal(err)
	}
	for _, release := range index.Releases {
		for n, p := range release.Packages {
			if string(release.Version) != version || p.Kind != kind || !strings.Contains(p.File, "910b") {
				continue
			}
			path := filepath.Join(dir, p.File)
			whole, err := os.ReadFile(path)
			if err != nil {
				r.Fatal(err)
			}
			content, err := how.Do(whole)
			if err != nil {
				r.Fatal(err)
			}
			r.replace(path, content)
			if indexed {
				release.Packages[n].Size, release.Packages[n].SHA256 = int64(len(content)), fmt.Sprintf("%x", sha256.Sum256(content))
			}
		}
	}
	if err := writeIndex(dir, index); err != nil {
		r.Fatal(err)
	}
	r.upgrade.Source = repository.Folder(dir)
}

// without takes a program from the host and from the machine that it is played on.
func without(tool string) func(*rig) {
	return func(r *rig) {
		r.Helper()
		r.remove("usr/bin/" + tool)
		toolbox := r.TempDir()
		dirs := filepath.SplitList(os.Getenv("PATH"))
		for _, dir := range dirs {
			entries, err := os.ReadDir(dir)
			if err != nil {
				continue // a folder of the PATH need not be there
			}
			for _, entry := range entries {
				if entry.Name() != tool {
					_ = os.Symlink(filepath.Join(dir, entry.Name()), filepath.Join(toolbox, entry.Name())) // the first of a name counts
				}
			}
		}
		own := strings.TrimSuffix(r.fake.SearchPath(), os.Getenv("PATH"))
		r.host.Env = append(r.host.Env, "PATH="+own+toolbox)
	}
}

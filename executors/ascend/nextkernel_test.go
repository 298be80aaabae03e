package ascend

import (
	"context"
	"io/fs"
	"testing"
	"testing/fstest"
	"testing/synctest"

	"devserver-agent/executors"
)

const (
	oldKernel = "5.15.0-91-generic"
	newKernel = "5.15.0-102-generic"
)

func TestTheKernelOfTheNextStart(t *testing.T) {
	file := func(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text)} }
	link := func(to string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(to), Mode: fs.ModeSymlink} }
	entry := func(release string) *fstest.MapFile {
		return file("title Linux (" + release + ")\nversion " + release + "\nlinux /vmlinuz-" + release + "\n")
	}
	both := func(more fstest.MapFS) fstest.MapFS {
		all := fstest.MapFS{"boot/vmlinuz-" + oldKernel: file(""), "boot/vmlinuz-" + newKernel: file("")}
		for name, f := range more {
			all[name] = f
		}
		return all
	}
	for name, c := range map[string]struct {
		files        fstest.MapFS
		release, how string
	}{
		"nothing is known":                    {fstest.MapFS{}, "", ""},
		"the newest in /boot":                 {both(nil), newKernel, "the newest kernel in /boot"},
		"a link":                              {both(fstest.MapFS{"boot/vmlinuz": link("vmlinuz-" + oldKernel)}), oldKernel, "/boot/vmlinuz"},
		"a link in the root":                  {both(fstest.MapFS{"vmlinuz": link("boot/vmlinuz-" + oldKernel)}), oldKernel, "/vmlinuz"},
		"grub's first entry":                  {both(fstest.MapFS{"boot/grub/grub.cfg": file("set default=\"0\"\nmenuentry 'Linux' {\n\tlinux\t/boot/vmlinuz-" + newKernel + " root=/dev/sda1\n}\nmenuentry {\n linux /vmlinuz-" + oldKernel + "\n}\n"), "boot/vmlinuz": link("vmlinuz-" + oldKernel)}), newKernel, "/boot/grub/grub.cfg"},
		"a saved title":                       {both(fstest.MapFS{"etc/default/grub": file("GRUB_DEFAULT=saved\n"), "boot/grub2/grubenv": file("# GRUB Environment Block\nsaved_entry=Linux (" + oldKernel + ") 22.03\n")}), oldKernel, "/boot/grub2/grubenv"},
		"a saved submenu, grub of EFI":        {both(fstest.MapFS{"etc/default/grub": file("GRUB_DEFAULT=saved\n"), "boot/efi/EFI/ubuntu/grubenv": file("saved_entry=gnulinux-advanced-0a>gnulinux-" + oldKernel + "-advanced-0a\n")}), oldKernel, "/boot/efi/EFI/ubuntu/grubenv"},
		"once another":                        {both(fstest.MapFS{"boot/grub/grubenv": file("saved_entry=Linux (" + newKernel + ")\nnext_entry=Linux (" + oldKernel + ")\n")}), oldKernel, "/boot/grub/grubenv"},
		"saved, and not asked for":            {both(fstest.MapFS{"boot/grub/grubenv": file("saved_entry=Linux (" + oldKernel + ")\n"), "etc/default/grub": file("GRUB_DEFAULT=0\n")}), newKernel, "the newest kernel in /boot"},
		"a configured title":                  {both(fstest.MapFS{"etc/default/grub": file("GRUB_TIMEOUT=5\nGRUB_DEFAULT=\"Advanced options>Linux, with Linux " + oldKernel + "\"\n")}), oldKernel, "/etc/default/grub"},
		"grub's first entry, saved":           {both(fstest.MapFS{"boot/grub/grubenv": file("saved_entry=0\n"), "etc/default/grub": file("GRUB_DEFAULT=saved\n"), "boot/grub/grub.cfg": file("menuentry 'Linux' {\n\tlinux\t/vmlinuz-" + oldKernel + "\n}\n")}), oldKernel, "/boot/grub/grub.cfg"},
		"a number that means nothing":         {both(fstest.MapFS{"etc/default/grub": file("GRUB_DEFAULT=7\n")}), "", `/etc/default/grub names the entry "7", and no grub.cfg was found to look it up in`},
		"a saved boot loader entry":           {fstest.MapFS{"etc/default/grub": file("GRUB_DEFAULT=saved\n"), "boot/grub2/grubenv": file("saved_entry=0af-" + oldKernel + "\n"), "boot/loader/entries/0af-" + oldKernel + ".conf": entry(oldKernel), "boot/loader/entries/0af-" + newKernel + ".conf": entry(newKernel)}, oldKernel, "/boot/grub2/grubenv"},
		"a number of an entry":                {fstest.MapFS{"etc/default/grub": file("GRUB_DEFAULT=saved\n"), "boot/grub2/grub.cfg": file("insmod blscfg\nblscfg\n"), "boot/grub2/grubenv": file("saved_entry=1\n"), "boot/loader/entries/0af-" + oldKernel + ".conf": entry(oldKernel), "boot/loader/entries/0af-" + newKernel + ".conf": entry(newKernel)}, oldKernel, "/boot/grub2/grubenv"},
		"a saved title, by now an old one":    {both(fstest.MapFS{"boot/grub2/grubenv": file("saved_entry=Linux (" + oldKernel + ") 22.03\n")}), newKernel, "the newest kernel in /boot"},
		"a saved title and other settings":    {both(fstest.MapFS{"boot/grub2/grubenv": file("saved_entry=Linux (" + oldKernel + ") 22.03\n"), "etc/default/grub": file("GRUB_TIMEOUT=5\n#GRUB_DEFAULT=saved\n")}), newKernel, "the newest kernel in /boot"},
		"a comment after the setting":         {both(fstest.MapFS{"boot/grub2/grubenv": file("saved_entry=Linux (" + oldKernel + ")\n"), "etc/default/grub": file("GRUB_DEFAULT=saved # the one of last time\n")}), oldKernel, "/boot/grub2/grubenv"},
		"single quotes and a comment":         {both(fstest.MapFS{"boot/grub2/grubenv": file("saved_entry=Linux (" + oldKernel + ")\n"), "etc/default/grub": file("export GRUB_DEFAULT='saved'\t# x\n")}), oldKernel, "/boot/grub2/grubenv"},
		"a path of numbers without a menu":    {both(fstest.MapFS{"etc/default/grub": file("GRUB_DEFAULT='1>2'\n")}), "", `/etc/default/grub names the entry "1>2", and no grub.cfg was found to look it up in`},
		"a setting that a shell computes":     {both(fstest.MapFS{"etc/default/grub": file("GRUB_DEFAULT=\"$CHOSEN\"\n")}), "", `/etc/default/grub names the entry "?", and no grub.cfg was found to look it up in`},
		"a title that names no installed one": {both(fstest.MapFS{"etc/default/grub": file("GRUB_DEFAULT='Windows'\n")}), "", `/etc/default/grub names the entry "Windows", and no grub.cfg was found to look it up in`},
		"a longer release than the titles":    {both(fstest.MapFS{"boot/vmlinuz-5.15.0-9": file(""), "etc/default/grub": file("GRUB_DEFAULT='Linux 5.15.0-91-generic'\n")}), oldKernel, "/etc/default/grub"},
		"tabs in an entry":                    {fstest.MapFS{"boot/loader/entries/a.conf": file("title\tLinux\nversion\t" + oldKernel + "\nlinux\t\t/vmlinuz-" + oldKernel + "\n")}, oldKernel, "/boot/loader/entries"},
		"an entry's comment":                  {fstest.MapFS{"boot/loader/entries/a.conf": file("#linux /vmlinuz-" + newKernel + "\n  linux   /0af/" + oldKernel + "/linux\n version \t" + oldKernel + "\n")}, oldKernel, "/boot/loader/entries"},
		"systemd-boot's default":              {fstest.MapFS{"boot/loader/loader.conf": file("timeout 3\n#default no\ndefault\t0af-5.15.0-91*\n"), "boot/loader/entries/0af-" + oldKernel + ".conf": entry(oldKernel), "boot/loader/entries/0af-" + newKernel + ".conf": entry(newKernel)}, oldKernel, "/boot/loader/loader.conf"},
		"systemd-boot's default, by its file": {fstest.MapFS{"boot/efi/loader/loader.conf": file("default 0af-" + oldKernel + ".conf\n"), "boot/efi/loader/entries/0af-" + oldKernel + ".conf": entry(oldKernel), "boot/efi/loader/entries/0af-" + newKernel + ".conf": entry(newKernel)}, oldKernel, "/boot/efi/loader/loader.conf"},
		"systemd-boot's default was removed":  {fstest.MapFS{"boot/loader/loader.conf": file("default gone-*\n"), "boot/loader/entries/0af-" + oldKernel + ".conf": entry(oldKernel), "boot/loader/entries/0af-" + newKernel + ".conf": entry(newKernel)}, newKernel, "/boot/loader/entries"},
		"systemd-boot's default is saved":     {fstest.MapFS{"boot/loader/loader.conf": file("default @saved\n"), "boot/loader/entries/0af-" + oldKernel + ".conf": entry(oldKernel)}, "", "/boot/loader/loader.conf names @saved, which the firmware keeps"},
		"systemd-boot was asked for another":  {fstest.MapFS{"sys/firmware/efi/efivars/LoaderEntryOneShot-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f": file("x"), "boot/loader/loader.conf": file("timeout 3\n"), "boot/loader/entries/0af-" + oldKernel + ".conf": entry(oldKernel)}, "", "the EFI variable LoaderEntryOneShot names the entry that systemd-boot takes"},
		"a link to a link":                    {both(fstest.MapFS{"vmlinuz": link("boot/vmlinuz"), "boot/vmlinuz": link("/boot/vmlinuz.old"), "boot/vmlinuz.old": link("vmlinuz-" + oldKernel)}), oldKernel, "/boot/vmlinuz"},
		"links that go round":                 {both(fstest.MapFS{"boot/vmlinuz": link("Image"), "boot/Image": link("vmlinuz")}), newKernel, "the newest kernel in /boot"},
		"the newest entry":                    {fstest.MapFS{"boot/loader/entries/0af-" + oldKernel + ".conf": entry(oldKernel), "boot/loader/entries/0af-" + newKernel + ".conf": entry(newKernel), "boot/loader/entries/0af-0-rescue.conf": file("version 9.9.9\nlinux /vmlinuz-0-rescue-0af\n")}, newKernel, "/boot/loader/entries"},
	} {
		t.Run(name, func(t *testing.T) {
			if release, how := NextKernel(c.files); release != c.release || how != c.how {
				t.Errorf("it is %q by %q, want %q by %q", release, how, c.release, c.how)
			}
		})
	}
}

// grubbyHost answers grubby only.
type grubbyHost struct {
	files fs.FS
	reply executors.Reply
}

func (h grubbyHost) Files() fs.FS { return h.files }

func (h grubbyHost) Query(_ context.Context, argv ...string) (executors.Reply, error) {
	if argv[0] != "grubby" {
		return executors.Reply{}, executors.ErrNotFound
	}
	return h.reply, nil
}

func TestGrubbyKnowsBetter(t *testing.T) {
	files := fstest.MapFS{"boot/vmlinuz-" + newKernel: &fstest.MapFile{}}
	for reply, want := range map[string]string{"/boot/vmlinuz-" + oldKernel + "\n": oldKernel, "The param /boot/grub2/grubenv is incorrect\n": newKernel} {
		node := NewNode(grubbyHost{files, executors.Reply{Output: []byte(reply)}})
		if release, how := node.NextKernel(t.Context()); release != want {
			t.Errorf("after %q it is %q by %q, want %q", reply, release, how, want)
		}
	}
}

// What GRUB boots once is not what grubby reports, which is the default, even if nobody
// can say which kernel it is.
func TestGrubbyKnowsOfNoEntryThatIsBootedOnce(t *testing.T) {
	file := func(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text)} }
	for name, files := range map[string]fstest.MapFS{
		"an entry of the firmware":   {"boot/grub2/grub.cfg": file("load_env\nset default=\"${next_entry}\"\nmenuentry 'a' {\nlinux /vmlinuz-" + newKernel + "\n}\nmenuentry 'UEFI Firmware Settings' {\nfwsetup\n}\n"), "boot/grub2/grubenv": file("next_entry=UEFI Firmware Settings\n")},
		"no menu to look it up in":   {"boot/grub2/grubenv": file("next_entry=2\n")},
		"an entry of systemd-boot's": {"boot/loader/loader.conf": file(""), "boot/loader/entries/a.conf": file("linux /vmlinuz-" + newKernel + "\n"), "sys/firmware/efi/efivars/LoaderEntryOneShot-" + loaderVendor: file("")},
	} {
		node := NewNode(grubbyHost{files, executors.Reply{Output: []byte("/boot/vmlinuz-" + oldKernel + "\n")}})
		if release, how := node.NextKernel(t.Context()); release != "" || how == "" {
			t.Errorf("%s: it is %q by %q", name, release, how)
		}
	}
}

// hangingHost has a grubby that does not answer.
type hangingHost struct{ grubbyHost }

func (h hangingHost) Query(ctx context.Context, _ ...string) (executors.Reply, error) {
	<-ctx.Done()
	return executors.Reply{}, context.Cause(ctx)
}

func TestAGrubbyThatHangsIsNamed(t *testing.T) {
	for how, files := range map[string]fstest.MapFS{
		"the newest kernel in /boot; grubby did not answer within 5s": {"boot/vmlinuz-" + newKernel: &fstest.MapFile{}},
		"grubby did not answer within 5s":                             {},
	} {
		synctest.Test(t, func(t *testing.T) {
			if _, said := NewNode(hangingHost{grubbyHost{files: files}}).NextKernel(t.Context()); said != how {
				t.Errorf("it is known by %q, want %q", said, how)
			}
		})
	}
}

func TestGrubbyDoesNotKnowWhatIsBootedOnce(t *testing.T) {
	files := fstest.MapFS{
		"boot/grub2/grub.cfg": &fstest.MapFile{Data: []byte("menuentry a {\nlinux /vmlinuz-" + newKernel + "\n}\nmenuentry b {\nlinux /vmlinuz-" + oldKernel + "\n}\n")},
		"boot/grub2/grubenv":  &fstest.MapFile{Data: []byte("next_entry=b\n")},
	}
	node := NewNode(grubbyHost{files, executors.Reply{Output: []byte("/boot/vmlinuz-" + newKernel + "\n")}})
	if release, how := node.NextKernel(t.Context()); release != oldKernel || how != "/boot/grub2/grubenv" {
		t.Errorf("it is %q by %q", release, how)
	}
}

func TestReleasesAreOrderedByTheirNumbers(t *testing.T) {
	ordered := []string{"4.19.90-24.4.v2101", "5.10.0-60.18.0", "5.10.0-216.0.0.115", "5.15.0-91-generic", "5.15.0-102-generic", "6.6.0-rc1", "6.6.0-10"}
	for i := range ordered[1:] {
		if compareReleases(ordered[i], ordered[i+1]) >= 0 || compareReleases(ordered[i+1], ordered[i]) <= 0 {
			t.Errorf("%s is not older than %s", ordered[i], ordered[i+1])
		}
	}
}

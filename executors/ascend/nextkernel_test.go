package ascend

import (
	"io/fs"
	"testing"
	"testing/fstest"

	"context"
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
		"nothing is known":             {fstest.MapFS{}, "", ""},
		"the newest in /boot":          {both(nil), newKernel, "the newest kernel in /boot"},
		"a link":                       {both(fstest.MapFS{"boot/vmlinuz": link("vmlinuz-" + oldKernel)}), oldKernel, "/boot/vmlinuz"},
		"a link in the root":           {both(fstest.MapFS{"vmlinuz": link("boot/vmlinuz-" + oldKernel)}), oldKernel, "/vmlinuz"},
		"grub's first entry":           {both(fstest.MapFS{"boot/grub/grub.cfg": file("set default=\"0\"\nmenuentry 'Linux' {\n\tlinux\t/boot/vmlinuz-" + newKernel + " root=/dev/sda1\n}\nmenuentry {\n linux /vmlinuz-" + oldKernel + "\n}\n"), "boot/vmlinuz": link("vmlinuz-" + oldKernel)}), newKernel, "/boot/grub/grub.cfg"},
		"a saved title":                {both(fstest.MapFS{"boot/grub2/grubenv": file("# GRUB Environment Block\nsaved_entry=Linux (" + oldKernel + ") 22.03\n")}), oldKernel, "/boot/grub2/grubenv"},
		"a saved submenu, grub of EFI": {both(fstest.MapFS{"boot/efi/EFI/ubuntu/grubenv": file("saved_entry=gnulinux-advanced-0a>gnulinux-" + oldKernel + "-advanced-0a\n")}), oldKernel, "/boot/efi/EFI/ubuntu/grubenv"},
		"once another":                 {both(fstest.MapFS{"boot/grub/grubenv": file("saved_entry=Linux (" + newKernel + ")\nnext_entry=Linux (" + oldKernel + ")\n")}), oldKernel, "/boot/grub/grubenv"},
		"saved, and not asked for":     {both(fstest.MapFS{"boot/grub/grubenv": file("saved_entry=Linux (" + oldKernel + ")\n"), "etc/default/grub": file("GRUB_DEFAULT=0\n")}), newKernel, "the newest kernel in /boot"},
		"a configured title":           {both(fstest.MapFS{"etc/default/grub": file("GRUB_TIMEOUT=5\nGRUB_DEFAULT=\"Advanced options>Linux, with Linux " + oldKernel + "\"\n")}), oldKernel, "/etc/default/grub"},
		"grub's first entry, saved":    {both(fstest.MapFS{"boot/grub/grubenv": file("saved_entry=0\n"), "etc/default/grub": file("GRUB_DEFAULT=saved\n"), "boot/grub/grub.cfg": file("menuentry 'Linux' {\n\tlinux\t/vmlinuz-" + oldKernel + "\n}\n")}), oldKernel, "/boot/grub/grub.cfg"},
		"a number that means nothing":  {both(fstest.MapFS{"etc/default/grub": file("GRUB_DEFAULT=7\n")}), "", "/etc/default/grub"},
		"a saved boot loader entry":    {fstest.MapFS{"boot/grub2/grubenv": file("saved_entry=0af-" + oldKernel + "\n"), "boot/loader/entries/0af-" + oldKernel + ".conf": entry(oldKernel), "boot/loader/entries/0af-" + newKernel + ".conf": entry(newKernel)}, oldKernel, "/boot/grub2/grubenv"},
		"a number of an entry":         {fstest.MapFS{"boot/grub2/grubenv": file("saved_entry=1\n"), "boot/loader/entries/0af-" + oldKernel + ".conf": entry(oldKernel), "boot/loader/entries/0af-" + newKernel + ".conf": entry(newKernel)}, oldKernel, "/boot/grub2/grubenv"},
		"the newest entry":             {fstest.MapFS{"boot/loader/entries/0af-" + oldKernel + ".conf": entry(oldKernel), "boot/loader/entries/0af-" + newKernel + ".conf": entry(newKernel), "boot/loader/entries/0af-0-rescue.conf": file("version 9.9.9\nlinux /vmlinuz-0-rescue-0af\n")}, newKernel, "/boot/loader/entries"},
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

func TestReleasesAreOrderedByTheirNumbers(t *testing.T) {
	ordered := []string{"4.19.90-24.4.v2101", "5.10.0-60.18.0", "5.10.0-216.0.0.115", "5.15.0-91-generic", "5.15.0-102-generic", "6.6.0-rc1", "6.6.0-10"}
	for i := range ordered[1:] {
		if compareReleases(ordered[i], ordered[i+1]) >= 0 || compareReleases(ordered[i+1], ordered[i]) <= 0 {
			t.Errorf("%s is not older than %s", ordered[i], ordered[i+1])
		}
	}
}

package ascend

import (
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"
)

// grubHeader is how grub-mkconfig begins, with the default that it was given.
func grubHeader(wanted string) string {
	return `
if [ -s $prefix/grubenv ]; then
  set have_grubenv=true
  load_env
fi
if [ "${initrdfail}" = 2 ]; then
   set initrdfail=
elif [ "${initrdfail}" = 1 ]; then
   set next_entry="${prev_entry}"
   save_env prev_entry
fi
if [ "${next_entry}" ] ; then
   set default="${next_entry}"
   set next_entry=
   save_env next_entry
   set boot_once=true
else
   set default="` + wanted + `"
fi
if [ x"${feature_menuentry_id}" = xy ]; then
  menuentry_id_option="--id"
else
  menuentry_id_option=""
fi
function savedefault {
  if [ -z "${boot_once}" ]; then
    saved_entry="${chosen}"
    save_env saved_entry
  fi
}
if loadfont unicode ; then
  set gfxmode=auto
  insmod gfxterm
fi
terminal_output gfxterm
`
}

// grubMenu is a menu as distributions generate it: the newest kernel, the others in a
// submenu, and what only a host with EFI has.
const grubMenu = `
menuentry 'Ubuntu' --class ubuntu --class os $menuentry_id_option 'gnulinux-simple-0a' {
	gfxmode $linux_gfx_mode
	if [ x$grub_platform = xxen ]; then insmod xzio; insmod lzopio; fi
	linux	/boot/vmlinuz-` + newKernel + ` root=UUID=0a ro  quiet
	initrd	/boot/initrd.img-` + newKernel + `
}
submenu 'Advanced options for Ubuntu' $menuentry_id_option 'gnulinux-advanced-0a' {
	menuentry 'Ubuntu, with Linux ` + newKernel + `' --class os $menuentry_id_option 'gnulinux-` + newKernel + `-advanced-0a' {
		linux	/boot/vmlinuz-` + newKernel + ` root=UUID=0a ro
	}
	menuentry 'Ubuntu, with Linux ` + newKernel + ` (recovery mode)' --class os $menuentry_id_option 'gnulinux-` + newKernel + `-recovery-0a' {
		linux	/boot/vmlinuz-` + newKernel + ` root=UUID=0a ro recovery
	}
	menuentry 'Ubuntu, with Linux ` + oldKernel + `' --class os $menuentry_id_option 'gnulinux-` + oldKernel + `-advanced-0a' {
		linux	"/boot/vmlinuz-` + oldKernel + `" root=UUID=0a ro
	}
}
if [ "$grub_platform" = "efi" ]; then
	menuentry 'UEFI Firmware Settings' $menuentry_id_option 'uefi-firmware' {
		fwsetup
	}
fi
if [ -f  ${config_directory}/custom.cfg ]; then
  source ${config_directory}/custom.cfg
fi
`

func TestTheDefaultOfGRUBsMenu(t *testing.T) {
	file := func(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text)} }
	const cfg, env = "boot/grub/grub.cfg", "boot/grub/grubenv"
	by := func(wanted string) fstest.MapFS {
		return fstest.MapFS{cfg: file(grubHeader(wanted) + grubMenu), "boot/vmlinuz-9.9.9": file("")}
	}
	with := func(files fstest.MapFS, more ...string) fstest.MapFS {
		for i := 0; i < len(more); i += 2 {
			files[more[i]] = file(more[i+1])
		}
		return files
	}
	two := "menuentry 'a' {\n linux /vmlinuz-" + newKernel + "\n}\nmenuentry \"b\" --id 'second' {\n linux /vmlinuz-" + oldKernel + "\n}\n"
	bls := func(files fstest.MapFS) fstest.MapFS {
		return with(files, "boot/loader/entries/0af-"+oldKernel+".conf", "title\tLinux "+oldKernel+"\nlinux\t/vmlinuz-"+oldKernel+"\n",
			"boot/loader/entries/0af-"+newKernel+".conf", "title Linux "+newKernel+"\nlinux /vmlinuz-"+newKernel+"\n",
			"boot/loader/entries/0af-0-rescue.conf", "title Rescue\nversion 0-rescue-0af\nlinux /vmlinuz-0-rescue-0af\n")
	}
	for name, c := range map[string]struct {
		files        fstest.MapFS
		release, how string // how is a part where release is ""
	}{
		"the first":                          {by("0"), newKernel, "/boot/grub/grub.cfg"},
		"a submenu by its number":            {by("1"), newKernel, "/boot/grub/grub.cfg"},
		"a path of numbers":                  {by("1>2"), oldKernel, "/boot/grub/grub.cfg"},
		"a path of titles":                   {by("Advanced options for Ubuntu>Ubuntu, with Linux " + oldKernel), oldKernel, "/boot/grub/grub.cfg"},
		"a path of ids":                      {by("gnulinux-advanced-0a>gnulinux-" + oldKernel + "-advanced-0a"), oldKernel, "/boot/grub/grub.cfg"},
		"a title and a number":               {by("Advanced options for Ubuntu>2"), oldKernel, "/boot/grub/grub.cfg"},
		"a title without its submenu":        {by("Ubuntu, with Linux " + oldKernel), newKernel, "/boot/grub/grub.cfg"},
		"a removed entry":                    {by("gnulinux-advanced-0a>gnulinux-4.4.0-1-advanced-0a"), newKernel, "/boot/grub/grub.cfg"},
		"a removed submenu":                  {by("gnulinux-advanced-ff>2"), newKernel, "/boot/grub/grub.cfg"},
		"an entry that may not be there":     {by("2"), "", "depends on what only GRUB itself knows"},
		"the firmware's settings, if at all": {by("uefi-firmware"), "", "depends on what only GRUB itself knows"},
		"saved":                              {with(by("${saved_entry}"), env, "# GRUB Environment Block\nsaved_entry=1>2\n####"), oldKernel, "/boot/grub/grubenv"},
		"saved, and nothing was":             {by("${saved_entry}"), newKernel, "/boot/grub/grub.cfg"},
		"saved, and removed since":           {with(by("${saved_entry}"), env, "saved_entry=gnulinux-4.4.0-1\n"), newKernel, "/boot/grub/grub.cfg"},
		"saved in another folder":            {with(by("${saved_entry}"), "boot/grub2/grubenv", "saved_entry=1>2\n", "boot/efi/EFI/ubuntu/grubenv", "saved_entry=1>2\n"), newKernel, "/boot/grub/grub.cfg"},
		"saved once, and not asked for":      {with(by("0"), env, "saved_entry=1>2\n"), newKernel, "/boot/grub/grub.cfg"},
		"once another":                       {with(by("0"), env, "saved_entry=0\nnext_entry=1>2\n"), oldKernel, "/boot/grub/grubenv"},
		"settings that were not made active": {with(by("0"), "etc/default/grub", "GRUB_DEFAULT=1>2\n"), newKernel, "/boot/grub/grub.cfg"},
		"a menu that more is added to":       {with(by("7"), "boot/grub/custom.cfg", "menuentry 'mine' {\n}\n"), "", "depends on what only GRUB itself knows"},
		"boot loader entries that are stale": {bls(by("0")), newKernel, "/boot/grub/grub.cfg"},

		"a menu made by hand":                  {with(fstest.MapFS{}, cfg, "set default=1\n"+two), oldKernel, "/boot/grub/grub.cfg"},
		"without set":                          {with(fstest.MapFS{}, cfg, "default='second'; timeout=5\n"+two), oldKernel, "/boot/grub/grub.cfg"},
		"no default, a number in the settings": {with(fstest.MapFS{}, cfg, two, "etc/default/grub", "GRUB_DEFAULT=\"1\" # x\n"), oldKernel, "/etc/default/grub"},
		"no default, a title in the settings":  {with(fstest.MapFS{}, cfg, two, "etc/default/grub", "GRUB_DEFAULT=b\n"), oldKernel, "/etc/default/grub"},
		"no default, the first's title":        {with(fstest.MapFS{}, cfg, two, "etc/default/grub", "GRUB_DEFAULT='a'\n"), newKernel, "/etc/default/grub"},
		"no default and no settings":           {with(fstest.MapFS{}, cfg, two, env, "saved_entry=b\n"), newKernel, "/boot/grub/grub.cfg"},
		"no default, saved":                    {with(fstest.MapFS{}, cfg, two, env, "saved_entry=b\n", "etc/default/grub", "GRUB_DEFAULT=saved # x\n"), oldKernel, "/boot/grub/grubenv"},
		"a number beyond the menu":             {with(fstest.MapFS{}, cfg, "set default=7\n"+two), newKernel, "/boot/grub/grub.cfg"},
		"a sign in a title":                    {with(fstest.MapFS{}, cfg, "set default='x>>y'\n"+two+"menuentry 'x>y' {\nlinux ($root)/vmlinuz-4.4.0-1\n}\n"), "4.4.0-1", "/boot/grub/grub.cfg"},
		"a condition about the keyboard":       {with(fstest.MapFS{}, cfg, "set default=0\nif keystatus --shift; then set default=1; fi\n"+two), "", "the default entry of /boot/grub/grub.cfg depends on what only GRUB itself knows"},
		"an entry that starts no kernel":       {with(fstest.MapFS{}, cfg, "menuentry 'other' {\nchainloader +1\n}\n"+two), "", `the entry "other" starts no kernel of this host`},
		"an entry with a choice of kernels":    {with(fstest.MapFS{}, cfg, "menuentry 'x' {\nif [ $a ]; then linux /vmlinuz-1.1; else linux /vmlinuz-2.2; fi\n}\n"), "", `the entry "x" loads one kernel or another`},
		"a kernel without a release":           {with(fstest.MapFS{}, cfg, "menuentry 'x' {\nlinux /boot/vmlinuz root=/dev/sda1\n}\n", "boot/vmlinuz-9.9.9", ""), "", `the entry "x" loads /boot/vmlinuz, which names no release`},
		"a kernel in a variable":               {with(fstest.MapFS{}, cfg, "menuentry 'x' {\nlinux $root\n}\n"), "", "names no release"},
		"no menu at all":                       {with(fstest.MapFS{}, cfg, "set timeout=5\n"), "", "/boot/grub/grub.cfg: the menu has no entries"},
		"a brace that is missing":              {with(fstest.MapFS{}, cfg, "menuentry 'x' {\nlinux /vmlinuz-"+oldKernel+"\n"), oldKernel, "/boot/grub/grub.cfg"},

		"boot loader entries":             {bls(with(fstest.MapFS{}, cfg, grubHeader("${saved_entry}")+"insmod blscfg\nblscfg\n")), newKernel, "/boot/grub/grub.cfg"},
		"a saved boot loader entry":       {bls(with(fstest.MapFS{}, cfg, grubHeader("${saved_entry}")+"blscfg\n", env, "saved_entry=0af-"+oldKernel+"\n")), oldKernel, "/boot/grub/grubenv"},
		"a boot loader entry by its name": {bls(with(fstest.MapFS{}, cfg, grubHeader("Linux "+oldKernel)+"blscfg\n")), oldKernel, "/boot/grub/grub.cfg"},
		"the rescue image":                {bls(with(fstest.MapFS{}, cfg, grubHeader("2")+"blscfg\n")), "", `the entry "Rescue" loads /vmlinuz-0-rescue-0af, which names no release`},

		"a configuration that hands over":        {with(by("1>2"), "boot/efi/EFI/ubuntu/grub.cfg", "search.fs_uuid 0a root\nset prefix=($root)'/boot/grub'\nconfigfile $prefix/grub.cfg\n"), oldKernel, "/boot/grub/grub.cfg"},
		"two configurations that agree":          {with(by("0"), "boot/grub2/grub.cfg", "set default=0\n"+two), newKernel, "/boot/grub2/grub.cfg"},
		"two configurations that do not":         {with(by("0"), "boot/grub2/grub.cfg", "set default=1\n"+two), "", "/boot/grub2/grub.cfg and /boot/grub/grub.cfg name different kernels"},
		"a host with EFI takes that of EFI":      {with(by("0"), "sys/firmware/efi/fw_platform_size", "64\n", "boot/efi/EFI/openEuler/grub.cfg", "set default=1\n"+two), oldKernel, "/boot/efi/EFI/openEuler/grub.cfg"},
		"a configuration that is much too large": {with(fstest.MapFS{}, cfg, strings.Repeat("# x\n", 1<<19)), "", "is larger than"},
	} {
		t.Run(name, func(t *testing.T) {
			release, how := NextKernel(c.files)
			if release != c.release || release != "" && how != c.how || !strings.Contains(how, c.how) {
				t.Errorf("it is %q by %q, want %q by %q", release, how, c.release, c.how)
			}
		})
	}
}

func TestTheImageOfAnEntryMayBeALink(t *testing.T) {
	link := func(to string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(to), Mode: fs.ModeSymlink} }
	for name, c := range map[string]struct {
		image string
		files fstest.MapFS
	}{
		"in /boot":                        {"/boot/vmlinuz", fstest.MapFS{"boot/vmlinuz": link("vmlinuz-" + oldKernel)}},
		"in /boot, of its own partition":  {"/vmlinuz", fstest.MapFS{"boot/vmlinuz": link("vmlinuz-" + oldKernel)}},
		"in the root":                     {"/vmlinuz", fstest.MapFS{"vmlinuz": link("boot/vmlinuz-" + oldKernel)}},
		"quoted":                          {`"/boot/vmlinuz"`, fstest.MapFS{"boot/vmlinuz": link("/boot/vmlinuz-" + oldKernel)}},
		"with a device":                   {"($root)/boot/Image", fstest.MapFS{"boot/Image": link("vmlinuz"), "boot/vmlinuz": link("Image-" + oldKernel)}},
		"quoted, and no link":             {"'/boot/vmlinuz-" + oldKernel + "'", fstest.MapFS{}},
		"in a folder of the distribution": {"/ostree/linux", fstest.MapFS{"boot/ostree/linux": link("../vmlinuz-" + oldKernel)}},
	} {
		t.Run(name, func(t *testing.T) {
			c.files["boot/grub2/grub.cfg"] = &fstest.MapFile{Data: []byte("menuentry x {\n\tlinux\t" + c.image + " ro\n}\n")}
			if release, how := NextKernel(c.files); release != oldKernel || how != "/boot/grub2/grub.cfg" {
				t.Errorf("it is %q by %q", release, how)
			}
		})
	}
}

func FuzzGRUBsMenu(f *testing.F) {
	f.Add(grubHeader("1>2")+grubMenu, "1>2")
	f.Add("if if if { } 'x\nfi elif menuentry ${ {", ">>>")
	f.Add(strings.Repeat("if ", 300)+strings.Repeat("submenu {", 300), "0")
	f.Fuzz(func(t *testing.T, script, wanted string) {
		if len(script) > 1<<14 {
			return
		}
		files := fstest.MapFS{"boot/grub/grub.cfg": {Data: []byte(script)}, "etc/default/grub": {Data: []byte("GRUB_DEFAULT=" + wanted)}}
		if release, how := NextKernel(files); release != "" && kernelOf("vmlinuz-"+release) == "" {
			t.Errorf("it is %q by %q", release, how)
		}
	})
}

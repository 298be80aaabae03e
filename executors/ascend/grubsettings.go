package ascend

import (
	"io/fs"
	"path"
	"strings"
)

const grubDefaults = "etc/default/grub"

// grubFolders are where distributions put GRUB's configuration and environment.
var grubFolders = []string{"boot/grub2", "boot/grub", "boot/efi/EFI/*"}

// grubDefault is GRUB_DEFAULT of /etc/default/grub, a file that a shell reads; "0" where
// it is not set ("Simple configuration handling" in GRUB's manual).
func grubDefault(files fs.FS) string {
	value := "0"
	for line := range strings.Lines(string(small(files, grubDefaults))) {
		line, _ := strings.CutPrefix(strings.TrimSpace(line), "export ")
		if set, ok := strings.CutPrefix(line, "GRUB_DEFAULT="); ok {
			word, _ := grubWord(set)
			value = ""
			for _, part := range word.parts {
				if part.variable {
					part.text = grubUnknown
				}
				value += part.text
			}
		}
	}
	if value == "" {
		return "0"
	}
	return value
}

// grubEnvironment is GRUB's environment block in a folder (grub-editenv(1)), nil if
// there is none.
func grubEnvironment(files fs.FS, folder string) map[string]string {
	data, err := readFile(files, path.Join(folder, "grubenv"))
	if err != nil {
		return nil
	}
	values := map[string]string{}
	for line := range lines(data) {
		if name, value, ok := strings.Cut(line, "="); ok && !strings.HasPrefix(line, "#") {
			values[strings.TrimSpace(name)] = strings.TrimSpace(value)
		}
	}
	return values
}

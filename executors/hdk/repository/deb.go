package repository

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"devserver-agent/executors/lazyregexp"
)

// A deb is an ar archive of debian-binary, control.tar and data.tar, of which the two
// may be packed: see deb(5).
const (
	arMagic    = "!<arch>\n"
	arHeader   = 60
	maxMembers = 16
)

// member is a file in an ar archive.
type member struct {
	name         string
	offset, size int64
}

// inspectDeb reads the metadata of a deb. What a deb carries to compare it with is the
// sizes of its members and the checksums of what they are packed with, so they are
// unpacked to their ends.
func inspectDeb(file io.ReaderAt, size int64, b *budget) (findings, error) {
	members, err := readAr(file, size)
	if err != nil {
		return findings{}, err
	}
	var control, data contents
	if err := readMember(file, members, "control.tar", b, &control); err != nil {
		return findings{}, err
	}
	if err := readMember(file, members, "data.tar", b, &data); err != nil {
		return findings{}, err
	}
	fields := controlFields(string(control.text("control")))
	if fields["package"] == "" {
		return findings{}, damaged("it has no control file that names a package")
	}
	return fromMetadata("deb", fields["package"], fields["version"], fields["architecture"])
}

// readAr lists the members of an ar archive.
func readAr(file io.ReaderAt, size int64) ([]member, error) {
	magic := make([]byte, min(size, int64(len(arMagic))))
	if _, err := file.ReadAt(magic, 0); err != nil {
		return nil, fmt.Errorf("read: %w", err)
	}
	if string(magic) != arMagic {
		return nil, damaged("it does not begin as a deb does")
	}
	var members []member
	for at := int64(len(arMagic)); at < size; {
		var header [arHeader]byte
		if size-at < arHeader {
			return nil, damaged("%s too many at its end, or it ends within its headers", bytesAre(size-at))
		}
		if _, err := file.ReadAt(header[:], at); err != nil {
			return nil, fmt.Errorf("read: %w", err)
		}
		m := member{name: strings.TrimSuffix(strings.TrimRight(string(header[:16]), " "), "/"), offset: at + arHeader}
		n, err := strconv.ParseInt(strings.TrimRight(string(header[48:58]), " "), 10, 64)
		if err != nil || n < 0 || string(header[58:]) != "`\n" || len(members) == maxMembers {
			return nil, damaged("the header of its file %d cannot be read", len(members)+1)
		}
		if m.size = n; n > size-m.offset {
			return nil, damaged("%s missing at its end", bytesAre(n-(size-m.offset)))
		}
		members = append(members, m)
		at = m.offset + n + n%2
		if at == size+1 { // the last one's filler is left out by some programs
			at = size
		}
	}
	if len(members) == 0 || members[0].name != "debian-binary" {
		return nil, damaged("its first file is not debian-binary")
	}
	return members, nil
}

// readMember reads the files of the packed tar of a name, whatever it is packed with.
func readMember(file io.ReaderAt, members []member, name string, b *budget, into *contents) error {
	for _, m := range members {
		rest, is := strings.CutPrefix(m.name, name)
		if !is || rest != "" && !strings.HasPrefix(rest, ".") {
			continue
		}
		err := into.read(io.NewSectionReader(file, m.offset, m.size), b, func(contents) bool { return false })
		if errors.Is(err, errPacking) {
			return fmt.Errorf("its %q %w; put the .run of this release here", m.name, errPacking)
		}
		return err
	}
	return damaged("it has no %s", name)
}

var controlLine = lazyregexp.New(`(?m)^([A-Za-z][A-Za-z0-9-]{0,63}):[ \t]*([^\n]*)`)

// controlFields are the fields of a control file that have one line.
func controlFields(text string) map[string]string {
	fields := map[string]string{}
	for _, match := range controlLine.FindAllStringSubmatch(text, 64) {
		if name := strings.ToLower(match[1]); fields[name] == "" {
			fields[name] = strings.TrimSpace(match[2])
		}
	}
	return fields
}

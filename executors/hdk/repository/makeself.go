package repository

import (
	"bytes"
	"crypto/md5"
	"crypto/sha256"
	"fmt"
	"io"
	"strconv"
	"strings"

	"devserver-agent/executors/lazyregexp"
)

const (
	maxHeader = 1 << 20 // bytes of a makeself archive's shell script, which has some 20 KB
	maxParts  = 16      // archives in one file; there is always one
)

// What a makeself header assigns, and where it takes the payload from: headers of 2.4
// have a variable, older ones a number in the script. See makeself-header.sh of the
// versions at https://github.com/megastep/makeself.
var (
	assignment = lazyregexp.New(`(?m)^(label|CRCsum|MD5|SHA|filesizes|totalsize|skip)="([^"\n]*)"\r?$`)
	oldOffset  = lazyregexp.New("(?m)^\\s*offset=`head -n ([0-9]{1,6}) \"\\$[01]\" *\\| *wc -c")
	labelLine  = lazyregexp.New(`(?m)^label=`)
	lookAlike  = lazyregexp.New(`(?m)^# This script was generated using Makeself|^(?:CRCsum|MD5|filesizes)="`)
)

// makeself is the header of a makeself archive.
type makeself struct {
	label  string
	offset int64  // where the payload begins
	parts  []part // of the payload, which is all there is behind the header
}

// part is an archive in the payload, with the checksums that the header has of it in
// lower-case hex (a cksum in decimal), "" for those that it does not have.
type part struct {
	size        int64
	sha256, md5 string
	cksum       string
	offset      int64 // in the file
}

// Errors of a shell script that is not the header of an archive, as far as it goes.
var (
	errNoHeader    = damage("has no header of a makeself archive: it is cut or not a package")
	errLargeHeader = fmt.Errorf("%w: its header is too large to be read", ErrNoVersionInfo)
)

// readMakeself reads the header of a file of size bytes that begins with head, which is
// as much of the file as a header can have.
func readMakeself(head []byte, size int64) (makeself, error) {
	script := string(head)
	values := assignments(script)
	_, sized := values["filesizes"]
	switch labelled, sums := labelLine.MatchString(script), values["CRCsum"]+values["MD5"]+values["SHA"]; {
	case labelled && sums != "" && sized:
	case lookAlike.MatchString(script) && size > int64(len(head)): // a license may stand before the sizes
		return makeself{}, errLargeHeader
	default:
		return makeself{}, errNoHeader
	}
	offset := int64(0)
	if skip, known := linesSkipped(script); known {
		for range skip {
			end := bytes.IndexByte(head[offset:], '\n')
			if end < 0 && size > int64(len(head)) {
				return makeself{}, errLargeHeader
			}
			if end < 0 {
				return makeself{}, damaged("it ends within its header")
			}
			offset += int64(end) + 1
		}
	} else if offset = fromEnd(script, size); offset < 1 || offset > int64(len(head)) || head[offset-1] != '\n' {
		return makeself{}, damaged("its header does not say where the payload begins")
	}
	values = assignments(script[:offset])
	m := makeself{label: values["label"], offset: offset}
	return m, m.readParts(values, size)
}

// fromEnd is where the payload begins if a header of a kind that is not known is right
// about its sizes, 0 if it has none. If it is not, no checksum fits.
func fromEnd(script string, size int64) int64 {
	offset := size
	for _, text := range strings.Fields(assignments(script)["filesizes"]) {
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil || n < 0 || n > offset {
			return 0
		}
		offset -= n
	}
	if offset == size {
		return 0
	}
	return offset
}

// linesSkipped is the number of lines before the payload.
func linesSkipped(head string) (lines int, known bool) {
	number, known := assignments(head)["skip"]
	if !known {
		match := oldOffset.FindStringSubmatch(head)
		if match == nil {
			return 0, false
		}
		number = match[1]
	}
	lines, err := strconv.Atoi(number)
	return lines, err == nil && lines > 0
}

// assignments are the first value that each variable is given.
func assignments(script string) map[string]string {
	values := map[string]string{}
	for _, match := range assignment.FindAllStringSubmatch(script, 64) {
		if _, given := values[match[1]]; !given {
			values[match[1]] = match[2]
		}
	}
	return values
}

func (m *makeself) readParts(values map[string]string, size int64) error {
	sizes := strings.Fields(values["filesizes"])
	if len(sizes) == 0 || len(sizes) > maxParts {
		return damaged("its header has no sizes of the payload")
	}
	at := func(name string, i int) string {
		sums := strings.Fields(values[name])
		if i >= len(sums) || strings.Trim(sums[i], "0") == "" {
			return "" // zeros are what makeself writes for a checksum that it did not make
		}
		return strings.ToLower(sums[i])
	}
	next := m.offset
	for i, text := range sizes {
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil || n <= 0 || n > maxFile {
			return damaged("its header has no sizes of the payload")
		}
		m.parts = append(m.parts, part{size: n, sha256: at("SHA", i), md5: at("MD5", i), cksum: at("CRCsum", i), offset: next})
		next += n
	}
	switch total, err := strconv.ParseInt(values["totalsize"], 10, 64); {
	case size < next:
		return damaged("%s missing at its end", bytesAre(next-size))
	case size > next:
		return damaged("%s too many at its end", bytesAre(size-next))
	case values["totalsize"] != "" && (err != nil || total != next-m.offset):
		return damaged("its header has two sizes of the payload, %.20q and %d", values["totalsize"], next-m.offset)
	}
	return nil
}

// verify compares the part with its checksums. checked is false if it has none.
func (p part) verify(file io.ReaderAt) (checked bool, err error) {
	var digests []digest
	if p.sha256 != "" {
		digests = append(digests, digest{"payload's SHA-256", p.sha256, sha256.New()})
	}
	if p.md5 != "" { // against accidents, as in the archive's own check
		digests = append(digests, digest{"payload's MD5", p.md5, md5.New()})
	}
	if n, err := strconv.ParseUint(p.cksum, 10, 32); len(digests) == 0 && p.cksum != "" {
		if err != nil {
			return false, damaged("its header has a checksum %.20q", p.cksum)
		}
		digests = append(digests, digest{"payload's checksum", fmt.Sprintf("%08x", n), newCksum()})
	}
	return len(digests) > 0, compareAll(digests, io.NewSectionReader(file, p.offset, p.size))
}

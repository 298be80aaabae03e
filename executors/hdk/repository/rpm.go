package repository

import (
	"bytes"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
)

// An rpm is a lead, a header with digests and signatures, the header with the metadata
// and the payload: https://rpm-software-management.github.io/rpm/manual/format_v4.html.
// The tags are those of rpmtag.h.
const (
	rpmLead        = 96
	rpmLeadMagic   = "\xed\xab\xee\xdb"
	rpmHeaderMagic = "\x8e\xad\xe8\x01"
	maxRPMEntries  = 4096     // of a header; the packages have some hundred
	maxRPMStore    = 16 << 20 // bytes of a header's values; they grow with the files in the payload

	sigSHA1, sigSHA256, sigLongSize, sigSize, sigMD5 = 269, 273, 270, 1000, 1004

	tagName, tagVersion, tagArch, tagSource = 1000, 1001, 1022, 1106
	tagPayloadDigest, tagPayloadAlgorithm   = 5092, 5093
	algorithmSHA256                         = 8

	typeInt32, typeInt64, typeString, typeBinary, typeStrings = 4, 5, 6, 7, 8
)

// rpmHeader is one of the two headers: the first value of each tag.
type rpmHeader struct {
	values map[uint32]rpmValue
	raw    []byte
}

type rpmValue struct {
	kind uint32
	data []byte // up to the end of the header
	n    uint32 // values; bytes of a binary
}

// inspectRPM reads the metadata of an rpm and compares it with the digests it carries.
func inspectRPM(file io.ReaderAt, size int64) (findings, error) {
	var lead [rpmLead]byte
	if _, err := file.ReadAt(lead[:], 0); err != nil && !errors.Is(err, io.EOF) {
		return findings{}, fmt.Errorf("read: %w", err)
	}
	if !bytes.HasPrefix(lead[:], []byte(rpmLeadMagic)) {
		return findings{}, damaged("it does not begin as an rpm does")
	}
	signature, end, err := readRPMHeader(file, rpmLead, size)
	if err != nil {
		return findings{}, err
	}
	begin := (end + 7) / 8 * 8
	header, payload, err := readRPMHeader(file, begin, size)
	if err != nil {
		return findings{}, err
	}
	if err := signature.verify(file, begin, header, payload, size); err != nil {
		return findings{}, err
	}
	if header.number(tagSource) != 0 || binary.BigEndian.Uint16(lead[6:]) == 1 {
		return findings{}, errors.New("is an rpm with sources, which installs nothing; put the rpm for the hosts' architecture here")
	}
	return fromMetadata("rpm", header.text(tagName), header.text(tagVersion), header.text(tagArch))
}

// readRPMHeader reads the header at an offset. end is where it ends.
func readRPMHeader(file io.ReaderAt, at, size int64) (h rpmHeader, end int64, err error) {
	var intro [16]byte
	if at+int64(len(intro)) > size {
		return h, 0, damaged("it ends within its headers")
	}
	if _, err := file.ReadAt(intro[:], at); err != nil {
		return h, 0, fmt.Errorf("read: %w", err)
	}
	entries, store := int64(binary.BigEndian.Uint32(intro[8:])), int64(binary.BigEndian.Uint32(intro[12:]))
	if string(intro[:4]) != rpmHeaderMagic || entries > maxRPMEntries || store > maxRPMStore {
		return h, 0, damaged("a header of it cannot be read")
	}
	end = at + int64(len(intro)) + entries*16 + store
	if end > size {
		return h, 0, damaged("it ends within its headers")
	}
	h.raw = make([]byte, end-at)
	if _, err := file.ReadAt(h.raw, at); err != nil {
		return h, 0, fmt.Errorf("read: %w", err)
	}
	h.values = make(map[uint32]rpmValue, entries)
	values := h.raw[int64(len(intro))+entries*16:]
	for i := range entries {
		entry := h.raw[int64(len(intro))+i*16:]
		tag, offset := binary.BigEndian.Uint32(entry), binary.BigEndian.Uint32(entry[8:])
		if int64(offset) > store {
			return h, 0, damaged("a header of it cannot be read")
		}
		if _, given := h.values[tag]; !given {
			h.values[tag] = rpmValue{binary.BigEndian.Uint32(entry[4:]), values[offset:], binary.BigEndian.Uint32(entry[12:])}
		}
	}
	return h, end, nil
}

// text is a tag's first string, "" if it has none.
func (h rpmHeader) text(tag uint32) string {
	v := h.values[tag]
	end := bytes.IndexByte(v.data, 0)
	if v.kind != typeString && v.kind != typeStrings || end < 0 {
		return ""
	}
	return string(v.data[:min(end, 1024)])
}

// number is a tag's first number, 0 if it has none.
func (h rpmHeader) number(tag uint32) uint64 {
	v := h.values[tag]
	switch {
	case v.kind == typeInt32 && len(v.data) >= 4:
		return uint64(binary.BigEndian.Uint32(v.data))
	case v.kind == typeInt64 && len(v.data) >= 8:
		return binary.BigEndian.Uint64(v.data)
	}
	return 0
}

// digest is a tag's binary value in hex, "" if it has none.
func (h rpmHeader) digest(tag uint32) string {
	v := h.values[tag]
	if v.kind != typeBinary || uint64(v.n) > uint64(len(v.data)) || v.n > 64 {
		return ""
	}
	return hex.EncodeToString(v.data[:v.n])
}

// verify compares what follows the signature header with the sizes and digests that
// both headers carry: header is the second one, which begins at an offset, and the
// payload goes from another to the end.
func (h rpmHeader) verify(file io.ReaderAt, begin int64, header rpmHeader, payload, size int64) error {
	want := h.number(sigLongSize)
	if want == 0 {
		want = h.number(sigSize)
	}
	if want != 0 && want != uint64(size-begin) {
		return damaged("it has %d bytes behind its signature, and %d were signed", size-begin, want)
	}
	payloadDigest := header.text(tagPayloadDigest)
	if header.number(tagPayloadAlgorithm) != algorithmSHA256 {
		payloadDigest = ""
	}
	var alone, over []digest // of the header, and of what the payload belongs to
	alone = append(alone, digest{"header's SHA-1", h.text(sigSHA1), sha1.New()}, digest{"header's SHA-256", h.text(sigSHA256), sha256.New()})
	if want := h.digest(sigMD5); want != "" {
		d := digest{"MD5", want, md5.New()}
		d.sum.Write(header.raw)
		over = append(over, d)
	}
	if payloadDigest != "" {
		over = append(over, digest{"payload's SHA-256", payloadDigest, sha256.New()})
	}
	for _, d := range alone {
		d.sum.Write(header.raw)
		if err := d.compare(); err != nil {
			return err
		}
	}
	return compareAll(over, io.NewSectionReader(file, payload, size-payload))
}

// digest is one that a file carries, in lower-case hex; "" if it does not.
type digest struct {
	name, want string
	sum        hash.Hash
}

// compare says whether the sum is what the file carries.
func (d digest) compare() error {
	if got := hex.EncodeToString(d.sum.Sum(nil)); d.want != "" && got != d.want {
		return damaged("the %s is %s, and it carries %.64q", d.name, got, d.want)
	}
	return nil
}

// compareAll reads content once and compares it with digests.
func compareAll(digests []digest, content io.Reader) error {
	if len(digests) == 0 {
		return nil
	}
	writers := make([]io.Writer, len(digests))
	for i, d := range digests {
		writers[i] = d.sum
	}
	if _, err := io.Copy(io.MultiWriter(writers...), content); err != nil {
		return fmt.Errorf("read: %w", err)
	}
	for _, d := range digests {
		if err := d.compare(); err != nil {
			return err
		}
	}
	return nil
}

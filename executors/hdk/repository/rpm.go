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
		return findings{}, fmt.Errorf("is an rpm with sources, which installs nothing; put the rpm for the hosts' architecture here")
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

// verify compares what follows the signature header, of which h is the header that
// ends where the payload begins, with the sizes and digests that both carry.
func (sig rpmHeader) verify(file io.ReaderAt, begin int64, h rpmHeader, payload, size int64) error {
	want := sig.number(sigLongSize)
	if want == 0 {
		want = sig.number(sigSize)
	}
	if want != 0 && want != uint64(size-begin) {
		return damaged("it has %d bytes behind its signature, and %d were signed", size-begin, want)
	}
	type comparison struct {
		what, want string
		sum        hash.Hash
		whole      bool // of the header and the payload
	}
	comparisons := []comparison{
		{"the header's SHA-1", sig.text(sigSHA1), sha1.New(), false},
		{"the header's SHA-256", sig.text(sigSHA256), sha256.New(), false},
		{"the MD5", sig.digest(sigMD5), md5.New(), true},
	}
	payloadSum := sha256.New()
	payloadWant := h.text(tagPayloadDigest)
	if h.number(tagPayloadAlgorithm) != algorithmSHA256 {
		payloadWant = ""
	}
	var writers []io.Writer
	for _, c := range comparisons {
		c.sum.Write(h.raw)
		if c.whole && c.want != "" {
			writers = append(writers, c.sum)
		}
	}
	if payloadWant != "" {
		writers = append(writers, payloadSum)
	}
	if len(writers) > 0 {
		if _, err := io.Copy(io.MultiWriter(writers...), io.NewSectionReader(file, payload, size-payload)); err != nil {
			return fmt.Errorf("read: %w", err)
		}
	}
	for _, c := range append(comparisons, comparison{"the payload's SHA-256", payloadWant, payloadSum, true}) {
		if got := hex.EncodeToString(c.sum.Sum(nil)); c.want != "" && got != c.want {
			return damaged("%s is %s, and it carries %.64q", c.what, got, c.want)
		}
	}
	return nil
}

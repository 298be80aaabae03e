package fakehost

import (
	"bytes"
	"compress/gzip"
	"crypto/md5"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
)

// An rpm is a lead, a header with digests, a header with metadata and a packed cpio:
// https://rpm-software-management.github.io/rpm/manual/format_v4.html.
const (
	rpmHeaderMagic = "\x8e\xad\xe8\x01\x00\x00\x00\x00"
	rpmLeadSize    = 96
	cpioMagic      = "070701"
	cpioHeader     = 110
	payloadName    = "./usr/local/Ascend/package.run"
)

var errNotRPM = errors.New("fakehost: not an rpm")

// rpmTag is a tag of a header with its value: a string, a number or bytes.
type rpmTag struct {
	tag   uint32
	value any
}

// wrapRPM makes an rpm whose payload is an archive.
func wrapRPM(p Package, archive []byte) ([]byte, error) {
	payload, err := packed(cpio(archive))
	if err != nil {
		return nil, err
	}
	header := rpmHeader(rpmTag{1000, p.MetadataName()}, rpmTag{1001, p.Version}, rpmTag{1002, "1"}, rpmTag{1004, "Ascend HDK " + p.Kind},
		rpmTag{1021, "linux"}, rpmTag{1022, p.arch()}, rpmTag{1044, p.MetadataName() + "-" + p.Version + "-1.src.rpm"},
		rpmTag{1124, "cpio"}, rpmTag{1125, "gzip"}, rpmTag{1126, "9"},
		rpmTag{5092, fmt.Sprintf("%x", sha256.Sum256(payload))}, rpmTag{5093, 8})
	body := append(bytes.Clone(header), payload...)
	sum := md5.Sum(body)
	signature := rpmHeader(rpmTag{273, fmt.Sprintf("%x", sha256.Sum256(header))}, rpmTag{1000, len(body)}, rpmTag{1004, sum[:]})
	for len(signature)%8 != 0 {
		signature = append(signature, 0)
	}
	lead := make([]byte, rpmLeadSize)
	copy(lead, Magic[RPM]+"\x03\x00\x00\x00\x00\x01")
	copy(lead[10:75], p.MetadataName()+"-"+p.Version+"-1")
	binary.BigEndian.PutUint16(lead[76:], 1) // linux
	binary.BigEndian.PutUint16(lead[78:], 5) // the signature is a header
	return append(append(lead, signature...), body...), nil
}

// rpmHeader writes a header.
func rpmHeader(tags ...rpmTag) []byte {
	var index, store []byte
	for _, t := range tags {
		kind, count := uint32(6), uint32(1) // a string
		var value []byte
		switch v := t.value.(type) {
		case string:
			value = append([]byte(v), 0)
		case int:
			kind, value = 4, binary.BigEndian.AppendUint32(nil, uint32(v))
			for len(store)%4 != 0 {
				store = append(store, 0)
			}
		case []byte:
			kind, count, value = 7, uint32(len(v)), v
		}
		for _, n := range []uint32{t.tag, kind, uint32(len(store)), count} {
			index = binary.BigEndian.AppendUint32(index, n)
		}
		store = append(store, value...)
	}
	head := binary.BigEndian.AppendUint32([]byte(rpmHeaderMagic), uint32(len(tags)))
	head = binary.BigEndian.AppendUint32(head, uint32(len(store)))
	return append(append(head, index...), store...)
}

// cpio is an archive of one file, in the new ASCII form (cpio(5)).
func cpio(content []byte) []byte {
	var b bytes.Buffer
	entry := func(name string, mode int, content []byte) {
		b.WriteString(cpioMagic)
		for _, n := range []int{1, mode, 0, 0, 1, 1700000000, len(content), 0, 0, 0, 0, len(name) + 1, 0} {
			fmt.Fprintf(&b, "%08x", n)
		}
		b.WriteString(name + "\x00")
		b.Write(make([]byte, -b.Len()&3))
		b.Write(content)
		b.Write(make([]byte, -b.Len()&3))
	}
	entry(payloadName, 0o100755, content)
	entry("TRAILER!!!", 0, nil)
	return b.Bytes()
}

// packed is content behind gzip.
func packed(content []byte) ([]byte, error) {
	var b bytes.Buffer
	w, err := gzip.NewWriterLevel(&b, gzip.BestSpeed)
	if err != nil {
		return nil, err
	}
	_, err = w.Write(content)
	err = errors.Join(err, w.Close())
	return b.Bytes(), err
}

// OpenRPM takes the archive out of an rpm of a fake host.
func OpenRPM(path string) (archive []byte, err error) {
	whole, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	if len(whole) < rpmLeadSize || !strings.HasPrefix(string(whole[:4]), Magic[RPM]) {
		return nil, errNotRPM
	}
	at := rpmLeadSize
	for range 2 {
		at = (at + 7) &^ 7
		if len(whole) < at+16 || !bytes.HasPrefix(whole[at:], []byte(rpmHeaderMagic)) {
			return nil, errNotRPM
		}
		entries, store := binary.BigEndian.Uint32(whole[at+8:]), binary.BigEndian.Uint32(whole[at+12:])
		if at += 16 + int(entries)*16 + int(store); at > len(whole) {
			return nil, errNotRPM
		}
	}
	// No filler stands between the second header and the payload.
	unpacked, err := gzip.NewReader(bytes.NewReader(whole[at:]))
	if err != nil {
		return nil, err
	}
	content, err := io.ReadAll(unpacked)
	if err != nil {
		return nil, err
	}
	if len(content) < cpioHeader || string(content[:6]) != cpioMagic {
		return nil, errNotRPM
	}
	size, errSize := strconv.ParseInt(string(content[54:62]), 16, 64)
	name, errName := strconv.ParseInt(string(content[94:102]), 16, 64)
	begin := (cpioHeader + name + 3) &^ 3
	if errors.Join(errSize, errName) != nil || begin+size > int64(len(content)) {
		return nil, errNotRPM
	}
	return content[begin : begin+size], nil
}

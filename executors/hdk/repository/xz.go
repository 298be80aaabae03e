package repository

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"hash/crc64"
	"io"
	"math"

	"github.com/ulikunitz/xz/lzma"
)

const (
	xzMagic      = "\xfd7zXZ\x00"
	xzFooter     = "YZ"
	xzLZMA2      = 0x21
	xzHeaderSize = 12 // bytes of a stream's header, and of its footer
)

// xzReader unpacks an xz file (https://tukaani.org/xz/xz-file-format.txt) of LZMA2
// blocks. The container is read here, and not by the library that has the decoder,
// since that one allocates whatever dictionary a block asks for: 4 GiB for each of any
// number of blocks. What blocks ask for is bounded here, and charged.
type xzReader struct {
	in      *bufio.Reader
	charge  func(int64) error // for a dictionary
	counted int64             // bytes read of the stream
	check   hash.Hash         // of the block; nil if the stream has none
	kind    byte              // of the check
	block   io.Reader         // nil between blocks
	header  int64             // bytes of the block's header, and where it ended
	begun   int64
	blocks  uint64 // of the stream
	err     error
}

func newXZReader(in *bufio.Reader, charge func(int64) error) *xzReader {
	return &xzReader{in: in, charge: charge}
}

// counter counts what the decoder takes, byte by byte if it likes.
type counter struct{ x *xzReader }

func (c counter) Read(p []byte) (int, error) {
	n, err := c.x.in.Read(p)
	c.x.counted += int64(n)
	return n, err
}

func (c counter) ReadByte() (byte, error) {
	b, err := c.x.in.ReadByte()
	if err == nil {
		c.x.counted++
	}
	return b, err
}

// Read implements io.Reader.
func (x *xzReader) Read(p []byte) (int, error) {
	for x.err == nil {
		if x.block == nil {
			x.err = x.next()
			continue
		}
		n, err := x.block.Read(p)
		if x.check != nil {
			x.check.Write(p[:n])
		}
		switch {
		case errors.Is(err, io.EOF):
			x.err = x.endBlock()
		case err != nil:
			x.err = err
		}
		if n > 0 || len(p) == 0 {
			return n, nil
		}
	}
	return 0, x.err
}

// next goes to the next block, over the ends and beginnings of streams. io.EOF if
// there is none.
func (x *xzReader) next() error {
	if x.counted == 0 {
		if err := x.beginStream(); err != nil {
			return err
		}
	}
	size, err := counter{x}.ReadByte()
	if err != nil {
		return short(err)
	}
	if size != 0 {
		return x.beginBlock(size)
	}
	if err := x.endStream(); err != nil {
		return err
	}
	rest, err := x.in.Peek(4)
	for len(rest) == 4 && bytes.Equal(rest, make([]byte, 4)) { // padding
		if _, err := x.in.Discard(4); err != nil {
			return err
		}
		rest, err = x.in.Peek(4)
	}
	switch {
	case len(rest) == 4:
		x.counted, x.blocks = 0, 0
		return nil
	case len(rest) > 0 && errors.Is(err, io.EOF):
		return errors.New("there is something after the end")
	}
	return err
}

func (x *xzReader) beginStream() error {
	var head [xzHeaderSize]byte
	if err := x.full(head[:]); err != nil {
		return err
	}
	if string(head[:6]) != xzMagic || crc32.ChecksumIEEE(head[6:8]) != binary.LittleEndian.Uint32(head[8:]) {
		return errors.New("the header is wrong")
	}
	x.kind = head[7]
	if _, err := newCheck(x.kind); head[6] != 0 || err != nil {
		return errPacking
	}
	return nil
}

// newCheck is the checksum of a kind, nil for the kind without one.
func newCheck(kind byte) (hash.Hash, error) {
	switch kind {
	case 0x00:
		return nil, nil
	case 0x01:
		return crc32.NewIEEE(), nil
	case 0x04:
		return crc64.New(crc64.MakeTable(crc64.ECMA)), nil
	case 0x0a:
		return sha256.New(), nil
	}
	return nil, errPacking
}

func (x *xzReader) beginBlock(size byte) error {
	head := make([]byte, (int(size)+1)*4)
	head[0] = size
	if err := x.full(head[1:]); err != nil {
		return err
	}
	body := head[:len(head)-4]
	if crc32.ChecksumIEEE(body) != binary.LittleEndian.Uint32(head[len(body):]) {
		return errors.New("a block's header is wrong")
	}
	flags, fields := body[1], bytes.NewReader(body[2:])
	unpacked := uint64(math.MaxInt64)
	for _, given := range []byte{0x40, 0x80} { // the packed and the unpacked size, which are in the index too
		if flags&given != 0 {
			size, err := binary.ReadUvarint(fields)
			if err != nil {
				return errors.New("a block's header is wrong")
			}
			unpacked = size // the last of them
		}
	}
	if flags&0x80 == 0 {
		unpacked = math.MaxInt64
	}
	filter, _ := fields.ReadByte()
	length, _ := fields.ReadByte()
	bits, err := fields.ReadByte()
	if err != nil || flags&0x3f != 0 || filter != xzLZMA2 || length != 1 {
		return errPacking // other filters than LZMA2, or several
	}
	dictionary := int64(2|bits&1) << (min(bits, 40)/2 + 11)
	// No block looks further back than it is long: xz -T gives each of many small ones the
	// dictionary of its level.
	dictionary = min(dictionary, max(int64(min(unpacked, math.MaxInt64)), lzma.MinDictCap))
	if bits > 40 || dictionary > maxWindow {
		return fmt.Errorf("%w: unpacking takes %d bytes of memory", errPacking, dictionary)
	}
	if err := x.charge(dictionary); err != nil {
		return err
	}
	x.header, x.begun = int64(len(head)), x.counted
	x.blocks++
	if x.check, err = newCheck(x.kind); err != nil {
		return err
	}
	x.block, err = lzma.Reader2Config{DictCap: int(max(dictionary, lzma.MinDictCap))}.NewReader2(counter{x})
	return err
}

// endBlock reads what stands behind a block's data.
func (x *xzReader) endBlock() error {
	padding := make([]byte, (4-(x.header+x.counted-x.begun)%4)%4)
	if err := x.full(padding); err != nil {
		return err
	}
	x.block = nil
	if x.check == nil {
		return nil
	}
	want := make([]byte, x.check.Size())
	if err := x.full(want); err != nil {
		return err
	}
	got := x.check.Sum(nil)
	if x.kind != 0x0a { // hash writes CRCs the other way round
		for i, j := 0, len(got)-1; i < j; i, j = i+1, j-1 {
			got[i], got[j] = got[j], got[i]
		}
	}
	if !bytes.Equal(got, want) {
		return errors.New("a block's checksum is wrong")
	}
	return nil
}

func (x *xzReader) full(p []byte) error {
	_, err := io.ReadFull(counter{x}, p)
	return short(err)
}

// short makes the end of the input within something an error.
func short(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

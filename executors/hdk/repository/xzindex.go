package repository

import (
	"encoding/binary"
	"errors"
	"hash"
	"hash/crc32"
)

// endStream reads the index, whose first byte is read already, and the footer.
func (x *xzReader) endStream() error {
	before := x.counted - 1
	index := &summed{x: x, sum: crc32.NewIEEE()}
	index.sum.Write([]byte{0})
	records, err := binary.ReadUvarint(index)
	if err == nil && records != x.blocks {
		err = errors.New("the index is of other blocks")
	}
	for i := uint64(0); err == nil && i < 2*records; i++ {
		_, err = binary.ReadUvarint(index)
	}
	for err == nil && (x.counted-before)%4 != 0 {
		_, err = index.ReadByte()
	}
	if err != nil {
		return short(err)
	}
	var sum [4]byte
	if err := x.full(sum[:]); err != nil {
		return err
	}
	size := x.counted - before
	var foot [xzHeaderSize]byte
	if err := x.full(foot[:]); err != nil {
		return err
	}
	if index.sum.Sum32() != binary.LittleEndian.Uint32(sum[:]) || string(foot[10:]) != xzFooter ||
		crc32.ChecksumIEEE(foot[4:10]) != binary.LittleEndian.Uint32(foot[:]) ||
		(int64(binary.LittleEndian.Uint32(foot[4:]))+1)*4 != size || foot[8] != 0 || foot[9] != x.kind {
		return errors.New("the index or the footer is wrong")
	}
	return nil
}

// summed reads bytes of the index and sums them up.
type summed struct {
	x   *xzReader
	sum hash.Hash32
}

func (s *summed) ReadByte() (byte, error) {
	b, err := counter{s.x}.ReadByte()
	if err == nil {
		s.sum.Write([]byte{b})
	}
	return b, err
}

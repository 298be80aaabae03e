package repository

// cksum is the checksum of the program cksum: a CRC with the polynomial of Ethernet,
// most significant bit first, over the bytes and then over their number. See cksum in
// POSIX.1-2017. hash/crc32 has only the mirrored form.
type cksum struct {
	crc    uint32
	length uint64
}

var cksumTable = func() (table [256]uint32) {
	for i := range table {
		crc := uint32(i) << 24
		for range 8 {
			high := crc >> 31
			crc = crc<<1 ^ high*0x04c11db7
		}
		table[i] = crc
	}
	return table
}()

func newCksum() *cksum { return &cksum{} }

// Write implements io.Writer and never fails.
func (c *cksum) Write(p []byte) (int, error) {
	crc := c.crc
	for _, b := range p {
		crc = crc<<8 ^ cksumTable[byte(crc>>24)^b]
	}
	c.crc = crc
	c.length += uint64(len(p))
	return len(p), nil
}

// Sum32 is the checksum of what was written.
func (c *cksum) Sum32() uint32 {
	crc := c.crc
	for n := c.length; n > 0; n >>= 8 {
		crc = crc<<8 ^ cksumTable[byte(crc>>24)^byte(n)]
	}
	return ^crc
}

// Sum appends the checksum, most significant byte first.
func (c *cksum) Sum(b []byte) []byte {
	s := c.Sum32()
	return append(b, byte(s>>24), byte(s>>16), byte(s>>8), byte(s))
}

// Reset implements hash.Hash.
func (c *cksum) Reset() { *c = cksum{} }

// Size implements hash.Hash.
func (c *cksum) Size() int { return 4 }

// BlockSize implements hash.Hash.
func (c *cksum) BlockSize() int { return 1 }

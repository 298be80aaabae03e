package config

import (
	"fmt"
	"strconv"
	"strings"
)

// Size is a number of bytes that is written as in "512MiB" or "16GiB".
type Size uint64

// sizeUnits, the largest first.
var sizeUnits = []struct {
	name  string
	bytes uint64
}{{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}}

// String writes s with the largest unit in which it is a whole number.
func (s Size) String() string {
	for _, unit := range sizeUnits {
		if n := uint64(s); n > 0 && n%unit.bytes == 0 {
			return strconv.FormatUint(n/unit.bytes, 10) + unit.name
		}
	}
	return strconv.FormatUint(uint64(s), 10)
}

// MarshalText writes s as String does.
func (s Size) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads what String writes. A number without a unit is bytes.
func (s *Size) UnmarshalText(text []byte) error {
	number, bytes := string(text), uint64(1)
	for _, unit := range sizeUnits {
		if rest, ok := strings.CutSuffix(number, unit.name); ok {
			number, bytes = rest, unit.bytes
			break
		}
	}
	n, err := strconv.ParseUint(number, 10, 64)
	if err != nil || n > 1<<63/bytes {
		return fmt.Errorf("%.80q is not a size such as 512MiB or 16GiB", text)
	}
	*s = Size(n * bytes)
	return nil
}

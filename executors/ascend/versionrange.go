package ascend

import (
	"errors"
	"fmt"
	"strings"
)

// Range is a range of versions that a package declares itself compatible with;
// both ends belong to it.
type Range struct {
	Low  Version `json:"low"`
	High Version `json:"high"`
	// Prefix says that High was written with a dot at its end, as in
	// [23.0.rc3,23.0.rc3.]. It is read as all versions that begin with High.
	Prefix bool `json:"prefix,omitempty"`
}

const maxRanges = 64

// ParseRanges reads a list of ranges, such as [23.0.rc3,23.0.rc3.],[23.0.0,23.0.7].
// An empty text has none.
func ParseRanges(text string) ([]Range, error) {
	var ranges []Range
	if len(text) > maxRanges*4*maxVersion {
		return nil, fmt.Errorf("list of ranges is %d bytes long", len(text))
	}
	rest := strings.TrimSpace(text)
	for rest != "" {
		if len(ranges) == maxRanges {
			return nil, fmt.Errorf("more than %d ranges", maxRanges)
		}
		inner, after, closed := strings.Cut(rest, "]")
		if !closed || !strings.HasPrefix(inner, "[") {
			return nil, fmt.Errorf("%q is not a range in brackets", clip(rest, maxVersion))
		}
		r, err := parseRange(inner[1:])
		if err != nil {
			return nil, err
		}
		ranges = append(ranges, r)
		rest = strings.TrimSpace(after)
		if rest == "" {
			break
		}
		if rest, closed = strings.CutPrefix(rest, ","); !closed {
			return nil, fmt.Errorf("no comma before %q", clip(rest, maxVersion))
		}
		if rest = strings.TrimSpace(rest); rest == "" {
			return nil, errors.New("list of ranges ends in a comma")
		}
	}
	return ranges, nil
}

func parseRange(inner string) (Range, error) {
	low, high, both := strings.Cut(inner, ",")
	if !both {
		return Range{}, fmt.Errorf("range %q has no comma", clip(inner, maxVersion))
	}
	var r Range
	var err error
	if r.Low, err = ParseVersion(strings.TrimSuffix(strings.TrimSpace(low), ".")); err != nil {
		return Range{}, fmt.Errorf("range begins with: %w", err)
	}
	high, r.Prefix = strings.CutSuffix(strings.TrimSpace(high), ".")
	if r.High, err = ParseVersion(high); err != nil {
		return Range{}, fmt.Errorf("range ends with: %w", err)
	}
	if order, ordered := r.Low.Compare(r.High); !ordered || order > 0 {
		return Range{}, fmt.Errorf("range from %s to %s holds nothing", r.Low, r.High)
	}
	return r, nil
}

// Contains reports whether v is in the range. A version of another line than
// an end of the range is not.
func (r Range) Contains(v Version) bool {
	if order, ordered := r.Low.Compare(v); !ordered || order > 0 {
		return false
	}
	if r.Prefix && strings.HasPrefix(string(v), string(r.High)+".") {
		return true
	}
	order, ordered := v.Compare(r.High)
	return ordered && order <= 0
}

// String is the range as it is written.
func (r Range) String() string {
	end := "]"
	if r.Prefix {
		end = ".]"
	}
	return "[" + string(r.Low) + "," + string(r.High) + end
}

package fakehost

import (
	"regexp"
	"strconv"
	"strings"
)

var bounds = regexp.MustCompile(`\[([^,\]]*),([^\]]*)\]`)

// InRanges tells whether version lies in one of the ranges a package declares,
// written "[7.0.0,7.2.99],[7.5.0,7.5.99]". No ranges at all admit every version.
// The comparison is that of the HDK driver package scripts (version_lt): four
// dotted fields, numbers by value, all else by bytes, a missing field is smaller;
// so 24.1.0 sorts below 24.1.rc3 there.
func InRanges(version, ranges string) bool {
	if strings.TrimSpace(ranges) == "" {
		return true
	}
	for _, b := range bounds.FindAllStringSubmatch(ranges, -1) {
		if !versionLess(version, b[1]) && !versionLess(b[2], version) {
			return true
		}
	}
	return false
}

func versionLess(a, b string) bool {
	as, bs := strings.Split(strings.ToLower(a), "."), strings.Split(strings.ToLower(b), ".")
	for i := range 4 {
		switch {
		case i >= len(as):
			return i < len(bs)
		case i >= len(bs):
			return false
		case as[i] == bs[i]:
			continue
		}
		x, errX := strconv.Atoi(as[i])
		y, errY := strconv.Atoi(bs[i])
		if errX == nil && errY == nil {
			return x < y
		}
		return as[i] < bs[i]
	}
	return false
}

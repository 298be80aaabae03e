package ascend

import (
	"fmt"
	"strconv"
	"strings"

	"devserver-agent/executors/lazyregexp"
)

// Version is the version of a driver or a firmware, such as 24.1.rc3.10 or
// 7.5.0.5.220, in lower case. Two of them are the same if they are equal. The
// zero value is no version.
type Version string

const maxVersion = 64

// Numbers parted by dots, some with letters before them (rc3, b010, t105), and
// a patch's name at the end of one (_sph001).
var versionGrammar = lazyregexp.New(`^[0-9]{1,8}(?:\.[a-z]{0,8}[0-9]{1,8}(?:_[a-z0-9]{1,16})?){1,7}$`)

// ParseVersion reads a version in either case.
func ParseVersion(text string) (Version, error) {
	lower := strings.ToLower(strings.TrimSpace(text))
	if len(lower) > maxVersion || !versionGrammar.MatchString(lower) {
		return "", fmt.Errorf("%q is not a version", clip(text, maxVersion))
	}
	return Version(lower), nil
}

// compared is how many fields Huawei's installer looks at. The fifth of a
// firmware's version is the train it was built on.
const compared = 4

// Compare orders v and w as Huawei's driver installer does: by the first four
// fields; numbers by value, other fields by their bytes, a missing one first.
//
// That rule would put a release below its own candidates (24.1.0 below
// 24.1.rc3). They are different lines, for different chips, so where a number
// meets a word neither version is older and ordered is false, as it is for the
// zero Version. Ask the package's compatible ranges instead.
func (v Version) Compare(w Version) (order int, ordered bool) {
	if v == "" || w == "" {
		return 0, false
	}
	a, b := v.fields(), w.fields()
	for i := range compared {
		order, ordered := compareField(a[i], b[i])
		if !ordered || order != 0 {
			return order, ordered
		}
	}
	return 0, true
}

// fields are the first fields of v, "" for those it does not have.
func (v Version) fields() [compared]string {
	var fields [compared]string
	copy(fields[:], strings.SplitN(string(v), ".", compared+1))
	return fields
}

func compareField(a, b string) (order int, ordered bool) {
	switch {
	case a == b:
		return 0, true
	case a == "":
		return -1, true
	case b == "":
		return 1, true
	}
	x, errX := strconv.Atoi(a)
	y, errY := strconv.Atoi(b)
	switch {
	case errX == nil && errY == nil && x < y:
		return -1, true
	case errX == nil && errY == nil && x > y:
		return 1, true
	case errX == nil && errY == nil:
		return 0, true
	case (errX == nil) != (errY == nil):
		return 0, false
	}
	return strings.Compare(a, b), true
}

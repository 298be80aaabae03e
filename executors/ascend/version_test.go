package ascend

import (
	"slices"
	"testing"
	"testing/quick"
)

func TestVersions(t *testing.T) {
	for text, want := range map[string]Version{
		"23.0.3": "23.0.3", "24.1.RC3.6": "24.1.rc3.6", " 24.1.rc3.10\t": "24.1.rc3.10", "24.1.rc2.b010": "24.1.rc2.b010",
		"7.5.0.5.220": "7.5.0.5.220", "1.73.5.0.B050": "1.73.5.0.b050", "1.73.T105": "1.73.t105", "21.0.3.1": "21.0.3.1",
		"25.0.rc1_sph001": "25.0.rc1_sph001", "26.1.0": "26.1.0",
	} {
		if got, err := ParseVersion(text); got != want || err != nil {
			t.Errorf("%q is %q, %v", text, got, err)
		}
	}
	for _, text := range []string{
		"", "24", "24.", "24.1.", "24..1", ".1", "NA", "rc3.1", "24.1.0 .3", "24.1.0;reboot", "../24.1", "24.1.rc", "24.1.0\n.3",
		"24.1.-1", "24.1.0x", "1.2.3.4.5.6.7.8.9", "123456789.0", "24.1.0_", "２４.1", "20.0/1.73.T105",
	} {
		if got, err := ParseVersion(text); err == nil {
			t.Errorf("%q was taken for the version %q", text, got)
		}
	}
}

func TestHuaweisOrder(t *testing.T) {
	for _, c := range []struct {
		v, w    Version
		order   int
		ordered bool
		because string
	}{
		{"24.1.0.3", "24.1.0.3", 0, true, "they are the same"},
		{"23.0.3", "24.1.0", -1, true, "numbers count"},
		{"24.1.rc3.9", "24.1.rc3.10", -1, true, "numbers are not compared as text"},
		{"24.1.rc2", "24.1.rc3.1", -1, true, "candidates are in order"},
		{"24.1.0", "24.1.0.3", -1, true, "a missing field comes first"},
		{"24.1.rc3.10", "25.2.1", -1, true, "the second field has decided before the lines part"},
		{"24.1.rc3.10", "24.1.0.3", 0, false, "a candidate and a release are different lines"},
		{"24.1.0", "24.1.rc1", 0, false, "a candidate and a release are different lines"},
		{"24.1.rc2.b010", "24.1.rc2.1", 0, false, "an inner build and a patch are different lines"},
		{"7.5.0.5.220", "7.5.0.5.241", 0, true, "the build train is not looked at"},
		{"7.01.0", "7.1.0", 0, true, "numbers are numbers"},
		{"", "7.1.0", 0, false, "no version has no place"},
	} {
		order, ordered := c.v.Compare(c.w)
		if order != c.order || ordered != c.ordered {
			t.Errorf("%s, %s: got %d %t, want %d %t: %s", c.v, c.w, order, ordered, c.order, c.ordered, c.because)
		}
		back, ordered := c.w.Compare(c.v)
		if back != -c.order || ordered != c.ordered {
			t.Errorf("%s, %s turned round: got %d %t", c.w, c.v, back, ordered)
		}
	}
}

func TestOrderIsTransitiveWithinALine(t *testing.T) {
	pick := []string{"0", "1", "2", "9", "10", "99"}
	version := func(a, b, c, d uint8) Version {
		at := func(n uint8) string { return pick[int(n)%len(pick)] }
		return Version(at(a) + "." + at(b) + "." + at(c) + "." + at(d))
	}
	err := quick.Check(func(x, y, z [4]uint8) bool {
		all := []Version{version(x[0], x[1], x[2], x[3]), version(y[0], y[1], y[2], y[3]), version(z[0], z[1], z[2], z[3])}
		less := func(v, w Version) int { order, _ := v.Compare(w); return order }
		slices.SortFunc(all, less)
		return less(all[0], all[1]) <= 0 && less(all[1], all[2]) <= 0 && less(all[0], all[2]) <= 0
	}, nil)
	if err != nil {
		t.Error(err)
	}
}

func TestRanges(t *testing.T) {
	for _, c := range []struct {
		text    string
		in, out []Version
	}{
		{"", nil, []Version{"24.1.0"}},
		{"[7.0.0,7.2.99]", []Version{"7.0.0", "7.0.0.5.242", "7.1.0.11.220", "7.2.99"}, []Version{"6.9.9", "7.3.0", "7.5.0.5.220", "7.2.99.1"}},
		{"[23.0.rc3,23.0.rc3.],[23.0.0,23.0.0.]", []Version{"23.0.rc3", "23.0.rc3.2", "23.0.0", "23.0.0.b060"}, []Version{"23.0.rc2", "23.0.1", "24.1.rc3"}},
		{"[6.4.0,6.4.99],[7.0.0,7.6.99]", []Version{"6.4.12", "7.5.0.5.220"}, []Version{"6.5.0", "7.7.0.1.231"}},
		{" [ 7.0.0 , 8.9.9 ] , [23.0.RC1,23.0.RC3] ", []Version{"7.8.0.7.220", "23.0.rc2"}, []Version{"23.0.0"}},
	} {
		ranges, err := ParseRanges(c.text)
		if err != nil {
			t.Errorf("%q: %v", c.text, err)
		}
		contains := func(v Version) bool {
			return slices.ContainsFunc(ranges, func(r Range) bool { return r.Contains(v) })
		}
		for _, v := range c.in {
			if !contains(v) {
				t.Errorf("%q does not contain %s", c.text, v)
			}
		}
		for _, v := range c.out {
			if contains(v) {
				t.Errorf("%q contains %s", c.text, v)
			}
		}
	}
	for _, text := range []string{
		"7.0.0", "[7.0.0]", "[7.0.0,7.2.99", "[7.0.0,7.2.99],", "[,7.2.99]", "[7.2.99,7.0.0]", "[23.0.0,23.0.rc3]", "[a,b]",
		"[7.0.0,7.1.0][7.2.0,7.3.0]", "[7.0.0,7.1.0,7.2.0]", "]",
	} {
		if ranges, err := ParseRanges(text); err == nil {
			t.Errorf("%q was taken for %v", text, ranges)
		}
	}
}

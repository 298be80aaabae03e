package ascend

import (
	"fmt"
	"strconv"
	"strings"
)

// row reads what stands in the lines of a table by the names of their columns. It
// keeps the first thing that is wrong.
type row struct {
	text map[string]string
	err  error
}

func (r *row) has(name string) bool {
	_, ok := r.text[name]
	return ok
}

// either is the name of the column that is there, of two.
func (r *row) either(name, other string) string {
	if r.has(other) {
		return other
	}
	return name
}

// value is the text of a column, "" for one of the ways to say that there is none.
func (r *row) value(name string) string {
	if text := r.text[name]; !none(text) {
		return clip(text, maxValue)
	}
	return ""
}

func (r *row) wrong(name string) {
	if r.err == nil {
		r.err = fmt.Errorf("gives %q as %s", clip(r.text[name], maxSaid), name)
	}
}

// number reads a column that has to be there.
func (r *row) number(name string) int {
	n, err := strconv.ParseUint(r.text[name], 10, 31)
	if err != nil {
		r.wrong(name)
	}
	return int(n)
}

// optional reads a number that may be missing.
func (r *row) optional(name string) *int {
	if r.value(name) == "" {
		return nil
	}
	n := r.number(name)
	if r.err != nil {
		return nil
	}
	return &n
}

// measure reads a figure that may be missing.
func (r *row) measure(name string) *float64 {
	if r.value(name) == "" {
		return nil
	}
	value, err := strconv.ParseFloat(r.text[name], 64)
	if err != nil || !(value > -1e9 && value < 1e9) {
		r.wrong(name)
		return nil
	}
	return &value
}

// usage reads a "used/total" that may be missing.
func (r *row) usage(name string) *Usage {
	if r.value(name) == "" {
		return nil
	}
	used, total, _ := strings.Cut(r.text[name], "/")
	u, err := strconv.ParseUint(used, 10, 31)
	t, totalErr := strconv.ParseUint(total, 10, 31)
	if err != nil || totalErr != nil {
		r.wrong(name)
		return nil
	}
	return &Usage{int(u), int(t)}
}

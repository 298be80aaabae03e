package output

import "slices"

// Span is the bytes from From up to, not with, To.
type Span struct {
	From int64 `json:"from"`
	To   int64 `json:"to"`
}

// Ranges is a set of bytes. The zero value is empty.
type Ranges struct{ spans []Span } // sorted, none touches the next

// Add puts s into the set and reports whether any of it is new.
func (r *Ranges) Add(s Span) bool {
	if s.From >= s.To {
		return false
	}
	first, _ := slices.BinarySearchFunc(r.spans, s.From, func(have Span, from int64) int {
		if have.To < from {
			return -1
		}
		return 1
	})
	last := first
	for last < len(r.spans) && r.spans[last].From <= s.To {
		last++
	}
	if last == first+1 && r.spans[first].From <= s.From && s.To <= r.spans[first].To {
		return false
	}
	if last > first {
		s.From = min(s.From, r.spans[first].From)
		s.To = max(s.To, r.spans[last-1].To)
	}
	r.spans = slices.Replace(r.spans, first, last, s)
	return true
}

// Missing lists what of the bytes up to total is not in the set, leaving out
// hole, which nobody has any more.
func (r *Ranges) Missing(total int64, hole Span) (missing []Span) {
	have := Ranges{slices.Clone(r.spans)}
	have.Add(hole)
	at := int64(0)
	for _, s := range have.spans {
		if s.From > at && at < total {
			missing = append(missing, Span{at, min(s.From, total)})
		}
		at = max(at, s.To)
	}
	if at < total {
		missing = append(missing, Span{at, total})
	}
	return missing
}

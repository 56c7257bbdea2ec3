package cache

import "slices"

// span is the range [from, to) of a stripe's payload.
type span struct{ from, to int }

// spans is a set of bytes: sorted, disjoint ranges that do not touch.
type spans []span

// covers reports whether all of [from, to) is in the set.
func (s spans) covers(from, to int) bool {
	i := s.after(from)
	return from >= to || i < len(s) && s[i].from <= from && to <= s[i].to
}

// after returns the index of the first range that ends behind off.
func (s spans) after(off int) int {
	i, _ := slices.BinarySearchFunc(s, off, func(r span, off int) int {
		if r.to > off {
			return 1
		}
		return -1
	})
	return i
}

// add returns the set with [from, to) in it.
func (s spans) add(from, to int) spans {
	if from >= to {
		return s
	}
	i := s.after(from - 1)
	j := i
	for j < len(s) && s[j].from <= to {
		from, to = min(from, s[j].from), max(to, s[j].to)
		j++
	}
	return slices.Replace(s, i, j, span{from, to})
}

// remove returns the set without [from, to).
func (s spans) remove(from, to int) spans {
	if from >= to {
		return s
	}
	var out spans
	for _, r := range s {
		if r.from < min(r.to, from) {
			out = append(out, span{r.from, min(r.to, from)})
		}
		if max(r.from, to) < r.to {
			out = append(out, span{max(r.from, to), r.to})
		}
	}
	return out
}

// gap returns the first range of [from, to) that is not in the set.
func (s spans) gap(from, to int) (span, bool) {
	for i := s.after(from); i < len(s) && s[i].from <= from; i++ {
		from = s[i].to
	}
	if from >= to {
		return span{}, false
	}
	if i := s.after(from); i < len(s) {
		to = min(to, s[i].from)
	}
	return span{from, to}, true
}

// end returns where the last range ends, 0 if there is none.
func (s spans) end() int {
	if len(s) == 0 {
		return 0
	}
	return s[len(s)-1].to
}

// size returns the number of bytes in the set.
func (s spans) size() (n int) {
	for _, r := range s {
		n += r.to - r.from
	}
	return n
}

package check

import "sort"

// slab is how many entries a list takes memory for at a time: it neither copies when it grows nor takes much too much.
const slab = 8192

// list is a long list that grows.
type list[T any] struct{ slabs [][]T }

func (l *list[T]) add(v T) {
	n := len(l.slabs)
	if n == 0 || len(l.slabs[n-1]) == slab {
		l.slabs = append(l.slabs, make([]T, 0, slab))
		n++
	}
	l.slabs[n-1] = append(l.slabs[n-1], v)
}

func (l *list[T]) len() int {
	if len(l.slabs) == 0 {
		return 0
	}
	return (len(l.slabs)-1)*slab + len(l.slabs[len(l.slabs)-1])
}

func (l *list[T]) at(i int) *T { return &l.slabs[i/slab][i%slab] }

// sort orders the list in place.
func (l *list[T]) sort(less func(a, b *T) bool) { sort.Sort(sorter[T]{l, less}) }

type sorter[T any] struct {
	l    *list[T]
	less func(a, b *T) bool
}

func (s sorter[T]) Len() int           { return s.l.len() }
func (s sorter[T]) Less(i, j int) bool { return s.less(s.l.at(i), s.l.at(j)) }
func (s sorter[T]) Swap(i, j int)      { a, b := s.l.at(i), s.l.at(j); *a, *b = *b, *a }

// search returns the first index for which ok is true, for a list in whose order it becomes true and stays so.
func (l *list[T]) search(ok func(*T) bool) int {
	return sort.Search(l.len(), func(i int) bool { return ok(l.at(i)) })
}

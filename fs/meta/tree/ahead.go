package tree

// maxAhead is how many leaves are prefetched at most: half a megabyte of nodes.
const maxAhead = 32

// readAhead prefetches the leaves that follow the i-th child of n, which is not in memory. The more of those just before it
// were visited, the more: a walk through a directory and then through the inodes of its files comes to the leaves in
// order, in two places by turns. A child whose pointer is known was visited, or prefetched.
func (s *Store) readAhead(n *node, i int) {
	before := 0
	for before < maxAhead && before < i && n.kids[i-1-before].Load() != nil {
		before++
	}
	want := min(2*before, maxAhead)
	next := i + 1
	for next < n.n && next <= i+want && n.kids[next].Load() != nil {
		next++
	}
	if next-i > want/2 {
		return // enough are on their way
	}
	var list []Pointer
	for ; next < n.n && next <= i+want; next++ {
		p, err := s.kid(n, next)
		if err != nil {
			break // whoever needs it gets the error
		}
		list = append(list, p)
	}
	if len(list) > 0 {
		s.ahead.Prefetch(list)
	}
}

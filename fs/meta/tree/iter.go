package tree

import "context"

// Iter walks over the entries of a tree in the order of their keys. It is used by one goroutine.
type Iter struct {
	s     *Store
	ctx   context.Context
	path  []step // from the root to a leaf
	begun bool
	err   error
}

// step is a place in a node: entry i of n.
type step struct {
	n *node
	i int
}

// Seek returns an iterator over the keys of r that are not less than from. Next has to be called before the first.
// ctx bounds the loads of all later steps.
func (s *Store) Seek(ctx context.Context, r Root, from []byte) *Iter {
	it := &Iter{s: s, ctx: ctx}
	if r.Height == 0 {
		return it
	}
	n, err := s.root(ctx, r)
	for err == nil && n.level > 0 {
		i := n.route(from)
		it.path = append(it.path, step{n, i})
		n, err = s.child(ctx, n, i)
	}
	if err != nil {
		it.err = err
		return it
	}
	i, _ := n.search(from)
	it.path = append(it.path, step{n, i})
	return it
}

// Next goes to the next entry. It returns false at the end and after an error.
func (it *Iter) Next() bool {
	if it.err != nil || len(it.path) == 0 {
		return false
	}
	if it.begun {
		it.path[len(it.path)-1].i++
	}
	it.begun = true
	leaf := it.path[len(it.path)-1]
	return leaf.i < leaf.n.n || it.nextLeaf()
}

// nextLeaf climbs to the first node with another child and goes down its left edge.
func (it *Iter) nextLeaf() bool {
	d := len(it.path) - 2
	for ; d >= 0; d-- {
		it.path[d].i++
		if it.path[d].i < it.path[d].n.n {
			break
		}
	}
	if d < 0 {
		it.path = nil
		return false
	}
	for ; d+1 < len(it.path); d++ {
		n, err := it.s.child(it.ctx, it.path[d].n, it.path[d].i)
		if err != nil {
			it.err = err
			return false
		}
		it.path[d+1] = step{n, 0}
	}
	return true
}

// Key returns the key of the current entry; it is not to be changed.
func (it *Iter) Key() []byte { s := it.path[len(it.path)-1]; return s.n.key(s.i) }

// Value returns the value of the current entry; it is not to be changed.
func (it *Iter) Value() []byte { s := it.path[len(it.path)-1]; return s.n.value(s.i) }

// Err returns what ended the walk before its end, if anything did.
func (it *Iter) Err() error { return it.err }

package tree

import (
	"bytes"
	"context"
	"fmt"
)

// fold is one pass over an old tree and the edits. What has been decided waits in one builder for each level; a
// subtree that no edit touches goes whole into the builder of its parents' level, once all that waits below is written.
type fold struct {
	s      *Store
	ctx    context.Context
	c      cursor
	leaf   leafBuild
	inners []*innerBuild // of level 1 and up
	bound  []byte        // above all keys before the leaf that is next, not above any in it
}

// Fold returns the tree that r becomes by the edits, which next yields in the order of their keys until it says false.
// Slices of an edit are used until the next call only. Nodes without a change are shared with r; nodes that a
// DeleteRange covers are not even read; with no change at all the result is r. Nodes written before an error are lost
// to the tree, and r is as it was. Memory: a few nodes for each level beside the cache.
func (s *Store) Fold(ctx context.Context, r Root, next func() (Edit, bool, error)) (Root, error) {
	if r.Height > MaxHeight {
		return Root{}, fmt.Errorf("%w: a height of %d", ErrNode, r.Height)
	}
	f := &fold{s: s, ctx: ctx, c: cursor{next: next}, bound: []byte{}}
	f.c.advance()
	var err error
	if r.Height == 0 {
		err = f.insert(nil)
	} else {
		top := kid{sep: f.bound, ptr: r.Ptr, count: r.Entries}
		err = f.walk(top, int(r.Height)-1, nil)
	}
	if err == nil {
		err = f.c.err
	}
	if err != nil {
		return Root{}, fmt.Errorf("fold edits into a tree: %w", err)
	}
	root, err := f.finish()
	if err != nil {
		return Root{}, fmt.Errorf("fold edits into a tree: %w", err)
	}
	return root, nil
}

// walk brings the subtree k, a node of this level whose keys lie in [k.sep, hi), up to date.
func (f *fold) walk(k kid, level int, hi []byte) error {
	if err := f.ctx.Err(); err != nil {
		return err
	}
	f.c.open(k.sep)
	switch {
	case f.c.err != nil:
		return f.c.err
	case f.c.covers(hi):
		return f.insert(hi)
	case !f.c.below(hi) && !f.c.deleted(k.sep):
		return f.take(k, level, hi)
	}
	n, err := f.load(k, level, hi)
	if err != nil {
		return err
	}
	if level == 0 {
		return f.merge(n, k, hi)
	}
	return f.each(n, k, hi, f.walk)
}

// each calls do for every child of n, which is the node k.
func (f *fold) each(n *node, k kid, hi []byte, do func(kid, int, []byte) error) error {
	from := &origin{k, n.n}
	for i := range n.n {
		p, err := f.s.kid(n, i)
		if err != nil {
			return err
		}
		c := kid{sep: n.key(i), ptr: p, count: n.count(i), from: from}
		end := hi
		if i == 0 {
			c.sep = k.sep
		}
		if i+1 < n.n {
			end = n.key(i + 1)
		}
		if err := do(c, n.level-1, end); err != nil {
			return err
		}
	}
	return nil
}

// load reads the node k and checks that its keys belong where it is.
func (f *fold) load(k kid, level int, hi []byte) (*node, error) {
	n, err := f.s.load(f.ctx, k.ptr, level, nil)
	if err != nil {
		return nil, err
	}
	outside := bytes.Compare(n.key(0), k.sep) < 0
	if level > 0 { // the first separator gives way to the parent's
		outside = bytes.Compare(n.key(1), k.sep) <= 0
	}
	if outside || hi != nil && bytes.Compare(n.key(n.n-1), hi) >= 0 {
		return nil, fmt.Errorf("%w: a node of level %d has keys of its neighbours", ErrNode, level)
	}
	return n, nil
}

// take hands on a whole subtree. If too little waits below it for nodes of their own, its left edge is merged in.
func (f *fold) take(k kid, level int, hi []byte) error {
	for l := 0; l <= level; l++ {
		if f.underfull(l) {
			return f.absorb(k, level, hi)
		}
		if err := f.flush(l); err != nil {
			return err
		}
	}
	f.bound = hi
	return f.push(level+1, k)
}

// absorb opens an untouched subtree and hands on its parts.
func (f *fold) absorb(k kid, level int, hi []byte) error {
	n, err := f.load(k, level, hi)
	if err != nil {
		return err
	}
	if level > 0 {
		return f.each(n, k, hi, f.take)
	}
	return f.addAll(n, n.n)
}

// addAll hands on the first m entries of a leaf.
func (f *fold) addAll(n *node, m int) error {
	for i := range m {
		if err := f.add(n.key(i), n.value(i)); err != nil {
			return err
		}
	}
	return nil
}

// insert adds what the edits below hi put, where nothing old is left.
func (f *fold) insert(hi []byte) error {
	for f.c.below(hi) {
		if f.c.step() == putting {
			if err := f.add(f.c.key, f.c.val); err != nil {
				return err
			}
		}
	}
	return f.c.err
}

// merge brings the leaf n, which is k, up to date. Until the first change nothing is handed on, so that a leaf without
// one can go on as it is.
func (f *fold) merge(n *node, k kid, hi []byte) error {
	m := leafMerge{f: f, n: n}
	for i := range n.n {
		if err := m.entry(i); err != nil {
			return err
		}
	}
	if err := m.puts(n.n, hi); err != nil {
		return err
	}
	if !m.changed {
		return f.take(k, 0, hi)
	}
	return nil
}

type leafMerge struct {
	f       *fold
	n       *node
	changed bool
}

// change hands on the entries before i when the first change comes.
func (m *leafMerge) change(i int) error {
	if m.changed {
		return nil
	}
	m.changed = true
	return m.f.addAll(m.n, i)
}

// puts adds what edits put below hi, before the old entry i.
func (m *leafMerge) puts(i int, hi []byte) error {
	c := &m.f.c
	for c.below(hi) {
		if c.step() != putting {
			continue
		}
		if err := m.change(i); err != nil {
			return err
		}
		if err := m.f.add(c.key, c.val); err != nil {
			return err
		}
	}
	return c.err
}

// entry decides on the old entry i after the edits before it.
func (m *leafMerge) entry(i int) error {
	c, key := &m.f.c, m.n.key(i)
	if err := m.puts(i, key); err != nil {
		return err
	}
	v := untouched
	if c.at(key) {
		v = c.step()
	}
	if v == untouched && c.deleted(key) {
		v = deleting
	}
	if v == putting && bytes.Equal(c.val, m.n.value(i)) {
		v = untouched
	}
	if v != untouched {
		if err := m.change(i); err != nil {
			return err
		}
	}
	switch {
	case v == putting:
		return m.f.add(key, c.val)
	case v == untouched && m.changed:
		return m.f.add(key, m.n.value(i))
	}
	return nil
}

// finish writes all that waits, level by level, and returns the root.
func (f *fold) finish() (Root, error) {
	for l := 0; ; l++ {
		top := !f.above(l)
		n, _ := f.pending(l)
		if top && l == 0 && n == 0 {
			return Root{}, nil
		}
		if top && l > 0 && n == 1 {
			k := f.inners[l-1].kids[0]
			return Root{Ptr: k.ptr, Height: uint8(l), Entries: k.count}, nil
		}
		if !top && f.underfull(l) {
			if err := f.refill(l); err != nil {
				return Root{}, err
			}
		}
		if err := f.flush(l); err != nil {
			return Root{}, err
		}
	}
}

// refill takes the last node of a level back and puts its entries before those that wait.
func (f *fold) refill(level int) error {
	if n, _ := f.pending(level + 1); n == 0 {
		if !f.above(level + 1) {
			return nil
		}
		if err := f.refill(level + 1); err != nil {
			return err
		}
	}
	up := f.inner(level + 1)
	k := up.kids[len(up.kids)-1]
	up.kids = up.kids[:len(up.kids)-1]
	up.recount()
	n, err := f.s.load(f.ctx, k.ptr, level, nil)
	if err != nil {
		return err
	}
	return f.prepend(n, k)
}

func (f *fold) prepend(n *node, k kid) error {
	if n.level == 0 {
		var l leafBuild
		for i := range n.n {
			l.add(n.key(i), n.value(i))
		}
		l.b = append(l.b, f.leaf.b...)
		for _, end := range f.leaf.ends {
			l.ends = append(l.ends, end+len(l.b)-len(f.leaf.b))
		}
		f.leaf, f.bound = l, k.sep
		return nil
	}
	var kids []kid
	err := f.each(n, k, nil, func(c kid, _ int, _ []byte) error {
		kids = append(kids, c)
		return nil
	})
	in := f.inner(n.level)
	in.kids = append(kids, in.kids...)
	f.measure(n.level)
	return err
}

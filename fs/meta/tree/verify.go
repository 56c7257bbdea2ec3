package tree

import (
	"bytes"
	"context"
	"fmt"
)

// Verify looks at every node of a tree: that it can be had and is one, that its keys lie where its parents say, and that
// there are as many as they say. at is called with the place of each node before it is loaded; its error ends the walk,
// and so does ctx. What does not fit goes to bad, and the walk goes on beside it.
func (s *Store) Verify(ctx context.Context, r Root, at func(Pointer) error, bad func(error)) error {
	if r.Height == 0 {
		return nil
	}
	if r.Height > MaxHeight {
		bad(fmt.Errorf("%w: a height of %d", ErrNode, r.Height))
		return nil
	}
	v := verifier{s: s, ctx: ctx, at: at, bad: bad}
	return v.node(r.Ptr, int(r.Height)-1, bounds{}, r.Entries)
}

// bounds are the keys that may be in a node: from lo on, below hi; nil: any.
type bounds struct{ lo, hi []byte }

// within narrows b to the i-th child of n. The first child has whatever is below the second.
func (b bounds) within(n *node, i int) bounds {
	if i > 0 && bytes.Compare(n.key(i), b.lo) > 0 {
		b.lo = n.key(i)
	}
	if i+1 < n.n && (b.hi == nil || bytes.Compare(n.key(i+1), b.hi) < 0) {
		b.hi = n.key(i + 1)
	}
	return b
}

type verifier struct {
	s   *Store
	ctx context.Context
	at  func(Pointer) error
	bad func(error)
}

func (v *verifier) node(p Pointer, level int, b bounds, want uint64) error {
	if err := v.at(p); err != nil {
		return err
	}
	n, err := v.s.load(v.ctx, p, level, nil)
	if v.ctx.Err() != nil {
		return v.ctx.Err()
	}
	if err != nil {
		v.bad(fmt.Errorf("the %d keys below a node of level %d cannot be reached: %w", want, level, err))
		return nil
	}
	if got := n.entries(); got != want {
		v.bad(fmt.Errorf("%w: %d keys at level %d where %d are said to be", ErrNode, got, level, want))
	}
	if level == 0 {
		v.leaf(n, b)
		return nil
	}
	for i := range n.n {
		kid, err := v.s.kid(n, i)
		if err != nil {
			v.bad(fmt.Errorf("the %d keys below a node of level %d cannot be reached: %w", n.count(i), level, err))
			continue
		}
		if err := v.node(kid, level-1, b.within(n, i), n.count(i)); err != nil {
			return err
		}
	}
	return nil
}

// leaf looks at whether the keys of a leaf, which are in order, are found where they are.
func (v *verifier) leaf(n *node, b bounds) {
	first, last := n.key(0), n.key(n.n-1)
	if bytes.Compare(first, b.lo) < 0 || b.hi != nil && bytes.Compare(last, b.hi) >= 0 {
		v.bad(fmt.Errorf("%w: a leaf has keys %x to %x, outside of its place from %x to %x", ErrNode, first, last, b.lo, b.hi))
	}
}

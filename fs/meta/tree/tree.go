// Package tree is a copy-on-write B+tree of immutable nodes that live wherever its Nodes puts them.
//
// The model: a Root names a whole, consistent, immutable sorted map from keys to values. Fold merges a sorted run of
// edits into it in one pass and returns the Root of the result, which shares every node that no edit touched; the old
// Root stays valid for as long as its nodes are kept. Nodes are flat bytes of about 16 KiB with a table of offsets, and
// are searched as they are, without decoding. An inner node holds for each child the least key that may be in it, the
// number of entries below it, and a link to it, which only Nodes understands.
//
// A parent is always written after its children, and a link is asked for just before the parent that will hold it, so
// that Nodes may express it relative to where the parent goes. Nodes other than the root are at least a quarter full.
//
// The traps: nodes are foreign bytes. Every one is checked whole when it is loaded, its level included, so that a forged
// node can cost an error but neither a panic nor an endless descent. What the iterator and the edits hand out is valid
// only until the next step. A range delete concerns the old tree alone: what is put inside it in the same Fold stays.
package tree

import (
	"context"
	"errors"
	"fmt"
)

// Limits of what goes into a tree, in bytes. A key has at least one byte.
const (
	MaxKey   = 1 << 10
	MaxValue = 2 << 10
	MaxLink  = 4 << 10
)

// MaxHeight bounds the levels of a tree; nodes of two entries would hold 2^32 entries by then.
const MaxHeight = 32

// ErrNode is wrapped by every error that says that a node's bytes are not those of a node in this place.
var ErrNode = errors.New("tree node is damaged")

// ErrLimit is wrapped by the errors of Fold about an edit that cannot be in a tree, or out of order.
var ErrLimit = errors.New("edit does not fit into a tree")

// Pointer says where a node is. It is opaque here, compared by its bytes, and not changed by anybody.
type Pointer []byte

// Nodes keeps nodes. All methods may be called concurrently.
type Nodes interface {
	// Put keeps a node, which it may hold on to but not change, and says where. Children come before their parents.
	Put(ctx context.Context, leaf bool, node []byte) (Pointer, error)
	// Get returns the bytes that Put was given. They are not changed afterwards by either side.
	Get(ctx context.Context, p Pointer) ([]byte, error)
	// Link returns what the parent that is put next stores for this child: 1 to MaxLink bytes. It is asked more often
	// than parents are put, to know how many children fit, and may give a longer or shorter one each time.
	Link(child Pointer) []byte
	// Resolve is the inverse, for a link read from the node at parent.
	Resolve(parent Pointer, link []byte) (Pointer, error)
}

// Prefetcher may be implemented by Nodes whose Get can take long: Prefetch begins to bring nodes near and returns at once.
type Prefetcher interface {
	Prefetch(p []Pointer)
}

// Root names a tree. The zero Root is the empty tree.
type Root struct {
	Ptr     Pointer
	Height  uint8  // levels of nodes; 1: the root is a leaf
	Entries uint64 // keys in the tree
}

// Op is what an Edit does.
type Op uint8

const (
	Put         Op = iota + 1 // Key has Value from now on
	Delete                    // Key is not there any more
	DeleteRange               // no key of the old tree in [Key, End) is there any more; an empty End: none from Key on
)

// Edit is one change of a Fold.
type Edit struct {
	Key, End, Value []byte
	Op              Op
}

// nodeTarget is how many bytes a node has at most, except where fewer entries than two would be in it.
const nodeTarget = 16 << 10

// Store reads and changes trees whose nodes are in one Nodes. Safe for concurrent use.
type Store struct {
	nodes  Nodes
	ahead  Prefetcher // nil: nothing to prefetch
	cache  *cache
	target int // nodeTarget, smaller in tests
}

// New makes a Store that keeps nodes of up to cacheBytes in memory, shared by all trees.
func New(n Nodes, cacheBytes int64) *Store {
	ahead, _ := n.(Prefetcher)
	return &Store{nodes: n, ahead: ahead, cache: newCache(cacheBytes), target: nodeTarget}
}

// Get appends the value of key to dst, and says whether there is one.
func (s *Store) Get(ctx context.Context, r Root, key, dst []byte) ([]byte, bool, error) {
	if r.Height == 0 {
		return dst, false, nil
	}
	n, err := s.root(ctx, r)
	for err == nil && n.level > 0 {
		n, err = s.child(ctx, n, n.route(key))
	}
	if err != nil {
		return dst, false, err
	}
	i, found := n.search(key)
	if !found {
		return dst, false, nil
	}
	return append(dst, n.value(i)...), true, nil
}

// root loads the top node of r.
func (s *Store) root(ctx context.Context, r Root) (*node, error) {
	if r.Height > MaxHeight {
		return nil, fmt.Errorf("%w: a height of %d", ErrNode, r.Height)
	}
	return s.load(ctx, r.Ptr, int(r.Height)-1, nil)
}

// child loads the i-th child of n.
func (s *Store) child(ctx context.Context, n *node, i int) (*node, error) {
	p, err := s.kid(n, i)
	if err != nil {
		return nil, err
	}
	if s.ahead == nil || n.level != 1 {
		return s.load(ctx, p, n.level-1, nil)
	}
	return s.load(ctx, p, 0, func() { s.readAhead(n, i) })
}

// kid returns the pointer of the i-th child of n. It is worked out once for each node in memory.
func (s *Store) kid(n *node, i int) (Pointer, error) {
	if p := n.kids[i].Load(); p != nil {
		return *p, nil
	}
	p, err := s.nodes.Resolve(n.at, n.link(i))
	if err != nil {
		return nil, fmt.Errorf("resolve link %d of a node of level %d: %w", i, n.level, err)
	}
	n.kids[i].Store(&p)
	return p, nil
}

// load returns the node at p, which has to be of this level. If it is not in memory, miss is called first.
func (s *Store) load(ctx context.Context, p Pointer, level int, miss func()) (*node, error) {
	n, err := s.cache.get(ctx, p, func() (*node, error) {
		if miss != nil {
			miss()
		}
		b, err := s.nodes.Get(ctx, p)
		if err != nil {
			return nil, fmt.Errorf("get a tree node of level %d: %w", level, err)
		}
		return parse(p, b)
	})
	if err == nil && n.level != level {
		return nil, fmt.Errorf("%w: level %d instead of %d", ErrNode, n.level, level)
	}
	return n, err
}

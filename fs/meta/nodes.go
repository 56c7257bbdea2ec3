package meta

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/hammockfs/hammock/crypt"
	"github.com/hammockfs/hammock/fs/meta/tree"
)

// maxNode is the longest chunk that is taken for a tree node.
const maxNode = 64 << 10

// nameNodes keeps the nodes of the namespace tree: a pointer is a ref, and a link is the same bytes. Where a node's
// stripe is says the stripe table.
type nameNodes struct{ d *DB }

func (n *nameNodes) Put(ctx context.Context, leaf bool, node []byte) (tree.Pointer, error) {
	class := ClassIndex
	if leaf {
		class = ClassMeta
	}
	r, err := n.d.putChunk(ctx, class, node)
	if err != nil {
		return nil, err
	}
	return crypt.AppendRef(nil, &r), nil
}

func (n *nameNodes) Get(ctx context.Context, p tree.Pointer) ([]byte, error) {
	return n.d.getNode(ctx, p)
}
func (n *nameNodes) Link(child tree.Pointer) []byte { return child }

func (n *nameNodes) Resolve(_ tree.Pointer, link []byte) (tree.Pointer, error) {
	if _, err := parseWholeRef(link); err != nil {
		return nil, err
	}
	return slices.Clone(link), nil
}

// Prefetch begins to fetch nodes, if the chunk store can do that.
func (n *nameNodes) Prefetch(list []tree.Pointer) {
	c, ok := n.d.chunks.(interface{ Prefetch(refs []crypt.Ref) })
	if !ok {
		return
	}
	refs := make([]crypt.Ref, 0, len(list))
	for _, p := range list {
		if r, err := parseWholeRef(p); err == nil && r.Len <= maxNode {
			refs = append(refs, r)
		}
	}
	c.Prefetch(refs)
}

// putChunk seals a chunk of a checkpoint.
func (d *DB) putChunk(ctx context.Context, class uint8, plain []byte) (crypt.Ref, error) {
	if d.chunks == nil {
		return crypt.Ref{}, errNoChunks
	}
	r, err := d.chunks.Put(ctx, class, plain)
	if err != nil {
		return r, fmt.Errorf("write a chunk of %d bytes of metadata: %w", len(plain), err)
	}
	d.noteMeta(r.Stripe)
	return r, nil
}

var errNoChunks = errors.New("no chunk store is attached")

func (d *DB) getNode(ctx context.Context, p tree.Pointer) ([]byte, error) {
	r, err := parseWholeRef(p)
	if err != nil {
		return nil, err
	}
	if r.Len > maxNode {
		return nil, fmt.Errorf("%w: tree node of %d bytes", ErrFormat, r.Len)
	}
	return d.getChunk(ctx, &r, nil)
}

func (d *DB) getChunk(ctx context.Context, r *crypt.Ref, dst []byte) ([]byte, error) {
	if d.chunks == nil {
		return nil, errNoChunks
	}
	return d.chunks.Get(ctx, r, dst)
}

func parseWholeRef(b []byte) (crypt.Ref, error) {
	r, rest, err := crypt.ParseRef(b)
	if err == nil && len(rest) != 0 {
		err = errors.New("bytes after it")
	}
	if err != nil {
		return r, fmt.Errorf("%w: ref: %v", ErrFormat, err)
	}
	return r, nil
}

// tableNodes keeps the nodes of the stripe table. Since the table cannot say where its own stripes are, the link to a child
// carries the record of the child's stripe, or says that the child is in the stripe of its parent.
//
// That a child is in the same stripe is said before the parent is put. It is true because nothing else writes index
// chunks during a fold, and because a stripe is closed here, between two nodes, long before it is so full that the cache
// would close it. Should it be false after all, Put says errSplit, and the fold is done again with a stripe for each node.
type tableNodes struct {
	d     *DB
	mu    sync.Mutex
	same  []uint64 // stripes that links since the last Put took for the parent's
	alone bool     // a stripe for each node
}

const (
	linkSame   = 0 // ref; the stripe is the parent's
	linkRecord = 1 // length of the record (uvarint), record, ref
)

// tableStripe is how full a stripe with table nodes becomes: well below the smallest size at which a stripe is closed, 4 MiB.
const tableStripe = 3 << 20

var errSplit = errors.New("a stripe was closed between a node and its parent")

func (n *tableNodes) Put(ctx context.Context, _ bool, node []byte) (tree.Pointer, error) {
	r, err := n.d.putChunk(ctx, ClassIndex, node)
	if err != nil {
		return nil, err
	}
	n.mu.Lock()
	wrong := slices.ContainsFunc(n.same, func(s uint64) bool { return s != r.Stripe })
	n.same = n.same[:0]
	alone := n.alone
	n.mu.Unlock()
	if wrong {
		return nil, errSplit
	}
	if alone || int(r.Offset)+r.SealedLen() > tableStripe {
		if err := n.d.closeTable(ctx); err != nil {
			return nil, err
		}
	}
	return crypt.AppendRef(nil, &r), nil
}

func (n *tableNodes) Get(ctx context.Context, p tree.Pointer) ([]byte, error) {
	return n.d.getNode(ctx, p)
}

func (n *tableNodes) Link(child tree.Pointer) []byte {
	r, err := parseWholeRef(child)
	if err != nil {
		return nil // the tree refuses an empty link
	}
	record, closed := n.d.known.get(r.Stripe)
	if !closed {
		n.mu.Lock()
		n.same = append(n.same, r.Stripe)
		n.mu.Unlock()
		return append([]byte{linkSame}, child...)
	}
	b := binary.AppendUvarint([]byte{linkRecord}, uint64(len(record)))
	return append(append(b, record...), child...)
}

func (n *tableNodes) Resolve(parent tree.Pointer, link []byte) (tree.Pointer, error) {
	record, ref, err := parseLink(link)
	if err != nil {
		return nil, err
	}
	child, err := parseWholeRef(ref)
	if err != nil {
		return nil, err
	}
	if record != nil {
		if err := n.d.meet(child.Stripe, record); err != nil {
			return nil, err
		}
		return slices.Clone(ref), nil
	}
	if p, err := parseWholeRef(parent); err != nil || p.Stripe != child.Stripe {
		return nil, fmt.Errorf("%w: a node of the stripe table is not in its parent's stripe", ErrFormat)
	}
	return slices.Clone(ref), nil
}

// parseLink splits a link of the stripe table; record is nil if the child is in its parent's stripe.
func parseLink(link []byte) (record, ref []byte, err error) {
	if len(link) > 0 && link[0] == linkSame {
		return nil, link[1:], nil
	}
	if len(link) > 0 && link[0] == linkRecord {
		if record, ref, ok := field(link[1:], tree.MaxValue); ok {
			return record, ref, nil
		}
	}
	return nil, nil, fmt.Errorf("%w: link in the stripe table", ErrFormat)
}

// closeTable closes the open index stripe, and learns the records of what this closed.
func (d *DB) closeTable(ctx context.Context) error {
	records, err := d.closeStripes(ctx, ClassIndex)
	if err != nil {
		return err
	}
	for _, r := range records {
		d.known.put(r.Stripe, r.Record)
	}
	return nil
}

// closeStripes closes the open stripes of these classes and returns the records of all stripes written since the last call.
func (d *DB) closeStripes(ctx context.Context, classes ...uint8) ([]stripeRecord, error) {
	if d.encode == nil {
		return nil, errNoChunks
	}
	for _, class := range classes {
		closed, err := d.chunks.CloseStripes(ctx, class)
		if err != nil {
			return nil, fmt.Errorf("close stripes of metadata: %w", err)
		}
		for _, s := range closed {
			d.noteMeta(s)
		}
	}
	var list []stripeRecord
	for _, s := range d.takeTouched() {
		r, err := d.encode(ctx, s)
		if err != nil {
			return nil, fmt.Errorf("encode stripe %x: %w", s, err)
		}
		if len(r) > tree.MaxValue {
			return nil, fmt.Errorf("%w: record of stripe %x: %d bytes", ErrTooBig, s, len(r))
		}
		list = append(list, stripeRecord{s, r})
	}
	return list, nil
}

// takeTouched returns the stripes written since the last call, ascending.
func (d *DB) takeTouched() []uint64 {
	d.stripeMu.Lock()
	defer d.stripeMu.Unlock()
	var list []uint64
	for s := range d.touched {
		list = append(list, s)
	}
	d.touched = make(map[uint64]struct{})
	slices.Sort(list)
	return list
}

package meta

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"maps"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"github.com/hammockfs/hammock/crypt"
	"github.com/hammockfs/hammock/fs/meta/tree"
)

// fold puts the overlay into the trees: it freezes the generation, merges it in one sorted pass while new writes go to
// the next generation, and publishes the new roots. If it fails, the frozen generation stays a level of its own and the
// next checkpoint folds it.
func (d *DB) fold(ctx context.Context, o CheckpointOptions) error {
	err := d.foldAll(ctx, o)
	if err != nil {
		d.commit.Lock()
		d.changed.lose()
		d.commit.Unlock()
	}
	return err
}

func (d *DB) foldAll(ctx context.Context, o CheckpointOptions) error {
	if lv := d.levels.Load(); lv.frozen != nil { // a fold of before did not end
		p, err := d.foldFrozen(ctx, lv, CheckpointOptions{})
		if err == nil {
			err = d.refreshRecords(ctx, p)
		}
		if err == nil {
			err = d.commitPublished(ctx, newBatch(), p, lv.frozen)
		}
		if err != nil {
			return err
		}
	}
	if err := d.freeze(); err != nil {
		return err
	}
	lv := d.levels.Load()
	p, err := d.foldFrozen(ctx, lv, o)
	if err != nil {
		return err
	}
	if err := d.publish(ctx, p, lv.frozen); err != nil {
		return err
	}
	d.folded = d.cfg.Now()
	return nil
}

// freeze ends the current generation. What was changed until now is in it, so counting begins anew.
func (d *DB) freeze() error {
	d.commit.Lock()
	defer d.commit.Unlock()
	b := newBatch()
	b.generation(opFreeze, d.levels.Load().cur.num+1)
	if err := d.commitLocked(b); err != nil {
		return err
	}
	d.changed = d.newChanges()
	return nil
}

// foldFrozen returns what is to be published once the frozen generation of lv is in the trees.
func (d *DB) foldFrozen(ctx context.Context, lv *levels, o CheckpointOptions) (*published, error) {
	names, err := d.foldNames(ctx, lv)
	if err != nil {
		return nil, err
	}
	// The table must say where the new nodes of the namespace are, so their stripes are closed before it is written.
	records, err := d.closeStripes(ctx, ClassMeta, ClassIndex)
	if err != nil {
		return nil, err
	}
	cited, err := d.cited(ctx, o)
	if err != nil {
		return nil, err
	}
	records = append(records, cited...)
	slices.SortStableFunc(records, func(a, b stripeRecord) int { return cmp.Compare(a.Stripe, b.Stripe) })
	records = slices.CompactFunc(records, func(a, b stripeRecord) bool { return a.Stripe == b.Stripe })
	table, err := d.foldTable(ctx, lv, records, false)
	if errors.Is(err, errSplit) {
		table, err = d.foldTable(ctx, lv, records, true)
	}
	if err != nil {
		return nil, err
	}
	if err := d.closeTable(ctx); err != nil {
		return nil, err
	}
	return &published{
		Names: recordOf(names), Table: recordOf(table), Deltas: [][]byte{}, Folded: d.cfg.Now().UnixNano(), Vector: d.pub.Vector,
	}, nil
}

func (d *DB) foldNames(ctx context.Context, lv *levels) (root tree.Root, err error) {
	it, err := d.generationIter(ctx, lv.frozen, spaceNames)
	if err != nil {
		return tree.Root{}, err
	}
	defer func() { err = errors.Join(err, it.Error(), it.Close()) }()
	e := nameEdits{d: d, ctx: ctx, it: it, ok: it.First(), ranges: markRanges(lv.frozen.marksCopy())}
	return d.names.Fold(ctx, lv.names, e.next)
}

func (d *DB) generationIter(ctx context.Context, g *generation, space byte) (*pebble.Iterator, error) {
	lower := appendSpace(nil, space, g.num)
	return d.pebble.NewIterWithContext(ctx, &pebble.IterOptions{LowerBound: lower, UpperBound: keyEnd(lower)})
}

// markRanges turns marks into range deletions, sorted.
func markRanges(marks map[uint64]mark) []tree.Edit {
	var list []tree.Edit
	for _, ino := range slices.Sorted(maps.Keys(marks)) {
		m := marks[ino]
		if m.removed {
			list = append(list, tree.Edit{
				Op: tree.DeleteRange, Key: binary.BigEndian.AppendUint64(nil, ino), End: appendPrefix(nil, ino, kindEnd),
			})
			continue
		}
		for _, k := range []Kind{KindWindow, KindPage} {
			list = append(list, tree.Edit{
				Op: tree.DeleteRange, Key: appendNumbered(nil, ino, k, clipStart(k, m.clip)), End: appendPrefix(nil, ino, k+1),
			})
		}
	}
	return list
}

// nameEdits yields a frozen generation as edits of the namespace tree: its marks before the records at the same key.
type nameEdits struct {
	d      *DB
	ctx    context.Context
	it     *pebble.Iterator
	begun  bool
	ok     bool
	ranges []tree.Edit
	val    []byte
}

func (e *nameEdits) next() (tree.Edit, bool, error) {
	if e.begun {
		e.ok, e.begun = e.it.Next(), false
	}
	if !e.ok {
		if len(e.ranges) == 0 {
			return tree.Edit{}, false, e.it.Error()
		}
		return e.takeRange(), true, nil
	}
	rk := e.it.Key()[spacePrefix:]
	if len(e.ranges) > 0 && bytes.Compare(e.ranges[0].Key, rk) <= 0 {
		return e.takeRange(), true, nil
	}
	e.begun = true // the iterator moves on at the next call: rk and the value lie in it
	v, here, err := e.d.openValue(e.it.Key(), e.it.Value())
	if err != nil {
		return tree.Edit{}, false, err
	}
	if !here {
		return tree.Edit{Op: tree.Delete, Key: rk}, true, nil
	}
	if e.val, err = e.d.outline(e.ctx, e.val[:0], v); err != nil {
		return tree.Edit{}, false, err
	}
	return tree.Edit{Op: tree.Put, Key: rk, Value: e.val}, true, nil
}

func (e *nameEdits) takeRange() tree.Edit {
	r := e.ranges[0]
	e.ranges = e.ranges[1:]
	return r
}

// outline appends v as a value of the namespace tree: itself, or if it is long the ref of a chunk that holds it.
func (d *DB) outline(ctx context.Context, dst, v []byte) ([]byte, error) {
	if len(v) <= maxInline {
		return append(append(dst, treeInline), v...), nil
	}
	r, err := d.putChunk(ctx, ClassMeta, v)
	if err != nil {
		return dst, err
	}
	return crypt.AppendRef(append(dst, treeOutside), &r), nil
}

// foldTable puts the frozen records of stripes, and those of the stripes that this fold has closed, into the stripe table.
func (d *DB) foldTable(ctx context.Context, lv *levels, extra []stripeRecord, alone bool) (root tree.Root, err error) {
	if r, err := parseWholeRef(lv.table.Ptr); err == nil { // links to nodes in the old root's stripe carry its record
		if err := d.learn(ctx, r.Stripe); err != nil {
			return root, err
		}
	}
	d.tnodes.begin(alone)
	it, err := d.generationIter(ctx, lv.frozen, spaceTable)
	if err != nil {
		return tree.Root{}, err
	}
	defer func() { err = errors.Join(err, it.Error(), it.Close()) }()
	e := tableEdits{d: d, it: it, ok: it.First(), extra: extra}
	return d.table.Fold(ctx, lv.table, e.next)
}

func (n *tableNodes) begin(alone bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.same, n.alone = n.same[:0], alone
}

// tableEdits yields records of stripes as edits of the stripe table, in the order of their numbers.
type tableEdits struct {
	d     *DB
	it    *pebble.Iterator
	begun bool
	ok    bool
	extra []stripeRecord
	key   [8]byte
}

func (e *tableEdits) next() (tree.Edit, bool, error) {
	for {
		if e.begun {
			e.ok, e.begun = e.it.Next(), false
		}
		if !e.ok && len(e.extra) == 0 {
			return tree.Edit{}, false, e.it.Error()
		}
		order := -1
		if len(e.extra) > 0 {
			binary.BigEndian.PutUint64(e.key[:], e.extra[0].Stripe)
			if order = 1; e.ok {
				order = bytes.Compare(e.it.Key()[spacePrefix:], e.key[:])
			}
		}
		if order > 0 {
			return e.takeExtra(), true, nil
		}
		e.begun = true
		v, here, err := e.d.openValue(e.it.Key(), e.it.Value())
		if err != nil {
			return tree.Edit{}, false, err
		}
		if order == 0 { // what was recorded about it later than its encoding counts
			e.extra = e.extra[1:]
		}
		if here {
			return tree.Edit{Op: tree.Put, Key: e.it.Key()[spacePrefix:], Value: v}, true, nil
		}
	}
}

func (e *tableEdits) takeExtra() tree.Edit {
	r := e.extra[0]
	e.extra = e.extra[1:]
	return tree.Edit{Op: tree.Put, Key: e.key[:], Value: r.Record}
}

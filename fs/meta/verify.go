package meta

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/cockroachdb/pebble/v2"

	"github.com/hammockfs/hammock/crypt"
	"github.com/hammockfs/hammock/fs/meta/journal"
	"github.com/hammockfs/hammock/fs/meta/tree"
)

// VerifyJournal reads the journal's records from the disk once more. What does not fit goes to bad.
func (d *DB) VerifyJournal(ctx context.Context, bad func(error)) error {
	_, err := d.journal.Verify(ctx, bad)
	return err
}

// Damaged says whether Open failed because of what is on the disk: acknowledged records cannot be read.
func Damaged(err error) bool {
	var torn *journal.DamageError
	return errors.As(err, &torn) || errors.Is(err, ErrFormat) || pebble.IsCorruptionError(err)
}

// VerifyOverlay looks at every entry of the overlay: that it is what this device wrote under its key, that it decodes, and
// that it is of a generation that counts; and that Pebble's own order holds. What does not fit goes to bad.
func (d *DB) VerifyOverlay(ctx context.Context, bad func(error)) error {
	if err := d.pebble.CheckLevels(nil); err != nil {
		bad(fmt.Errorf("the overlay's tables: %w", err))
	}
	it, lv, err := d.openOverlay(ctx)
	if err != nil {
		return fmt.Errorf("read overlay: %w", err)
	}
	n := 0
	for ok := it.First(); ok; ok = it.Next() {
		if n++; n%1024 == 0 && ctx.Err() != nil {
			break
		}
		if err := d.verifyEntry(lv, it.Key(), it.Value()); err != nil {
			bad(fmt.Errorf("the overlay's entry %x: %w", it.Key(), err))
		}
	}
	if err := errors.Join(it.Error(), it.Close()); err != nil {
		bad(fmt.Errorf("read overlay: %w", err))
	}
	return ctx.Err()
}

// openOverlay opens an iterator over all that is in Pebble, and says which generations there were then.
func (d *DB) openOverlay(ctx context.Context) (*pebble.Iterator, *levels, error) {
	for {
		lv := d.levels.Load()
		it, err := d.pebble.NewIterWithContext(ctx, nil)
		if err != nil || d.levels.Load() == lv {
			return it, lv, err
		}
		_ = it.Close()
	}
}

func (d *DB) verifyEntry(lv *levels, key, tagged []byte) error {
	v, err := d.tagger.CheckValue(key, tagged)
	if err != nil {
		return err
	}
	switch key[0] {
	case spaceNames, spaceTable, spaceMarks:
		return verifyRecord(lv, key, v)
	case spaceDedup: // EachChunk says what is wrong with one
	case spaceLSN:
		if len(key) != 1 || len(v) != 8 {
			err = fmt.Errorf("%w: position in the journal", ErrFormat)
		}
	case spaceLocals:
		err = verifyLocal(string(key[1:]))
	default:
		err = fmt.Errorf("%w: unknown space", ErrFormat)
	}
	return err
}

func verifyRecord(lv *levels, key, v []byte) error {
	if len(key) < spacePrefix+8 {
		return fmt.Errorf("%w: key of %d bytes", ErrFormat, len(key))
	}
	gen := binary.BigEndian.Uint64(key[1:])
	if !slices.ContainsFunc(lv.overlays(), func(g *generation) bool { return g.num == gen }) {
		return fmt.Errorf("%w: generation %d, which is over", ErrFormat, gen)
	}
	rk := key[spacePrefix:]
	if key[0] == spaceNames {
		if err := checkKey(rk); err != nil {
			return err
		}
	} else if len(rk) != 8 {
		return fmt.Errorf("%w: key of %d bytes", ErrFormat, len(key))
	}
	switch {
	case key[0] == spaceMarks:
		_, err := parseMark(v)
		return err
	case len(v) == 0 || v[0] > valueHere || v[0] == valueGone && len(v) > 1:
		return fmt.Errorf("%w: value", ErrFormat)
	}
	return nil
}

// verifyLocal says whether a name is one that a device keeps something under.
func verifyLocal(name string) error {
	for prefix, n := range map[string]int{
		localSession: 3, localStore: 4, localUnplaced: 8, localOwn: 8, localTorn: 16, localDebt: 44, localStanding: 4,
	} {
		if strings.HasPrefix(name, prefix) && len(name) == len(prefix)+n {
			return nil
		}
	}
	if slices.Contains([]string{
		localGenerations, localPublished, localHead, localDirty, localVolume, localUnsynced,
	}, name) {
		return nil
	}
	return fmt.Errorf("%w: unknown name %q", ErrFormat, name)
}

// VerifyTrees visits the chunks that the newest head leads through: deltas, and every node of both trees. visit gets the
// ref of each before it is read; its error ends the walk. What does not fit goes to bad.
func (d *DB) VerifyTrees(ctx context.Context, visit func(r *crypt.Ref) error, bad func(error)) error {
	b, err := d.local(localPublished)
	if err != nil || b == nil {
		return err
	}
	p, err := parsePublished(b)
	if err != nil {
		bad(err)
		return nil
	}
	at := func(p tree.Pointer) error {
		r, err := parseWholeRef(p)
		if err != nil {
			bad(err)
			return nil
		}
		return visit(&r)
	}
	for _, delta := range p.Deltas {
		if err := at(delta); err != nil {
			return err
		}
	}
	named := func(tree string) func(error) {
		return func(err error) { bad(fmt.Errorf("%s: %w", tree, err)) }
	}
	if err := d.names.Verify(ctx, p.Names.root(), at, named("the tree of names")); err != nil {
		return err
	}
	return d.table.Verify(ctx, p.Table.root(), at, named("the table of stripes"))
}

// EachChunk calls fn for each entry of the dedup index; bad says why one is none. DropChunk forgets one.
func (d *DB) EachChunk(ctx context.Context, fn func(id crypt.ID, r *crypt.Ref, bad error) error) error {
	lower := []byte{spaceDedup}
	it, err := d.pebble.NewIterWithContext(ctx, &pebble.IterOptions{LowerBound: lower, UpperBound: keyEnd(lower)})
	if err != nil {
		return fmt.Errorf("read the dedup index: %w", err)
	}
	n := 0
	for ok := it.First(); ok && err == nil; ok = it.Next() {
		if n++; n%1024 == 0 && ctx.Err() != nil {
			err = ctx.Err()
			break
		}
		var r crypt.Ref
		v, bad := d.tagger.CheckValue(it.Key(), it.Value())
		if bad == nil {
			r, bad = parseChunk(it.Key(), v)
		}
		var id crypt.ID
		copy(id[:], it.Key()[1:])
		err = fn(id, &r, bad)
	}
	return errors.Join(err, it.Error(), it.Close())
}

// parseChunk decodes an entry of the dedup index.
func parseChunk(key, v []byte) (crypt.Ref, error) {
	r, err := parseWholeRef(v)
	if err != nil {
		return r, err
	}
	if id := r.DedupID(); len(key) != 1+len(id) || string(key[1:]) != string(id[:]) {
		return r, fmt.Errorf("%w: the entry is of another chunk", ErrFormat)
	}
	return r, nil
}

// DropChunk forgets an entry of the dedup index: a chunk without one is at worst sealed once more.
func (d *DB) DropChunk(id crypt.ID) error { return d.dropChunk(id) }

// Cookie is the hash under which a name is kept in its directory.
func (d *DB) Cookie(name string) uint64 { return crypt.NameHash(&d.cfg.NameKey, name) }

package meta

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/hammockfs/hammock/crypt"
	"github.com/hammockfs/hammock/fs/meta/journal"
)

// replay applies journal records after a restart. A power cut may have kept a record and torn the stripe bytes that it
// cites, when nobody had asked for either to be synced. Such an extent is taken out of its window, and what the window
// showed there before comes back: it may have been synced long ago.
type replay struct {
	d    *DB
	good map[place]bool  // answers of ValidRef
	torn map[string]bool // names of torn windows that only the tree can heal
	b    Batch
	// unsynced are the sessions whose stripes may be torn. Nil: not known.
	unsynced map[uint32]bool
}

func newReplay(d *DB) (*replay, error) {
	r := &replay{d: d, good: make(map[place]bool), torn: make(map[string]bool)}
	list, err := d.local(localUnsynced)
	if err != nil {
		return nil, err
	}
	r.suspect(list)
	return r, d.locals(localTorn, func(rest string, _ []byte) error {
		r.torn[localTorn+rest] = true
		return nil
	})
}

// suspect takes the value of localUnsynced.
func (r *replay) suspect(list []byte) {
	if len(list) == 0 || len(list)%3 != 0 {
		return
	}
	r.unsynced = map[uint32]bool{}
	for ; len(list) > 0; list = list[3:] {
		r.unsynced[uint32(list[0])<<16|uint32(list[1])<<8|uint32(list[2])] = true
	}
}

type place struct {
	stripe uint64
	offset uint32
}

// tornWindow is a window that shows less than it should until the tree can be read.
type tornWindow struct {
	ino, w uint64
	gaps   []span
}

// span is a range of a file.
type span struct{ off, end uint64 }

func (r *replay) record(lsn journal.LSN, rec []byte) error {
	rec, err := r.mend(rec)
	if err != nil {
		return fmt.Errorf("replay record %d: %w", lsn, err)
	}
	return r.d.apply(lsn, rec)
}

// mend returns rec, with its windows mended if extents of theirs are torn.
func (r *replay) mend(rec []byte) ([]byte, error) {
	if r.d.cfg.ValidRef == nil {
		return rec, nil
	}
	r.b.Reset()
	changed := false
	s := readSteps(rec, opDrop)
	for {
		st, ok := s.next()
		if !ok {
			break
		}
		if st.op == opLocal && string(st.key) == localUnsynced {
			r.suspect(st.value)
		}
		mended := false
		if st.op <= opDelete && keyKind(st.key) == KindWindow {
			var err error
			if mended, err = r.window(&st); err != nil {
				return nil, err
			}
		}
		if changed = changed || mended; !mended {
			r.b.add(st.op, st.key, st.value)
		}
	}
	if s.err != nil || !changed {
		return rec, s.err
	}
	return r.b.buf, r.b.err
}

// window adds what a step makes of a window to r.b, if that is not simply the step.
func (r *replay) window(st *step) (bool, error) {
	ino, w := keyIno(st.key), keyNumber(st.key)
	keep, gaps, err := r.sift(st)
	switch {
	case err != nil:
		return false, err
	case len(gaps) > 0:
		return true, r.fill(ino, w, keep, gaps)
	case !r.torn[tornName(ino, w)]:
		return false, nil
	}
	// A later whole version of the window: what the torn one lacked is not missed any more.
	delete(r.torn, tornName(ino, w))
	r.b.add(st.op, st.key, st.value)
	r.b.deleteLocal(tornName(ino, w))
	return true, nil
}

// sift tells the extents of a window that are whole from the ranges of those that are not.
func (r *replay) sift(st *step) (keep []Extent, gaps []span, err error) {
	if st.op == opDelete {
		return nil, nil, nil
	}
	extents, err := ParseWindow(keyNumber(st.key), st.value)
	if err != nil {
		return nil, nil, err
	}
	for _, e := range extents {
		ok, err := r.valid(&e.Ref)
		if err != nil {
			return nil, nil, err
		}
		if ok {
			keep = append(keep, e)
			continue
		}
		gaps = append(gaps, span{e.Off, e.end()})
		if err := r.d.dropChunk(e.Ref.DedupID()); err != nil {
			return nil, nil, err
		}
	}
	return keep, gaps, nil
}

// valid asks whether a chunk is whole, once for each. Stripes of most sessions were synced long ago, and may have been
// evicted since, or never have been here. A stripe that has a record was closed, and synced before.
func (r *replay) valid(ref *crypt.Ref) (ok bool, err error) {
	if r.unsynced != nil && !r.unsynced[uint32(ref.Stripe>>counterBits)] {
		return true, nil
	}
	p := place{ref.Stripe, ref.Offset}
	if ok, asked := r.good[p]; asked {
		return ok, nil
	}
	if ok, err = r.closed(ref.Stripe); err == nil && !ok {
		ok, err = r.d.cfg.ValidRef(ref)
	}
	if err == nil {
		r.good[p] = ok
	}
	return ok, err
}

func (r *replay) closed(stripe uint64) (bool, error) {
	key := binary.BigEndian.AppendUint64(nil, stripe)
	for _, g := range r.d.levels.Load().overlays() {
		if _, f, err := r.d.lookup(g, spaceTable, key, nil); err != nil || f == here {
			return f == here, err
		}
	}
	return false, nil
}

// fill puts into r.b what the window showed before in the gaps. If only the tree knows that, the window is noted as torn.
func (r *replay) fill(ino, w uint64, keep []Extent, gaps []span) error {
	old, known, err := r.inBatch(appendNumbered(nil, ino, KindWindow, w))
	if err == nil && !known {
		old, known, err = r.d.overlayWindow(ino, w)
	}
	if err != nil {
		return err
	}
	r.d.log.Warn("metadata: a power cut tore data that was never synced", "inode", ino, "window", w, "extents", len(gaps))
	r.b.PutWindow(ino, w, mergeExtents(keep, old, gaps))
	if name := tornName(ino, w); !known || r.torn[name] {
		r.torn[name] = true
		r.b.putLocal(name, packSpans(gaps))
	}
	return nil
}

// inBatch reads a window as the steps before it in the same record left it; known is false if they say nothing about it.
func (r *replay) inBatch(key []byte) (extents []Extent, known bool, err error) {
	s := readSteps(r.b.buf, opDrop)
	for {
		st, ok := s.next()
		if !ok {
			return extents, known, errors.Join(err, s.err)
		}
		switch {
		case st.op == opPut && bytes.Equal(st.key, key):
			known = true
			extents, err = ParseWindow(keyNumber(key), st.value)
		case st.op == opDelete && bytes.Equal(st.key, key), st.hides(key):
			known, extents = true, nil
		}
	}
}

// hides says whether a removal or a clip hides the record.
func (s *step) hides(rk []byte) bool {
	switch {
	case s.op == opRemove:
		return s.number() == keyIno(rk)
	case s.op == opClip && s.number() == keyIno(rk):
		return mark{clip: binary.BigEndian.Uint64(s.value)}.hides(rk)
	}
	return false
}

// overlayWindow reads a window without the tree; known is false if the tree would have to be asked.
func (d *DB) overlayWindow(ino, w uint64) (extents []Extent, known bool, err error) {
	key := appendNumbered(nil, ino, KindWindow, w)
	lv := d.levels.Load()
	for _, g := range lv.overlays() {
		v, f, err := d.lookup(g, spaceNames, key, nil)
		if err != nil || f == gone {
			return nil, true, err
		}
		if f == here {
			extents, err = ParseWindow(w, v)
			return extents, true, err
		}
	}
	return nil, lv.names.Height == 0, nil
}

// mergeExtents adds to keep what old shows in the gaps.
func mergeExtents(keep, old []Extent, gaps []span) []Extent {
	out := make([]Extent, 0, len(keep)+len(old))
	for _, g := range gaps {
		for len(keep) > 0 && keep[0].Off < g.off {
			out, keep = append(out, keep[0]), keep[1:]
		}
		for _, e := range old {
			if c, ok := e.cut(g); ok {
				out = append(out, c)
			}
		}
	}
	return append(out, keep...)
}

// cut returns the part of e within s.
func (e Extent) cut(s span) (Extent, bool) {
	from, to := max(e.Off, s.off), min(e.end(), s.end)
	if from >= to {
		return e, false
	}
	e.Skip += uint32(from - e.Off)
	e.Off, e.Len = from, uint32(to-from)
	return e, true
}

func tornName(ino, w uint64) string {
	return localTorn + string(binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, ino), w))
}

func packSpans(list []span) (b []byte) {
	for _, s := range list {
		b = binary.AppendUvarint(binary.AppendUvarint(b, s.off), s.end)
	}
	return b
}

func parseSpans(b []byte) (list []span, err error) {
	for len(b) > 0 {
		off, rest, ok1 := uvarint(b)
		end, rest, ok2 := uvarint(rest)
		if !ok1 || !ok2 || off >= end {
			return nil, fmt.Errorf("%w: torn window", ErrFormat)
		}
		list, b = append(list, span{off, end}), rest
	}
	return list, nil
}

func (d *DB) loadTorn() error {
	return d.locals(localTorn, func(rest string, v []byte) error {
		if len(rest) != 16 {
			return fmt.Errorf("%w: torn window", ErrFormat)
		}
		gaps, err := parseSpans(v)
		d.torn = append(d.torn, tornWindow{
			ino: binary.BigEndian.Uint64([]byte(rest)), w: binary.BigEndian.Uint64([]byte(rest[8:])), gaps: gaps,
		})
		return err
	})
}

// healTorn fills the gaps of torn windows with what the tree shows there, unless they have been filled since.
func (d *DB) healTorn(ctx context.Context) error {
	for len(d.torn) > 0 {
		t := d.torn[0]
		if err := d.healWindow(ctx, &t); err != nil {
			return fmt.Errorf("restore a torn window of %s: %w", d.Path(ctx, t.ino), err)
		}
		d.torn = d.torn[1:]
	}
	return nil
}

func (d *DB) healWindow(ctx context.Context, t *tornWindow) error {
	b := newBatch()
	b.deleteLocal(tornName(t.ino, t.w))
	now, err := d.Window(ctx, t.ino, t.w)
	if err != nil {
		return err
	}
	old, err := d.treeWindow(ctx, t.ino, t.w)
	if err != nil {
		return err
	}
	d.log.Warn("metadata: a power cut tore data that was never synced; the file shows what it held before",
		"file", d.Path(ctx, t.ino), "offset", t.gaps[0].off, "bytes", t.gaps[len(t.gaps)-1].end-t.gaps[0].off)
	if len(old) > 0 {
		b.PutWindow(t.ino, t.w, mergeExtents(now, old, uncovered(t.gaps, now)))
	}
	return d.commitBatch(ctx, b)
}

// treeWindow reads a window in the tree, unless a mark above hides it.
func (d *DB) treeWindow(ctx context.Context, ino, w uint64) ([]Extent, error) {
	key := appendNumbered(nil, ino, KindWindow, w)
	lv := d.levels.Load()
	for _, g := range lv.overlays() {
		if g.markOf(ino).hides(key) {
			return nil, nil
		}
	}
	v, ok, err := d.getTree(ctx, lv, spaceNames, key, nil)
	if err != nil || !ok {
		return nil, err
	}
	return ParseWindow(w, v)
}

// uncovered returns the parts of the gaps that no extent covers.
func uncovered(gaps []span, extents []Extent) (list []span) {
	for _, g := range gaps {
		for i := range extents {
			e := &extents[i]
			if e.end() <= g.off || e.Off >= g.end {
				continue
			}
			if e.Off > g.off {
				list = append(list, span{g.off, e.Off})
			}
			g.off = e.end()
		}
		if g.off < g.end {
			list = append(list, g)
		}
	}
	return list
}

// Path returns a path of an inode from the hints that inodes keep, for log lines and messages: it may be outdated.
func (d *DB) Path(ctx context.Context, ino uint64) string {
	path := ""
	for range 64 {
		if ino == RootIno {
			break
		}
		i, err := d.Inode(ctx, ino)
		if err != nil || i.Parent == 0 {
			return fmt.Sprintf("inode %d%s", ino, path)
		}
		name, seen := "", 0
		err = d.scanKind(ctx, i.Parent, KindDirent, func(rk, v []byte) error {
			if seen++; seen%1024 == 0 && ctx.Err() != nil { // a large folder that is all here
				return ctx.Err()
			}
			e, err := parseDirent(string(rk[prefixLen+8:]), keyNumber(rk), v)
			if err == nil && e.Ino == ino {
				name, err = e.Name, errStop
			}
			return err
		})
		if err != nil && !errors.Is(err, errStop) || name == "" {
			return fmt.Sprintf("inode %d%s", ino, path)
		}
		path, ino = "/"+name+path, i.Parent
	}
	return path
}

package meta

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
	"strings"

	"github.com/cockroachdb/pebble/v2"

	"github.com/hammockfs/hammock/fs/meta/journal"
)

// application is one batch on its way into Pebble. The same code runs for a commit and for its replay, so whatever a batch
// means must follow from its bytes and from the state before it.
type application struct {
	d     *DB
	pb    *pebble.Batch
	lv    levels // as they will be
	swap  bool   // lv differs from what is there
	rec   []byte
	left  int  // bytes of rec after the step being done
	puts  bool // a record was put by an earlier step
	marks []inodeMark
	it    *pebble.Iterator
	key   []byte
	val   []byte
	data  bool // names, files or data stripes change
	any   bool // something changes that a checkpoint publishes
}

type inodeMark struct {
	ino uint64
	m   mark
}

// apply makes one journal record visible. It needs d.commit. An error leaves memory and journal apart, so it is final.
func (d *DB) apply(lsn journal.LSN, rec []byte) error {
	a := &d.app
	*a = application{d: d, pb: d.pebble.NewBatchWithSize(len(rec) + 512), lv: *d.levels.Load(), rec: rec,
		key: a.key, val: a.val, marks: a.marks[:0]}
	err := a.run()
	if err == nil {
		err = a.finish(lsn)
	}
	if a.it != nil {
		err = errors.Join(err, a.it.Close())
	}
	if err = errors.Join(err, a.pb.Close()); err != nil {
		return fmt.Errorf("apply journal record %d: %w", lsn, err)
	}
	d.applied.Store(uint64(lsn))
	return nil
}

func (a *application) run() error {
	s := readSteps(a.rec, opDrop)
	for {
		st, ok := s.next()
		if !ok {
			return s.err
		}
		a.left = len(s.rest)
		if err := a.step(&st); err != nil {
			return err
		}
	}
}

func (a *application) step(s *step) error {
	switch s.op {
	case opPut:
		a.puts, a.data, a.any = true, true, true
		a.d.changed.key(spaceNames, s.key)
		return a.set(spaceNames, s.key, valueHere, s.value)
	case opDelete:
		a.data, a.any = true, true
		a.d.changed.key(spaceNames, s.key)
		return a.delete(s.key)
	case opRemove:
		return a.mark(s.number(), mark{removed: true, clip: noClip})
	case opClip:
		return a.mark(s.number(), mark{clip: binary.BigEndian.Uint64(s.value)})
	case opStripe:
		a.any = true
		if stripe := s.number(); !a.d.isMeta(stripe) {
			a.data = true
			a.d.changed.stripes[stripe] = struct{}{}
		}
		a.d.changed.key(spaceTable, s.key)
		return a.set(spaceTable, s.key, valueHere, s.value)
	case opLocal:
		return a.local(string(s.key), s.value)
	case opUnlocal:
		a.key = appendLocal(a.key[:0], string(s.key))
		return a.pb.Delete(a.key, nil)
	case opFreeze:
		return a.freeze(s.number())
	case opDrop:
		return a.drop(s.number())
	}
	return ErrFormat
}

func (a *application) set(space byte, rk []byte, how byte, v []byte) error {
	if space == spaceNames {
		a.d.hold(rk)
	}
	a.key = append(appendSpace(a.key[:0], space, a.lv.cur.num), rk...)
	a.val = append(append(a.val[:0], how), v...)
	a.val = a.d.tagger.TagValue(a.val[:0], a.key, a.val)
	return a.pb.Set(a.key, a.val, nil)
}

// delete removes a record of the current generation, and leaves word of it if a lower level may hold the key.
func (a *application) delete(rk []byte) error {
	if !a.lv.lowerEmpty() && !a.markOf(keyIno(rk)).hides(rk) {
		return a.set(spaceNames, rk, valueGone, nil)
	}
	a.d.held.drop(keyIno(rk), heldBit(rk)&^heldOthers)
	a.key = append(appendSpace(a.key[:0], spaceNames, a.lv.cur.num), rk...)
	return a.pb.Delete(a.key, nil)
}

// markOf returns the mark of an inode in the current generation, this batch included.
func (a *application) markOf(ino uint64) mark {
	for i := range a.marks {
		if a.marks[i].ino == ino {
			return a.marks[i].m
		}
	}
	return a.lv.cur.markOf(ino)
}

// mark removes what m hides from the current generation, and hides it in those below.
func (a *application) mark(ino uint64, m mark) error {
	a.data, a.any = true, true
	a.d.changed.mark(ino, m)
	if err := a.erase(ino, m); err != nil {
		return err
	}
	if a.lv.lowerEmpty() {
		return nil
	}
	m = a.markOf(ino).with(m)
	a.remember(inodeMark{ino, m})
	a.key = binary.BigEndian.AppendUint64(appendSpace(a.key[:0], spaceMarks, a.lv.cur.num), ino)
	a.val = a.d.tagger.TagValue(a.val[:0], a.key, m.encode())
	return a.pb.Set(a.key, a.val, nil)
}

func (a *application) remember(im inodeMark) {
	for i := range a.marks {
		if a.marks[i].ino == im.ino {
			a.marks[i] = im
			return
		}
	}
	a.marks = append(a.marks, im)
}

// erase deletes the records of the current generation that m hides, one by one: thousands of range deletions would make
// every later read slow.
func (a *application) erase(ino uint64, m mark) error {
	if set, known := a.d.held.of(ino); known {
		return a.eraseHeld(ino, m, set)
	}
	return a.eraseFound(ino, m)
}

// eraseHeld deletes without looking what is there.
func (a *application) eraseHeld(ino uint64, m mark, set holding) error {
	for rest := set; rest != 0; rest &= rest - 1 {
		bit := bits.TrailingZeros64(uint64(rest))
		a.key = heldKey(appendSpace(a.key[:0], spaceNames, a.lv.cur.num), ino, bit)
		if !m.hides(a.key[spacePrefix:]) {
			continue
		}
		if err := a.pb.Delete(a.key, nil); err != nil {
			return err
		}
		a.d.held.drop(ino, 1<<bit)
	}
	return nil
}

// eraseFound looks for what there is, in the batch and in Pebble.
func (a *application) eraseFound(ino uint64, m mark) error {
	if err := a.erasePending(ino, m); err != nil {
		return err
	}
	first := KindInode
	if !m.removed {
		first = KindWindow
	}
	lower := appendPrefix(appendSpace(a.key[:0], spaceNames, a.lv.cur.num), ino, first)
	a.key = lower
	upper := appendPrefix(appendSpace(a.val[:0], spaceNames, a.lv.cur.num), ino, kindEnd)
	a.val = upper
	if a.it == nil {
		var err error
		if a.it, err = a.d.pebble.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper}); err != nil {
			return err
		}
	} else {
		a.it.SetBounds(lower, upper)
	}
	for ok := a.it.First(); ok; ok = a.it.Next() {
		if m.hides(a.it.Key()[spacePrefix:]) {
			if err := a.pb.Delete(a.it.Key(), nil); err != nil {
				return err
			}
		}
	}
	if m.removed {
		a.d.held.drop(ino, ^holding(0))
	}
	return a.it.Error()
}

// erasePending deletes what earlier steps of the same batch have put.
func (a *application) erasePending(ino uint64, m mark) error {
	if !a.puts {
		return nil
	}
	s := readSteps(a.rec, opDrop)
	for {
		st, ok := s.next()
		if !ok || len(s.rest) <= a.left {
			return s.err
		}
		if st.op == opPut && keyIno(st.key) == ino && m.hides(st.key) {
			a.key = append(appendSpace(a.key[:0], spaceNames, a.lv.cur.num), st.key...)
			if err := a.pb.Delete(a.key, nil); err != nil {
				return err
			}
		}
	}
}

func (a *application) local(name string, v []byte) error {
	if name == localPublished {
		p, err := parsePublished(v)
		if err != nil {
			return err
		}
		a.lv.names, a.lv.table, a.lv.pending, a.swap = p.Names.root(), p.Table.root(), p.Pending, true
	}
	if strings.HasPrefix(name, localOwn) {
		if err := a.d.parseOwn(name[len(localOwn):]); err != nil {
			return err
		}
	}
	if name == localDirty && len(v) == 1 {
		a.d.dirty.Store(int32(v[0]))
	}
	return a.setLocal(name, v)
}

func (a *application) setLocal(name string, v []byte) error {
	a.key = appendLocal(a.key[:0], name)
	a.val = a.d.tagger.TagValue(a.val[:0], a.key, v)
	return a.pb.Set(a.key, a.val, nil)
}

// freeze begins a new generation; the one of before waits to be folded.
func (a *application) freeze(g uint64) error {
	if a.lv.frozen != nil || g != a.lv.cur.num+1 {
		return fmt.Errorf("%w: generation %d after %d", ErrFormat, g, a.lv.cur.num)
	}
	a.lv.frozen, a.lv.cur, a.swap = a.lv.cur, newGeneration(g), true
	a.d.held.beginGeneration()
	return a.setLocal(localGenerations, a.generations())
}

// drop removes the frozen generation, which the tree has taken in.
func (a *application) drop(g uint64) error {
	if a.lv.frozen == nil || a.lv.frozen.num != g {
		return fmt.Errorf("%w: generation %d is not the frozen one", ErrFormat, g)
	}
	for _, space := range []byte{spaceNames, spaceTable, spaceMarks} {
		prefix := appendSpace(nil, space, g)
		if err := a.pb.DeleteRange(prefix, keyEnd(prefix), nil); err != nil {
			return err
		}
	}
	a.lv.frozen, a.swap = nil, true
	return a.setLocal(localGenerations, a.generations())
}

// generations encodes which generations there are: the current one, then the frozen one or 0.
func (a *application) generations() []byte {
	b := binary.BigEndian.AppendUint64(nil, a.lv.cur.num)
	if a.lv.frozen == nil {
		return binary.BigEndian.AppendUint64(b, 0)
	}
	return binary.BigEndian.AppendUint64(b, a.lv.frozen.num)
}

// finish commits to Pebble. The levels are swapped first: a reader that sees the generation dropped must also see that
// they changed. Marks and records become visible under the generation's lock, as one step.
func (a *application) finish(lsn journal.LSN) error {
	if err := a.markDirty(); err != nil {
		return err
	}
	a.key = append(a.key[:0], spaceLSN)
	a.val = a.d.tagger.TagValue(a.val[:0], a.key, binary.BigEndian.AppendUint64(nil, uint64(lsn)))
	if err := a.pb.Set(a.key, a.val, nil); err != nil {
		return err
	}
	if a.swap {
		lv := a.lv
		a.d.levels.Store(&lv)
	}
	if len(a.marks) > 0 {
		g := a.lv.cur
		g.mu.Lock()
		defer g.mu.Unlock()
		for _, im := range a.marks {
			g.marks[im.ino] = im.m
		}
	}
	a.d.cites.Add(1)
	a.d.inMemory.Add(int64(a.pb.Len()) + applyCost)
	if err := a.pb.Commit(pebble.NoSync); err != nil {
		return err
	}
	return a.d.disk.failed() // Pebble does not return what it told its logger
}

// applyCost is about what an applied batch takes in Pebble's memory beside its bytes.
const applyCost = 256

// What a checkpoint would have to publish.
const (
	clean       = 0
	cleanEnough = 1 // only records of stripes that checkpoints themselves made: no reason for another checkpoint
	dirty       = 2
)

// markDirty notes in Pebble, once after each checkpoint, that the newest one is not the whole truth any more.
func (a *application) markDirty() error {
	now := int32(clean)
	switch {
	case a.data:
		now = dirty
	case a.any:
		now = cleanEnough
	}
	a.d.changed.level = max(a.d.changed.level, now)
	if now <= a.d.dirty.Load() {
		return nil
	}
	a.d.dirty.Store(now)
	return a.setLocal(localDirty, []byte{byte(now)})
}

// Names of what a device keeps for itself.
const (
	localGenerations = "generations" // the current one (8), the frozen one or 0 (8)
	localPublished   = "published"   // see published
	localHead        = "head"        // the newest head
	localDirty       = "dirty"       // 1 byte: clean, ... above
	localVolume      = "volume"      // ID of the volume (32), so that no other volume's keys open this state
	localSession     = "session/"    // 3 bytes follow: a session known to have been used
	localStore       = "store/"      // 4 bytes follow: an entry of the store table
	localUnplaced    = "unplaced/"   // 8 bytes follow: a stripe intended but not placed
	localUnsynced    = "unsynced"    // 3 bytes each: the sessions whose stripes may have bytes that are not synced
	localOwn         = "own/"        // 8 bytes follow: a stripe of a checkpoint, not placed yet
	localTorn        = "torn/"       // ino (8), window (8) follow: see replay.go
	localDebt        = "debt/"       // store (4), stripe (8), shard (32) follow: a Debt; its generation (8)
	localStanding    = "standing/"   // 4 bytes follow: what is known of a store; see SaveStanding
)

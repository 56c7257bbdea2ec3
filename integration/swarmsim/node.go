package swarmsim

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/hammockfs/hammock/crypt"
	"github.com/hammockfs/hammock/placement"
)

// lie is how a node deceives.
type lie uint8

const (
	honest   lie = iota
	rotting      // half of what it keeps is wrong, in one group of 16 KiB
	dropping     // half of what it is given, and was given, it throws away and says that it has it
)

// node is one store. World.mu guards all that changes.
type node struct {
	w       *World
	number  uint32
	owner   int
	site    int
	machine string
	name    string
	steady  bool // a machine that is nearly always on

	online   bool
	gone     bool      // for good
	since    time.Time // of the last change of online
	back     time.Time // when it will be online again
	lies     lie
	slow     time.Duration // of each answer, until well
	full     bool          // until well
	well     time.Time
	healed   time.Time // when it was last slow, or full
	capacity int64
	used     int64
	shards   map[hold]*kept
}

// hold is a shard kept for an owner.
type hold struct {
	owner int
	id    crypt.ID
}

// kept are a shard's bytes as they lie in the store.
type kept struct {
	data       []byte
	bad        int    // group that is wrong; -1: none
	generation uint64 // of the newest put
}

func (k *kept) good() bool { return k.bad < 0 }

var (
	errAway   = errors.New("the node is away")
	errKilled = errors.New("the process was killed")
)

// link is a node as one owner's process reaches it: a placement.Store.
type link struct {
	n    *node
	proc *process
}

// ready is the error of a request that is not even begun.
func (l *link) ready(ctx context.Context) error {
	l.n.w.mu.Lock()
	defer l.n.w.mu.Unlock()
	if l.proc.dead {
		return errKilled
	}
	return ctx.Err()
}

// Put implements placement.Store. A put that is broken off may have arrived all the same.
func (l *link) Put(ctx context.Context, p placement.Put, data []byte) error {
	n, w := l.n, l.n.w
	if err := l.ready(ctx); err != nil {
		return err
	}
	if crypt.Sum(data) != p.Shard {
		return fmt.Errorf("put shard %d of stripe %d: %w", p.Index, p.Stripe, placement.ErrWrongBytes)
	}
	err := w.wait(ctx, n, l.proc.o.id, p.Shard)
	w.mu.Lock()
	defer w.mu.Unlock()
	arrived := err == nil || w.chance(2, l.proc.o.id, p.Shard)
	die := l.proc.burn()
	switch {
	case !n.online:
		err = errAway
	case !arrived:
	case !n.has(hold{l.proc.o.id, p.Shard}) && (n.full || n.used+int64(len(data)) > n.capacity):
		err = placement.ErrFull // but not for what it has already
	default:
		if w.strict {
			w.judge(l.proc, n, p)
		}
		n.keep(l.proc.o.id, p, data)
	}
	if die {
		l.proc.die()
	}
	if l.proc.dead && err == nil {
		err = errKilled
	}
	w.note(l.proc.o, "put", p.Stripe, p.Index, n.number, err)
	return err
}

func (n *node) has(h hold) bool {
	k := n.shards[h]
	return k != nil && k.good()
}

// keep stores a shard, or pretends to.
func (n *node) keep(owner int, p placement.Put, data []byte) {
	w := n.w
	h := hold{owner, p.Shard}
	if k := n.shards[h]; k != nil && k.good() {
		k.generation = max(k.generation, p.Generation)
		w.report.Again++
		return
	}
	w.report.PutBytes += int64(len(data))
	k := &kept{data: bytes.Clone(data), bad: -1, generation: p.Generation}
	bad := n.lies != honest && w.chance(2, int(n.number), p.Shard)
	switch {
	case bad && n.lies == dropping:
		w.report.LostBytes += int64(len(data))
		n.lose(func(other hold) bool { return other == h }) // a rotten copy, if there is one
		return
	case bad:
		k.bad = int(w.draw(int(n.number), p.Shard) % uint64(groups(len(data))))
		w.report.LostBytes += int64(len(data))
	}
	n.used += int64(len(data))
	n.shards[h] = k
}

func groups(size int) int { return (size + crypt.GroupSize - 1) / crypt.GroupSize }

// ReadRange implements placement.Store. Wrong bytes are found by the reader, as those of a proof that fails.
func (l *link) ReadRange(ctx context.Context, id crypt.ID, size, off, n int64, dst []byte) ([]byte, error) {
	if err := l.ready(ctx); err != nil {
		return dst, err
	}
	w := l.n.w
	err := w.wait(ctx, l.n, l.proc.o.id, id)
	w.mu.Lock()
	defer w.mu.Unlock()
	if err == nil {
		dst, err = l.n.give(hold{l.proc.o.id, id}, size, off, n, dst)
	}
	w.note(l.proc.o, "ask", binary.LittleEndian.Uint64(id[:]), int(off), l.n.number, err)
	return dst, err
}

// give reads from what a node keeps; World.mu is held.
func (n *node) give(h hold, size, off, length int64, dst []byte) ([]byte, error) {
	if !n.online {
		return dst, errAway
	}
	k := n.shards[h]
	if k == nil {
		return dst, placement.ErrNoShard
	}
	if int64(len(k.data)) != size {
		return dst, placement.ErrWrongBytes
	}
	end := off + length
	if off < 0 || length < 0 || end > size || off%crypt.GroupSize != 0 || end%crypt.GroupSize != 0 && end != size {
		return dst, fmt.Errorf("bytes [%d, %d) of a shard of %d are not whole groups", off, end, size)
	}
	if at := int64(k.bad) * crypt.GroupSize; !k.good() && at >= off && at < end {
		return dst, placement.ErrWrongBytes
	}
	n.w.report.ReadBytes += length
	return append(dst, k.data[off:end]...), nil
}

// Delete implements placement.Deleter. A delete that is broken off may have arrived all the same.
func (l *link) Delete(ctx context.Context, p placement.Put) error {
	if err := l.ready(ctx); err != nil {
		return err
	}
	n, w := l.n, l.n.w
	err := w.wait(ctx, n, l.proc.o.id, p.Shard)
	w.mu.Lock()
	defer w.mu.Unlock()
	h := hold{l.proc.o.id, p.Shard}
	switch {
	case !n.online:
		err = errAway
	case err != nil && !w.chance(2, l.proc.o.id, p.Shard):
	case n.shards[h] == nil || n.shards[h].generation > p.Generation:
		err = placement.ErrNoShard
	default:
		n.used -= int64(len(n.shards[h].data))
		delete(n.shards, h)
		w.report.Deleted++
		w.judgeDelete(l.proc.o, n, p)
	}
	w.note(l.proc.o, "delete", p.Stripe, p.Index, n.number, err)
	return err
}

// lose takes shards away from a node; rot makes them wrong. World.mu is held, and which says which.
func (n *node) lose(which func(hold) bool) {
	for h, k := range n.shards {
		if which(h) {
			n.damaged(k)
			n.used -= int64(len(k.data))
			delete(n.shards, h)
		}
	}
}

func (n *node) rot(which func(hold) bool) {
	for h, k := range n.shards {
		if which(h) {
			n.damaged(k)
			k.bad = int(n.w.draw(int(n.number), h.id) % uint64(groups(len(k.data))))
		}
	}
}

func (n *node) damaged(k *kept) {
	if k.good() {
		n.w.report.LostBytes += int64(len(k.data))
	}
}

func all(hold) bool { return true }

// half says of each shard whether it is hit.
func (n *node) half(h hold) bool { return n.w.chance(2, int(n.number), h.id) }

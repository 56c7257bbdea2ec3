package placement

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/hammockfs/hammock/crypt"
)

// ErrRange says that a read goes beyond its stripe's payload.
var ErrRange = errors.New("the range is outside of the stripe")

// Fetch appends bytes [off, off+n) of a stripe's payload to dst. record may be nil (the journal's is taken then), and may be
// old: where its hints are wrong, all stores are asked for the shard. Normally it reads from the data shards that hold
// the range, rounded to whole groups of crypt.GroupSize; if one is slow, missing or wrong, it takes whichever k shards
// answer first. Stores prove what they send, so the bytes are right or there is an error: a *QuorumError that names each
// store and its reason, or ctx's. Shards found missing or wrong are queued for repair.
func (p *Placer) Fetch(ctx context.Context, stripe uint64, record []byte, off, n int, dst []byte) ([]byte, error) {
	rec, err := p.hints(ctx, stripe, record)
	if err != nil {
		return dst, err
	}
	if off < 0 || n < 0 || off > int(rec.Payload) || n > int(rec.Payload)-off {
		return dst, fmt.Errorf("read %d bytes at %d of stripe %d, which has %d: %w", n, off, stripe, rec.Payload, ErrRange)
	}
	if n == 0 {
		return dst, nil
	}
	wants := cover(rec, off, n)
	g, err := p.front.take(ctx, gatherMemory(rec, wants))
	if err != nil {
		return dst, err
	}
	defer g.release()
	dst = slices.Grow(dst, n)
	out := dst[len(dst) : len(dst)+n : len(dst)+n]
	direct(rec, wants, out, off)
	r := p.newGather(rec, wants)
	defer r.close()
	err = r.run(ctx)
	p.healFound(rec, r)
	if err != nil {
		return dst, err
	}
	r.assemble(out, off)
	return dst[:len(dst)+n], nil
}

// Lossy says whether a stripe, whose record this is, has lost a data shard or cannot reach it now: to read a part that was in
// it takes as many bytes as to read the same part of all data shards.
func (p *Placer) Lossy(record []byte) bool {
	rec, err := ParseRecord(record)
	if err != nil || rec.Code.K < 2 {
		return false
	}
	good := map[uint32]bool{}
	for _, s := range p.stores() {
		good[s.Number] = s.Online && s.Verdict != VerdictLiar
	}
	return slices.ContainsFunc(rec.Shards[:rec.Code.K], func(s Shard) bool { return !good[s.Store] })
}

// hints gives the record to read by.
func (p *Placer) hints(ctx context.Context, stripe uint64, record []byte) (*Record, error) {
	if len(record) > 0 {
		rec, err := ParseRecord(record)
		if err == nil && rec.Stripe != stripe {
			err = fmt.Errorf("%w: it is of stripe %d", ErrRecord, rec.Stripe)
		}
		if err != nil {
			return nil, fmt.Errorf("read stripe %d: %w", stripe, err)
		}
		return &rec, nil
	}
	rec, err := p.record(ctx, stripe)
	if err == nil && rec == nil {
		err = fmt.Errorf("read stripe %d: it has no record", stripe)
	}
	return rec, err
}

// want is a range of one shard: whole groups, in the shard's own offsets.
type want struct {
	shard  int
	lo, hi int64
	into   []byte // where its own shard's bytes belong in the end, if all of them do
	data   []byte // when it is here
	bad    bool   // failed or late: to be computed from others
	extra  int    // reads beyond k that were started because others are late
}

// cover gives the ranges of data shards that hold [off, off+n) of the payload.
func cover(rec *Record, off, n int) []want {
	size := int(rec.ShardSize)
	var ws []want
	for i := off / size; i*size < off+n; i++ {
		lo, hi := max(off-i*size, 0), min(off+n-i*size, size)
		ws = append(ws, wantOf(rec, i, lo, hi))
	}
	return ws
}

func wantOf(rec *Record, shard, lo, hi int) want {
	const g = crypt.GroupSize
	return want{shard: shard, lo: int64(lo / g * g), hi: int64(min((hi+g-1)/g*g, int(rec.ShardSize)))}
}

// gatherMemory is what a read takes when all goes well.
func gatherMemory(rec *Record, wants []want) int {
	n := int64(0)
	for _, w := range wants {
		n += w.hi - w.lo
	}
	return int(n)
}

// direct gives the wants their places in out, which is for the payload's bytes from off on, so that what comes from a store
// lands where it stays.
func direct(rec *Record, wants []want, out []byte, off int) {
	for i := range wants {
		w := &wants[i]
		start := w.shard*int(rec.ShardSize) - off
		if lo, hi := start+int(w.lo), start+int(w.hi); lo >= 0 && hi <= len(out) {
			w.into = out[lo:hi:hi]
		}
	}
}

// assemble fills out, which is for the payload's bytes from off on, from the wants that cover it. No read is under way any
// more that could write there.
func (g *gather) assemble(out []byte, off int) {
	size := int(g.rec.ShardSize)
	for i := range g.wants {
		w := &g.wants[i]
		if len(w.into) > 0 && &w.into[0] == &w.data[0] {
			continue
		}
		lo, hi := max(off-w.shard*size, 0), min(off+len(out)-w.shard*size, size)
		copy(out[w.shard*size+lo-off:], w.data[lo-int(w.lo):hi-int(w.lo)])
	}
}

// healFound queues a repair if a store said that it lost a shard or sent wrong bytes, or if a shard was not where the
// record says. The journal is not asked here: it may itself be waiting for this read.
func (p *Placer) healFound(rec *Record, g *gather) {
	if g.lost > 0 || len(g.found) > 0 {
		p.healRead(rec.Stripe, rec.held()-rec.Code.K-g.lost, g.broken)
	}
}

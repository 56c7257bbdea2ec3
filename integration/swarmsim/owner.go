package swarmsim

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"io/fs"
	"maps"
	"math/rand/v2"
	"slices"

	"github.com/hammockfs/hammock/crypt"
	"github.com/hammockfs/hammock/placement"
)

// owner is one owner's machine: what survives its processes. World.mu guards all but rng, which belongs to the session.
type owner struct {
	w       *World
	id      int
	rng     *rand.Rand
	numbers []uint64 // of its stripes, in order
	stripes map[uint64]*stripe
	busy    bool  // a session is going on
	begun   []int // the days of its sessions, in order
	notes   map[uint32][]byte
	debts   map[debt]uint64 // and their generation
	hash    uint64
}

// stripe is one closed stripe: its local bytes, while they are here, and what the journal says of it.
type stripe struct {
	number uint64
	class  uint8
	size   int
	local  bool
	bytes  []byte // the newest synced record
	record placement.Record
	named  map[site]bool // every place that a synced record named, ever
	ills   map[int]ill   // by shard: what check found missing
	lost   bool
}

// site is a shard's place in a record.
type site struct {
	index int
	store uint32
}

// payload is what is in a stripe: it can be made again at any time, to compare. pad is what fills it up.
func (o *owner) payload(s *stripe) []byte {
	p := make([]byte, s.size)
	o.bytesOf(p, s.number, 0)
	return p
}

func (o *owner) pad(dst []byte, number uint64) { o.bytesOf(dst, number, 1) }

func (o *owner) bytesOf(dst []byte, number, what uint64) {
	var key [32]byte
	for i, v := range []uint64{o.w.cfg.Seed, uint64(o.id), number, what} {
		binary.LittleEndian.PutUint64(key[8*i:], v)
	}
	_, _ = rand.NewChaCha8(key).Read(dst)
}

// write closes a new stripe; World.mu is held.
func (o *owner) write() *stripe {
	s := &stripe{number: uint64(len(o.numbers) + 1), class: placement.ClassData, local: true, size: 1000 + o.rng.IntN(6000),
		named: map[site]bool{}, ills: map[int]ill{}}
	switch o.rng.IntN(12) {
	case 0:
		s.size = 100_000 + o.rng.IntN(90_000) // shards of two and three groups
	case 1:
		s.class = placement.ClassMetadata
	}
	o.numbers = append(o.numbers, s.number)
	o.stripes[s.number] = s
	return s
}

// process is one run of the owner's program: Stores, Payloads and Journal of its Placer. World.mu guards dead and fuse.
type process struct {
	o      *owner
	placer *placement.Placer
	dead   bool
	died   chan struct{}
	fuse   int // puts and journal calls until it is killed; below zero: never
}

// burn counts a put or a call of the journal and says whether the process ends with it.
func (p *process) burn() bool {
	p.fuse--
	return p.fuse == 0
}

// die ends the process: from now on nothing it does has an effect. World.mu is held.
func (p *process) die() {
	if !p.dead {
		p.dead = true
		p.o.w.report.Kills++
		close(p.died)
	}
}

// Payload implements placement.Payloads.
func (p *process) Payload(_ context.Context, number uint64, dst []byte) ([]byte, uint8, error) {
	p.o.w.jog()
	p.o.w.mu.Lock()
	defer p.o.w.mu.Unlock()
	s := p.o.stripes[number]
	if p.dead || s == nil || !s.local {
		return dst, 0, fs.ErrNotExist
	}
	return append(dst, p.o.payload(s)...), s.class, nil
}

// PayloadSize tells the Placer how little memory a stripe takes.
func (p *process) PayloadSize(number uint64) (int, bool) {
	p.o.w.jog()
	p.o.w.mu.Lock()
	defer p.o.w.mu.Unlock()
	s := p.o.stripes[number]
	return s.size, s.local
}

// Intend implements placement.Journal.
func (p *process) Intend(ctx context.Context, number uint64, record []byte) error {
	p.o.w.jog()
	return p.journal(ctx, "intend", number, record)
}

// Placed implements placement.Journal.
func (p *process) Placed(ctx context.Context, number uint64, record []byte) error {
	p.o.w.jog()
	return p.journal(ctx, "placed", number, record)
}

// Record implements placement.Journal.
func (p *process) Record(_ context.Context, number uint64) ([]byte, error) {
	p.o.w.jog()
	p.o.w.mu.Lock()
	defer p.o.w.mu.Unlock()
	if p.dead {
		return nil, errKilled
	}
	return bytes.Clone(p.o.stripes[number].bytes), nil
}

// Records implements placement.Records.
func (p *process) Records(ctx context.Context, after uint64, fn func(stripe uint64, record []byte) bool) error {
	p.o.w.jog()
	for number := after + 1; ; number++ { // stripes are numbered from one, without gaps
		p.o.w.mu.Lock()
		s, dead := p.o.stripes[number], p.dead
		var record []byte
		if s != nil {
			record = bytes.Clone(s.bytes)
		}
		p.o.w.mu.Unlock()
		switch {
		case dead:
			return errKilled
		case s == nil || ctx.Err() != nil:
			return ctx.Err()
		case record != nil && !fn(number, record):
			return nil
		}
	}
}

// SaveStanding implements placement.Notes.
func (p *process) SaveStanding(_ context.Context, store uint32, value []byte) error {
	p.o.w.jog()
	p.o.w.mu.Lock()
	defer p.o.w.mu.Unlock()
	if p.dead {
		return errKilled
	}
	p.o.notes[store] = bytes.Clone(value)
	return nil
}

// Standings implements placement.Notes.
func (p *process) Standings(context.Context) (map[uint32][]byte, error) {
	p.o.w.jog()
	p.o.w.mu.Lock()
	defer p.o.w.mu.Unlock()
	return maps.Clone(p.o.notes), nil
}

// debt is what a store keeps for nothing.
type debt struct {
	store  uint32
	stripe uint64
	shard  crypt.ID
}

func debtOf(d *placement.Debt) debt { return debt{d.Store, d.Stripe, d.Shard} }

// Owe implements placement.Debts.
func (p *process) Owe(_ context.Context, debts []placement.Debt) error {
	p.o.w.jog()
	p.o.w.mu.Lock()
	defer p.o.w.mu.Unlock()
	if p.dead {
		return errKilled
	}
	for i := range debts {
		d := debtOf(&debts[i])
		p.o.debts[d] = max(p.o.debts[d], debts[i].Generation)
	}
	return nil
}

// Paid implements placement.Debts.
func (p *process) Paid(_ context.Context, debts []placement.Debt) error {
	p.o.w.jog()
	p.o.w.mu.Lock()
	defer p.o.w.mu.Unlock()
	if p.dead {
		return errKilled
	}
	for i := range debts {
		delete(p.o.debts, debtOf(&debts[i]))
	}
	return nil
}

// Debts implements placement.Debts.
func (p *process) Debts(_ context.Context, after *placement.Debt, limit int) ([]placement.Debt, error) {
	p.o.w.jog()
	p.o.w.mu.Lock()
	defer p.o.w.mu.Unlock()
	var out []placement.Debt
	for d, generation := range p.o.debts {
		if after == nil || d.compare(debtOf(after)) > 0 {
			out = append(out, placement.Debt{Store: d.store, Stripe: d.stripe, Shard: d.shard, Generation: generation})
		}
	}
	slices.SortFunc(out, func(a, b placement.Debt) int { return debtOf(&a).compare(debtOf(&b)) })
	return out[:min(limit, len(out))], nil
}

func (d debt) compare(e debt) int {
	return cmp.Or(cmp.Compare(d.store, e.store), cmp.Compare(d.stripe, e.stripe), bytes.Compare(d.shard[:], e.shard[:]))
}

// journal syncs a record. A process that is killed in it may or may not have synced it.
func (p *process) journal(ctx context.Context, kind string, number uint64, record []byte) error {
	o, w := p.o, p.o.w
	rec, err := placement.ParseRecord(record)
	if err != nil || rec.Stripe != number {
		w.fail("owner %d journals a bad record of stripe %d: %v", o.id, number, err)
	}
	if err := w.sync(ctx, o.id, rec.Shards[0].ID); err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if p.dead {
		return errKilled
	}
	die := p.burn()
	if die && w.chance(2, o.id, rec.Shards[0].ID) {
		p.die()
		return errKilled
	}
	s := o.stripes[number]
	s.bytes, s.record = bytes.Clone(record), rec
	for i, sh := range rec.Shards {
		s.named[site{i, sh.Store}] = true
		w.names[hold{o.id, sh.ID}] = s
	}
	if kind == "placed" {
		s.local = false // the cache needs the room at once
	}
	w.note(o, kind, number, int(rec.Generation), 0, nil)
	if die {
		p.die()
		return errKilled
	}
	return nil
}

// Stores implements placement.Stores.
func (p *process) Stores() []placement.StoreInfo {
	p.o.w.jog()
	w := p.o.w
	w.mu.Lock()
	defer w.mu.Unlock()
	infos := slices.Clone(w.infos)
	infos[p.o.id].Here = true // each owner's first node is on its own machine
	return infos
}

// Store implements placement.Stores.
func (p *process) Store(number uint32) (placement.Store, bool) {
	p.o.w.jog()
	w := p.o.w
	w.mu.Lock()
	defer w.mu.Unlock()
	if number == 0 || int(number) > len(w.nodes) || p.dead {
		return nil, false
	}
	return &link{w.nodes[number-1], p}, true
}

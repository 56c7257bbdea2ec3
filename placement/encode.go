package placement

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"runtime"
	"sync"

	"github.com/klauspost/reedsolomon"

	"github.com/hammockfs/hammock/crypt"
)

// ErrChanged says that the local copy of a stripe is not what its record was made from: the disk gave wrong bytes.
var ErrChanged = errors.New("the local copy does not match the stripe's record")

// coders keeps one Reed-Solomon coder for each code: making one costs more than using it.
type coders struct{ m sync.Map }

func (c *coders) get(code Code) (reedsolomon.Encoder, error) {
	if rs, ok := c.m.Load(code); ok {
		return rs.(reedsolomon.Encoder), nil
	}
	// One goroutine: the arithmetic is far faster than anything around it. The cache of inverted matrices grows with
	// every pattern of losses, of which the wide codes have too many.
	rs, err := reedsolomon.New(code.K, code.M, reedsolomon.WithMaxGoroutines(1),
		reedsolomon.WithInversionCache(code.N() <= 10))
	if err != nil {
		return nil, fmt.Errorf("make a coder for %v: %w", code, err)
	}
	kept, _ := c.m.LoadOrStore(code, rs)
	return kept.(reedsolomon.Encoder), nil
}

// encoded is a stripe in memory, cut into shards: the data shards lie in payload, the spare ones in parity.
type encoded struct {
	payload, parity []byte // from the pool
	size            int    // of the payload before padding
	class           uint8
	shards          [][]byte
	ids             []crypt.ID
}

func (e *encoded) free(b *buffers) {
	b.put(e.payload)
	b.put(e.parity)
	*e = encoded{}
}

// load reads a stripe's payload into a pooled buffer. codeOf is asked with the stripe's class; its result sizes the
// shards.
func (p *Placer) load(ctx context.Context, stripe uint64, codeOf func(class uint8) (Code, error)) (*encoded, Code, error) {
	buf := p.bufs.get(p.sizeHint(stripe))
	got, class, err := p.cfg.Payloads.Payload(ctx, stripe, buf)
	if err != nil {
		p.bufs.put(buf)
		return nil, Code{}, fmt.Errorf("read the local copy of stripe %d: %w", stripe, err)
	}
	e := &encoded{payload: buf, size: len(got), class: class}
	code, err := codeOf(class)
	size := 0
	if err == nil {
		if size = ShardSize(len(got), code.K); size == 0 || len(got) > MaxPayload {
			err = fmt.Errorf("stripe %d is too large: %d bytes", stripe, len(got))
		}
	}
	if err != nil {
		e.free(&p.bufs)
		return nil, Code{}, err
	}
	p.pad(e, stripe, got, code.K*size)
	for i := range code.K {
		e.shards = append(e.shards, e.payload[i*size:(i+1)*size:(i+1)*size])
	}
	return e, code, nil
}

// pad makes e.payload the bytes got and their padding, in place if got is in the buffer and there is room.
func (p *Placer) pad(e *encoded, stripe uint64, got []byte, full int) {
	if cap(e.payload) < full || len(got) > 0 && &got[0] != &e.payload[:1][0] {
		buf := p.bufs.get(full)
		buf = append(buf, got...)
		p.bufs.put(e.payload)
		e.payload = buf
	}
	e.payload = e.payload[:full]
	if rest := e.payload[len(got):]; len(rest) > 0 {
		clear(rest)
		if p.cfg.Pad != nil {
			p.cfg.Pad(rest, stripe)
		}
	}
}

// sizeHint is the room to have for a stripe's payload and padding before it is known.
func (p *Placer) sizeHint(stripe uint64) int {
	if n, ok := p.payloadSize(stripe); ok {
		return n + n/8 + MaxShards*minShardSize
	}
	return Code{K: 1}.Target() * 5 / 4
}

// payloadSize asks Payloads, if it can tell.
func (p *Placer) payloadSize(stripe uint64) (int, bool) {
	s, ok := p.cfg.Payloads.(interface {
		PayloadSize(stripe uint64) (int, bool)
	})
	if !ok {
		return 0, false
	}
	return s.PayloadSize(stripe)
}

// finish computes the spare shards and the IDs of all.
func (p *Placer) finish(e *encoded, code Code) error {
	size := len(e.shards[0])
	if code.M > 0 {
		e.parity = p.bufs.get(code.M * size)[:code.M*size]
		for i := range code.M {
			e.shards = append(e.shards, e.parity[i*size:(i+1)*size:(i+1)*size])
		}
		rs, err := p.coders.get(code)
		if err != nil {
			return err
		}
		if err := rs.Encode(e.shards); err != nil {
			return fmt.Errorf("encode %v: %w", code, err)
		}
	}
	e.ids = sums(e.shards)
	return nil
}

// sums hashes shards on all cores.
func sums(shards [][]byte) []crypt.ID {
	ids := make([]crypt.ID, len(shards))
	workers := min(runtime.GOMAXPROCS(0), len(shards))
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := w; i < len(shards); i += workers {
				ids[i] = crypt.Sum(shards[i])
			}
		})
	}
	wg.Wait()
	return ids
}

// encode loads a stripe and cuts it. With a record it takes the record's code and checks the result against it (ErrChanged);
// without, it takes the policy's.
func (p *Placer) encode(ctx context.Context, stripe uint64, rec *Record) (*encoded, Code, error) {
	e, code, err := p.load(ctx, stripe, func(class uint8) (Code, error) {
		if rec != nil {
			return rec.Code, nil
		}
		return p.newCode(class), nil
	})
	if err != nil {
		return nil, Code{}, err
	}
	if err := p.finish(e, code); err != nil {
		e.free(&p.bufs)
		return nil, Code{}, err
	}
	if rec != nil && !matches(e, rec) {
		e.free(&p.bufs)
		return nil, Code{}, fmt.Errorf("stripe %d: %w", stripe, ErrChanged)
	}
	return e, code, nil
}

func matches(e *encoded, rec *Record) bool {
	if e.size != int(rec.Payload) || len(e.shards[0]) != int(rec.ShardSize) {
		return false
	}
	for i, id := range e.ids {
		if rec.Shards[i].ID != id {
			return false
		}
	}
	return true
}

// newCode is the code of a stripe that has no record yet. Where nothing can be placed now, it is 1+0: the stripe is its
// own single shard, and copies of it can be placed later without changing its ID.
func (p *Placer) newCode(class uint8) Code {
	if code, ok := p.policyCode(class); ok {
		return code
	}
	return Code{K: 1}
}

func (p *Placer) policyCode(class uint8) (Code, bool) {
	return p.cfg.Policy.Code(class, p.cfg.Distinct.domains(elsewhere(p.cfg.Stores.Stores())))
}

// Encode gives the record of a closed stripe that lies here: the IDs of its shards and the stores that they are meant
// for. The record is journaled (Intend) before it is returned, so that whoever writes it into a tree or a head may rely on
// it: later calls, also after a restart, give the same shards, and upload puts exactly these. With too few stores the code is
// 1+0; see the package comment. Safe for concurrent use; it does not wait for uploads.
func (p *Placer) Encode(ctx context.Context, stripe uint64) ([]byte, error) {
	unlock, err := p.intents.lock(ctx, stripe)
	if err != nil {
		return nil, err
	}
	defer unlock()
	rec, err := p.record(ctx, stripe)
	if err != nil {
		return nil, err
	}
	if rec != nil {
		return rec.Append(nil), nil
	}
	g, err := p.front.take(ctx, p.sizeHint(stripe)*3)
	if err != nil {
		return nil, err
	}
	defer g.release()
	e, code, err := p.encode(ctx, stripe, nil)
	if err != nil {
		return nil, err
	}
	defer e.free(&p.bufs)
	r := p.newRecord(stripe, e, code)
	p.assign(&r, p.chooserFor(&r, nil))
	b := r.Append(nil)
	if err := p.cfg.Journal.Intend(ctx, stripe, b); err != nil {
		return nil, fmt.Errorf("journal the intent for stripe %d: %w", stripe, err)
	}
	return b, nil
}

func (p *Placer) newRecord(stripe uint64, e *encoded, code Code) Record {
	r := Record{
		Stripe: stripe, Class: e.class, Code: code,
		ShardSize: uint32(len(e.shards[0])), Payload: uint32(e.size), Live: uint32(e.size),
		Birth: p.cfg.Now().UnixNano(), Generation: 1,
		Shards: make([]Shard, code.N()),
	}
	for i, id := range e.ids {
		r.Shards[i].ID = id
	}
	return r
}

// record is the journal's newest record of a stripe; nil if there is none.
func (p *Placer) record(ctx context.Context, stripe uint64) (*Record, error) {
	b, err := p.cfg.Journal.Record(ctx, stripe)
	if errors.Is(err, fs.ErrNotExist) || err == nil && len(b) == 0 {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the record of stripe %d: %w", stripe, err)
	}
	r, err := ParseRecord(b)
	if err != nil {
		return nil, fmt.Errorf("read the record of stripe %d: %w", stripe, err)
	}
	if r.Stripe != stripe {
		return nil, fmt.Errorf("read the record of stripe %d: %w: it is of stripe %d", stripe, ErrRecord, r.Stripe)
	}
	return &r, nil
}

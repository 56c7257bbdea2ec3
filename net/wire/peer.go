package wire

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/hammockfs/hammock/crypt"
)

// Peer is another node, as a store of shards and a keeper of heads. All
// methods may be used concurrently and end with their context; errors are the
// exported ones of this package, wrapped.
type Peer struct {
	c                 *Client
	id                string
	bulk, small, head *pool
}

// ID returns the name under which the peer is dialled.
func (p *Peer) ID() string { return p.id }

func (p *Peer) pools() []*pool { return []*pool{p.bulk, p.small, p.head} }

// Put hands over a shard of 1 byte to 16 MiB and returns when the peer has
// compared its hash, written and synced it. The peer has reserved the room
// before the first byte leaves. Putting the same again is a success.
func (p *Peer) Put(ctx context.Context, what Put, data []byte) error {
	if len(data) == 0 || len(data) > MaxShard {
		return fmt.Errorf("put shard %s: %w: %d bytes", what.Shard, ErrTooLarge, len(data))
	}
	err := p.bulk.do(ctx, func(k *call) error {
		q := request{Code: opPut, Shard: what.Shard[:], Stripe: what.Stripe, Generation: what.Generation}
		q.Body = uint64(len(data))
		if err := k.send(&q, nil); err != nil {
			return err
		}
		r, err := k.reply()
		if err != nil {
			return err
		}
		if r.Code != codeGoOn || r.Body != 0 {
			return fmt.Errorf("%w: no go on before the bytes of a put", ErrMalformed)
		}
		if err := k.writeBody(data); err != nil {
			return err
		}
		return k.plainYes()
	})
	return p.wrap(err, "put shard %s at", what.Shard)
}

// plainYes reads a reply that has neither a body nor anything to say.
func (k *call) plainYes() error {
	r, err := k.reply()
	if err == nil && (r.Code != codeYes || r.Body != 0) {
		err = fmt.Errorf("%w: a go on or a body where a yes belongs", ErrMalformed)
	}
	return err
}

// wrap says what was being done to whom.
func (p *Peer) wrap(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf(format+" peer %s: %w", append(args, p.id, err)...)
}

// span is a range of whole groups.
type span struct{ off, n int64 }

// spans cuts the whole groups around [off, off+n) into requests.
func spans(size, off, n int64) []span {
	const group = crypt.GroupSize
	from, to := off/group*group, min(size, (off+n+group-1)/group*group)
	var all []span
	for ; from < to; from += MaxRange {
		all = append(all, span{from, min(MaxRange, to-from)})
	}
	return all
}

// ReadRange appends the bytes [off, off+n) of a shard of size bytes to dst.
// They were verified against the shard's ID, and the peer, which did not do so
// before, had a second chance to see that they are wrong: what fails then is
// ErrWrongBytes, and nothing of it is returned. Whole groups of 16 KiB cross the wire.
// Reading into dst without another allocation takes room for the groups around
// the range, not for the range alone.
func (p *Peer) ReadRange(ctx context.Context, id crypt.ID, size, off, n int64, dst []byte) ([]byte, error) {
	if size <= 0 || size > MaxShard || off < 0 || n < 0 || off > size || n > size-off {
		return nil, fmt.Errorf("read shard %s: %w: %d bytes at %d of %d", id, ErrTooLarge, n, off, size)
	}
	if n == 0 {
		return dst, nil
	}
	all := spans(size, off, n)
	last := all[len(all)-1]
	whole := last.off + last.n - all[0].off
	through := p.bulk
	if whole <= MaxSmall {
		through = p.small
	}
	base := len(dst)
	var got []byte
	dst = slices.Grow(dst, int(whole))
	read := func(unchecked bool) error {
		return through.do(ctx, func(k *call) (err error) {
			got, err = k.read(id, size, all, dst, unchecked)
			return err
		})
	}
	err := read(true)
	if errors.Is(err, ErrWrongBytes) {
		err = read(false) // it may not have known: then it finds out, and says that it has not got it
	}
	if err != nil {
		return nil, p.wrap(err, "read %d bytes at %d of shard %s from", n, off, id)
	}
	skip := base + int(off-all[0].off)
	copy(got[base:], got[skip:skip+int(n)])
	return got[:base+int(n)], nil
}

// read asks for all spans at once and appends what comes, verified, to dst.
func (k *call) read(id crypt.ID, size int64, all []span, dst []byte, unchecked bool) ([]byte, error) {
	for _, s := range all {
		q := request{Code: opGet, Shard: id[:], Size: uint64(size), Offset: uint64(s.off), Length: uint64(s.n), Unchecked: unchecked}
		if err := k.ask(&q, nil); err != nil {
			return nil, err
		}
	}
	for i, s := range all {
		var err error
		if dst, err = k.readOne(id, size, s, dst); err != nil {
			k.usable = k.usable && i == len(all)-1
			return nil, err
		}
	}
	return dst, nil
}

func (k *call) readOne(id crypt.ID, size int64, s span, dst []byte) ([]byte, error) {
	r, err := k.reply()
	if err != nil {
		return nil, err
	}
	want := int(crypt.SliceSize(size, s.off, s.n))
	if r.Code != codeYes || r.Size != uint64(size) || r.Body != uint64(want) {
		return nil, fmt.Errorf("%w: a slice of the wrong size", ErrWrongBytes)
	}
	until := time.Now().Add(k.pace.total(want))
	dst, err = crypt.ReadVerified(dst, &pacedReader{k.link, until}, id, size, s.off, s.n)
	k.usable = err == nil
	if errors.Is(err, crypt.ErrProof) {
		err = fmt.Errorf("%w: %w", ErrWrongBytes, err)
	}
	return dst, err
}

// Has asks whether the peer says that it holds a shard of ours, and its size.
// It is a hint: only ReadRange proves anything.
func (p *Peer) Has(ctx context.Context, id crypt.ID) (size int64, ok bool, err error) {
	err = p.small.do(ctx, func(k *call) error {
		if err := k.ask(&request{Code: opHas, Shard: id[:]}, nil); err != nil {
			return err
		}
		r, err := k.reply()
		size = int64(r.Size)
		return err
	})
	if errors.Is(err, ErrNotFound) {
		return 0, false, nil
	}
	return size, err == nil, p.wrap(err, "ask for shard %s at", id)
}

// Delete asks the peer to forget what a Put of the same three brought; the
// request is signed. ErrNotFound if it does not hold it, ErrDenied if this
// device's certificate does not give the right to write.
func (p *Peer) Delete(ctx context.Context, what Put) error {
	sig := p.c.cfg.Device.Sign(deleteContext, p.c.cfg.Swarm, deleteBody(p.c.cfg.Owner, what))
	err := p.small.do(ctx, func(k *call) error {
		q := request{Code: opDelete, Shard: what.Shard[:], Stripe: what.Stripe, Generation: what.Generation}
		q.Signature, q.Certificate = sig, p.c.cfg.Certificate
		if err := k.ask(&q, nil); err != nil {
			return err
		}
		return k.plainYes()
	})
	return p.wrap(err, "delete shard %s at", what.Shard)
}

// Info asks what the peer has free for us and which machine it is.
func (p *Peer) Info(ctx context.Context) (i Info, err error) {
	err = p.small.do(ctx, func(k *call) error {
		if err := k.ask(&request{Code: opInfo}, nil); err != nil {
			return err
		}
		r, err := k.reply()
		i = Info{Free: int64(r.Free), Machine: r.Machine, Name: r.Name, Gives: r.Gives}
		return err
	})
	return i, p.wrap(err, "ask for room at")
}

// PutHead hands over a bundle of ours for keeping. ErrStale if the peer keeps
// a newer head.
func (p *Peer) PutHead(ctx context.Context, b crypt.Bundle) error {
	body, err := b.Marshal()
	if err != nil {
		return fmt.Errorf("encode the head: %w", err)
	}
	if len(body) > MaxBundle {
		return fmt.Errorf("put the head: %w: %d bytes", ErrTooLarge, len(body))
	}
	err = p.head.do(ctx, func(k *call) error {
		if err := k.ask(&request{Code: opHeadPut}, body); err != nil {
			return err
		}
		return k.plainYes()
	})
	return p.wrap(err, "put the head at")
}

// Heads returns the bundles of an owner that the peer keeps, newest first, each
// verified; none is no error. Those that do not verify are left out; if that
// leaves nothing, it is ErrWrongBytes.
func (p *Peer) Heads(ctx context.Context, owner crypt.OwnerKey) (heads []crypt.Bundle, err error) {
	err = p.head.do(ctx, func(k *call) error {
		if err := k.ask(&request{Code: opHeadGet, Owner: owner[:]}, nil); err != nil {
			return err
		}
		parts, err := k.parts(MaxBundles * (MaxBundle + 4))
		if err == nil {
			heads, err = verified(parts, owner)
		}
		return err
	})
	return heads, p.wrap(err, "get the heads from")
}

package wire

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/hammockfs/hammock/crypt"
)

// slabs are the buffers through which bodies of puts go to the depot.
var slabs = sync.Pool{New: func() any { b := make([]byte, step); return &b }}

// slicePool holds the buffers in which slices wait to be sent.
var slicePool = sync.Pool{New: func() any { return new([]byte) }}

// put takes one shard: limits, reservation, go on, bytes, commit, yes.
func (c *session) put(ctx context.Context, q *request) error {
	if len(q.Shard) != 32 || q.Body == 0 {
		return refuse(ErrMalformed, "a put needs a shard ID and a body")
	}
	if c.cfg.Depot == nil {
		return refuse(ErrFull, "this node keeps nothing for others")
	}
	giveBack, err := c.gate.take(ctx, int64(q.Body), c.cut)
	if err != nil {
		return err
	}
	defer giveBack()
	p := Put{Shard: crypt.ID(q.Shard), Stripe: q.Stripe, Generation: q.Generation}
	res, err := c.cfg.Depot.Reserve(ctx, c.from.Owner, p, int64(q.Body))
	if err != nil {
		return fmt.Errorf("reserve %d bytes for shard %s: %w", q.Body, p.Shard, err)
	}
	defer res.Abort()
	if err := c.yes(&reply{Code: codeGoOn}, nil); err != nil {
		return err
	}
	if err := c.receive(res, int(q.Body)); err != nil {
		return err
	}
	if err := c.working(ctx, costPut+int64(q.Body), func() error { return res.Commit(ctx) }); err != nil {
		return fmt.Errorf("keep shard %s: %w", p.Shard, err)
	}
	return c.yes(&reply{}, nil)
}

// working does what costs the node more than reading a request, when it is the
// owner's turn.
func (c *session) working(ctx context.Context, cost int64, do func() error) error {
	done, err := c.gate.turn(ctx, cost)
	if err != nil {
		return err
	}
	defer done()
	return do()
}

// checking is working for signatures.
func (c *session) checking(ctx context.Context, do func() error) error {
	done, err := c.gate.sign(ctx)
	if err != nil {
		return err
	}
	defer done()
	return do()
}

// cut ends a body that is in others' way.
func (c *session) cut() {
	c.cfg.Log.Info("a transfer was cut off, for others waited", "peer", c.from.Peer, "name", clean(c.from.Name, maxName))
	c.s.Reset()
}

// receive takes all n bytes of a body, also when the depot has refused the
// first of them: the refusal can only be read where the body ends.
func (c *session) receive(res Reservation, n int) error {
	slab := slabs.Get().(*[]byte)
	defer slabs.Put(slab)
	until := time.Now().Add(c.pace.total(n))
	var failed error
	for n > 0 {
		p := (*slab)[:min(n, len(*slab))]
		if err := c.readBody(p, until); err != nil {
			return broken{err}
		}
		if failed == nil {
			_, failed = res.Write(p)
		}
		n -= len(p)
	}
	if failed != nil {
		return fmt.Errorf("write to the depot: %w", failed)
	}
	return nil
}

// get gives out the slice of a range.
func (c *session) get(ctx context.Context, q *request, max uint64) error {
	if len(q.Shard) != 32 {
		return refuse(ErrMalformed, "a get needs a shard ID")
	}
	if err := checkRange(q.Size, q.Offset, q.Length, max); err != nil {
		return err
	}
	owner, err := c.ownerOf(q)
	if err != nil {
		return err
	}
	if c.cfg.Depot == nil {
		return ErrNotFound
	}
	giveBack, err := c.gate.take(ctx, int64(q.Length), c.cut)
	if err != nil {
		return err
	}
	defer giveBack()
	buf := slicePool.Get().(*[]byte)
	defer slicePool.Put(buf)
	var size int64
	var slice []byte
	give := c.cfg.Depot.Slice
	if q.Unchecked {
		give = c.cfg.Depot.Quote
	}
	err = c.working(ctx, costSmall+int64(q.Length), func() (err error) {
		size, slice, err = give(ctx, owner, crypt.ID(q.Shard), int64(q.Offset), int64(q.Length), (*buf)[:0])
		return err
	})
	if err != nil {
		return fmt.Errorf("read shard %x: %w", q.Shard, err)
	}
	*buf = slice
	if size != int64(q.Size) {
		return refuse(ErrNotFound, "the shard held here has another size")
	}
	return c.yes(&reply{Size: uint64(size)}, slice)
}

// ownerOf says whose shards a request is about: one's own, so far.
func (c *session) ownerOf(q *request) (crypt.OwnerKey, error) {
	if len(q.Owner) == 0 || crypt.OwnerKey(q.Owner) == c.from.Owner {
		return c.from.Owner, nil
	}
	return crypt.OwnerKey{}, refuse(ErrDenied, "this belongs to another owner")
}

func (c *session) has(ctx context.Context, q *request) error {
	if len(q.Shard) != 32 {
		return refuse(ErrMalformed, "a has needs a shard ID")
	}
	owner, err := c.ownerOf(q)
	if err != nil {
		return err
	}
	if c.cfg.Depot == nil {
		return ErrNotFound
	}
	var size int64
	var ok bool
	err = c.working(ctx, costSmall, func() (err error) {
		size, ok, err = c.cfg.Depot.Has(ctx, owner, crypt.ID(q.Shard))
		return err
	})
	if err != nil {
		return fmt.Errorf("look for shard %x: %w", q.Shard, err)
	}
	if !ok {
		return ErrNotFound
	}
	return c.yes(&reply{Size: uint64(size)}, nil)
}

func (c *session) delete(ctx context.Context, q *request) error {
	if len(q.Shard) != 32 || len(q.Signature) != 64 {
		return refuse(ErrMalformed, "a delete needs a shard ID and a signature")
	}
	p := Put{Shard: crypt.ID(q.Shard), Stripe: q.Stripe, Generation: q.Generation}
	if err := c.checking(ctx, func() error { return c.mayDelete(q, p) }); err != nil {
		return err
	}
	if c.cfg.Depot == nil {
		return ErrNotFound
	}
	err := c.working(ctx, costSmall, func() error {
		return c.cfg.Depot.Delete(ctx, c.from.Owner, p.Shard, p.Stripe, p.Generation)
	})
	if err != nil {
		return fmt.Errorf("delete shard %s: %w", p.Shard, err)
	}
	return c.yes(&reply{}, nil)
}

func (c *session) mayDelete(q *request, p Put) error {
	cert, err := c.certificate(q)
	if err != nil {
		return err
	}
	if cert.Owner != c.from.Owner || cert.Rights&crypt.RightWrite == 0 {
		return refuse(ErrDenied, "this device may not delete what its owner has put")
	}
	if c.from.Device.Verify(deleteContext, c.cfg.Swarm, deleteBody(c.from.Owner, p), q.Signature) != nil {
		return refuse(ErrDenied, "the signature under the delete is wrong")
	}
	return nil
}

func (c *session) info(ctx context.Context) error {
	if c.cfg.Info == nil {
		return c.yes(&reply{}, nil)
	}
	var i Info
	err := c.working(ctx, costSmall, func() (err error) {
		i, err = c.cfg.Info(ctx, c.from.Owner)
		return err
	})
	if err != nil {
		return fmt.Errorf("say what is free: %w", err)
	}
	return c.yes(&reply{
		Free: uint64(max(i.Free, 0)), Machine: clean(i.Machine, maxName), Name: clean(i.Name, maxName), Gives: i.Gives,
	}, nil)
}

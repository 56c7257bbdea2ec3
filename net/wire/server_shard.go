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

// put takes one shard: limits, reservation, go on, bytes, commit, yes.
func (c *session) put(ctx context.Context, q *request) error {
	if len(q.Shard) != 32 || q.Body == 0 {
		return refuse(ErrMalformed, "a put needs a shard ID and a body")
	}
	if c.cfg.Depot == nil {
		return refuse(ErrFull, "this node keeps nothing for others")
	}
	giveBack, err := c.gate.take(ctx, int64(q.Body))
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
	if err := res.Commit(ctx); err != nil {
		return fmt.Errorf("keep shard %s: %w", p.Shard, err)
	}
	return c.yes(&reply{}, nil)
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
	giveBack, err := c.gate.take(ctx, int64(q.Length))
	if err != nil {
		return err
	}
	defer giveBack()
	size, slice, err := c.cfg.Depot.Slice(ctx, owner, crypt.ID(q.Shard), int64(q.Offset), int64(q.Length))
	if err != nil {
		return fmt.Errorf("read shard %x: %w", q.Shard, err)
	}
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
	size, ok, err := c.cfg.Depot.Has(ctx, owner, crypt.ID(q.Shard))
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
	cert, err := c.certificate(q)
	if err != nil {
		return err
	}
	if cert.Owner != c.from.Owner || cert.Rights&crypt.RightWrite == 0 {
		return refuse(ErrDenied, "this device may not delete what its owner has put")
	}
	p := Put{Shard: crypt.ID(q.Shard), Stripe: q.Stripe, Generation: q.Generation}
	if c.from.Device.Verify(deleteContext, c.cfg.Swarm, deleteBody(c.from.Owner, p), q.Signature) != nil {
		return refuse(ErrDenied, "the signature under the delete is wrong")
	}
	if c.cfg.Depot == nil {
		return ErrNotFound
	}
	if err := c.cfg.Depot.Delete(ctx, c.from.Owner, p.Shard, p.Stripe, p.Generation); err != nil {
		return fmt.Errorf("delete shard %s: %w", p.Shard, err)
	}
	return c.yes(&reply{}, nil)
}

func (c *session) info(ctx context.Context) error {
	if c.cfg.Info == nil {
		return c.yes(&reply{}, nil)
	}
	i, err := c.cfg.Info(ctx, c.from.Owner)
	if err != nil {
		return fmt.Errorf("say what is free: %w", err)
	}
	return c.yes(&reply{
		Free: uint64(max(i.Free, 0)), Machine: clean(i.Machine, maxName), Name: clean(i.Name, maxName), Gives: i.Gives,
	}, nil)
}

package placement

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hammockfs/hammock/crypt"
)

// A Debt is a shard that a store was sent, or may have been, and that no record says to be there any more: it was overtaken,
// its answer was lost, or its shard went elsewhere while the store was away, lied or was slow. Whoever has it keeps it
// for nothing until it is told.
type Debt struct {
	Store      uint32
	Stripe     uint64
	Shard      crypt.ID
	Generation uint64 // of the newest put of it there, or a later one
}

// Debts keeps debts, one for each store, stripe and shard. Owe is called before the call of Journal that drops the store
// from the record, and is durable when that is. Debts gives them in an order of its choice, at most limit, beginning
// behind after (nil: at the beginning).
type Debts interface {
	Owe(ctx context.Context, debts []Debt) error
	Paid(ctx context.Context, debts []Debt) error
	Debts(ctx context.Context, after *Debt, limit int) ([]Debt, error)
}

// A Deleter is a Store that can forget a shard. ErrNoShard: it has no such shard, or a newer put of it.
type Deleter interface {
	Delete(ctx context.Context, p Put) error
}

const (
	debtsEvery = time.Minute
	debtsRead  = 256 // so many are read at once
	debtLimit  = 20 * time.Second
)

// journalRecord notes a record, by Placed if it is settled, else by Intend. What the record
// before it named and this one does not is owed first.
func (p *Placer) journalRecord(ctx context.Context, rec *Record, settled bool) error {
	if err := p.owe(ctx, rec); err != nil {
		return err
	}
	if settled {
		if err := p.cfg.Journal.Placed(ctx, rec.Stripe, rec.Append(nil)); err != nil {
			return fmt.Errorf("journal the placement of stripe %d: %w", rec.Stripe, err)
		}
		return nil
	}
	if err := p.cfg.Journal.Intend(ctx, rec.Stripe, rec.Append(nil)); err != nil {
		return fmt.Errorf("journal the intent for stripe %d: %w", rec.Stripe, err)
	}
	return nil
}

// owe notes the shards that the newest record in the journal names at stores where rec does not.
func (p *Placer) owe(ctx context.Context, rec *Record) error {
	if p.cfg.Debts == nil {
		return nil
	}
	old, err := p.record(ctx, rec.Stripe)
	if err != nil || old == nil {
		return err
	}
	var debts []Debt
	for _, s := range old.Shards {
		if s.Store != 0 && !rec.names(s.Store, s.ID) {
			debts = append(debts, Debt{s.Store, rec.Stripe, s.ID, old.Generation})
		}
	}
	if len(debts) == 0 {
		return nil
	}
	if err := p.cfg.Debts.Owe(ctx, debts); err != nil {
		return fmt.Errorf("note what stores keep of stripe %d for nothing: %w", rec.Stripe, err)
	}
	p.owing.Store(true)
	return nil
}

// names says whether a shard is, or is meant to be, at a store.
func (r *Record) names(store uint32, id crypt.ID) bool {
	for _, s := range r.Shards {
		if s.Store == store && s.ID == id {
			return true
		}
	}
	return false
}

// safe says whether every shard with this ID is held, so that a copy elsewhere helps nobody.
func (r *Record) safe(id crypt.ID) bool {
	for _, s := range r.Shards {
		if s.ID == id && !s.Held {
			return false
		}
	}
	return r.Placed
}

// payDebts tells stores now and then what they need not keep, until ctx ends. A store that is away is told when it is back.
func (p *Placer) payDebts(ctx context.Context) {
	p.owing.Store(true) // by an earlier run
	for ctx.Err() == nil {
		select {
		case <-time.After(debtsEvery):
		case <-ctx.Done():
			return
		}
		if !p.owing.Swap(false) {
			continue
		}
		left, err := p.payRound(ctx)
		if err != nil && ctx.Err() == nil {
			p.cfg.Log.Warn("stores could not be told what they need not keep; they will be", "err", err)
		}
		if left || err != nil {
			p.owing.Store(true)
		}
	}
}

// payRound goes through all debts once, and says whether some are left.
func (p *Placer) payRound(ctx context.Context) (left bool, err error) {
	ask := map[uint32]bool{}
	known := map[uint32]bool{}
	for _, s := range p.stores() {
		known[s.Number], ask[s.Number] = true, s.Online
	}
	var after *Debt
	for {
		debts, err := p.cfg.Debts.Debts(ctx, after, debtsRead)
		if err != nil {
			return left, err
		}
		var paid []Debt
		for i := range debts {
			d := &debts[i]
			switch {
			case !known[d.Store]: // nobody will ever ask it for anything
				paid = append(paid, *d)
				continue
			case ask[d.Store]:
				done, err := p.pay(ctx, d)
				if ctx.Err() != nil {
					return true, ctx.Err()
				}
				if done {
					paid = append(paid, *d)
					continue
				}
				ask[d.Store] = err == nil // one that fails is not asked again in this round
			}
			left = true
		}
		if len(paid) > 0 {
			if err := p.cfg.Debts.Paid(ctx, paid); err != nil {
				return true, err
			}
		}
		if len(debts) < debtsRead {
			return left, nil
		}
		after = &debts[len(debts)-1]
	}
}

// pay tells a store that it need not keep a shard, unless that is not so any more. The stripe is locked meanwhile: no put of
// the same is under way. A shard that is not held by anybody is left where it may be, for a repair to find.
func (p *Placer) pay(ctx context.Context, d *Debt) (done bool, err error) {
	unlock, err := p.working.lock(ctx, d.Stripe)
	if err != nil {
		return false, err
	}
	defer unlock()
	rec, err := p.record(ctx, d.Stripe)
	switch {
	case err != nil:
		return false, err
	case rec != nil && rec.names(d.Store, d.Shard):
		return true, nil
	case rec != nil && !rec.safe(d.Shard):
		return false, nil
	}
	s, ok := p.cfg.Stores.Store(d.Store)
	if !ok {
		return true, nil
	}
	del, ok := s.(Deleter)
	if !ok {
		return true, nil
	}
	ctx, cancel := context.WithTimeout(ctx, debtLimit)
	defer cancel()
	err = del.Delete(ctx, Put{Shard: d.Shard, Stripe: d.Stripe, Generation: d.Generation})
	if err != nil && !errors.Is(err, ErrNoShard) {
		p.cfg.Log.Debug("a store could not be told what it need not keep", "store", d.Store, "stripe", d.Stripe, "err", err)
		return false, err
	}
	p.stats.deleted.Add(1)
	return true, nil
}

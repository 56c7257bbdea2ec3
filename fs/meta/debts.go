package meta

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/hammockfs/hammock/crypt"
)

// A Debt is a shard that a store has, or may have, and need not keep: no record of the stripe names it there.
type Debt struct {
	Store      uint32
	Stripe     uint64
	Shard      crypt.ID
	Generation uint64 // of its put
}

// name is the key of a debt among local records: of each store, stripe and shard there is one.
func (d *Debt) name() string {
	b := binary.BigEndian.AppendUint32([]byte(localDebt), d.Store)
	b = binary.BigEndian.AppendUint64(b, d.Stripe)
	return string(append(b, d.Shard[:]...))
}

// Owe keeps debts. They are in the journal before whatever is committed afterwards, and durable when that is.
func (d *DB) Owe(ctx context.Context, debts []Debt) error {
	b := newBatch()
	for i := range debts {
		b.putLocal(debts[i].name(), binary.BigEndian.AppendUint64(nil, debts[i].Generation))
	}
	if err := d.commitBatch(ctx, b); err != nil {
		return fmt.Errorf("keep debts: %w", err)
	}
	return nil
}

// Paid forgets debts.
func (d *DB) Paid(ctx context.Context, debts []Debt) error {
	b := newBatch()
	for i := range debts {
		b.deleteLocal(debts[i].name())
	}
	if err := d.commitBatch(ctx, b); err != nil {
		return fmt.Errorf("forget debts: %w", err)
	}
	return nil
}

// Debts returns at most limit debts in the order of their stores and stripes, those behind after, which may be nil.
func (d *DB) Debts(_ context.Context, after *Debt, limit int) (list []Debt, err error) {
	from := localDebt
	if after != nil {
		from = after.name() + "\x00"
	}
	err = d.localsFrom(localDebt, from, func(rest string, v []byte) error {
		debt := Debt{}
		if len(rest) != 12+len(debt.Shard) || len(v) != 8 {
			return fmt.Errorf("%w: debt", ErrFormat)
		}
		debt.Store = binary.BigEndian.Uint32([]byte(rest))
		debt.Stripe = binary.BigEndian.Uint64([]byte(rest[4:]))
		copy(debt.Shard[:], rest[12:])
		debt.Generation = binary.BigEndian.Uint64(v)
		if list = append(list, debt); len(list) >= limit {
			return errStop
		}
		return nil
	})
	if errors.Is(err, errStop) {
		err = nil
	}
	return list, err
}

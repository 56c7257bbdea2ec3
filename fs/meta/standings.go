package meta

import (
	"context"
	"encoding/binary"
	"fmt"
)

// SaveStanding keeps a small value about a store, by its number; 0 is not a store's. It is local, in no head, and not synced:
// a power cut may bring the one before it back. At most 4 KiB.
func (d *DB) SaveStanding(ctx context.Context, store uint32, value []byte) error {
	if len(value) > Page {
		return fmt.Errorf("%w: standing of store %d: %d bytes", ErrTooBig, store, len(value))
	}
	b := newBatch()
	b.putLocal(localStanding+string(binary.BigEndian.AppendUint32(nil, store)), value)
	if err := d.commitBatch(ctx, b); err != nil {
		return fmt.Errorf("keep the standing of store %d: %w", store, err)
	}
	return nil
}

// Standings returns what SaveStanding kept.
func (d *DB) Standings(context.Context) (map[uint32][]byte, error) {
	m := map[uint32][]byte{}
	err := d.locals(localStanding, func(rest string, v []byte) error {
		if len(rest) != 4 {
			return fmt.Errorf("%w: standing of a store", ErrFormat)
		}
		m[binary.BigEndian.Uint32([]byte(rest))] = append([]byte{}, v...)
		return nil
	})
	return m, err
}

// Records calls fn for each stripe that has a record and a number above after, in the order of their numbers, until fn
// returns false. The record is valid during the call.
func (d *DB) Records(ctx context.Context, after uint64, fn func(stripe uint64, record []byte) bool) error {
	if after == ^uint64(0) {
		return nil
	}
	from := binary.BigEndian.AppendUint64(nil, after+1)
	return d.scan(ctx, spaceTable, from, nil, 0, func(rk, v []byte) error {
		if !fn(binary.BigEndian.Uint64(rk), v) {
			return errStop
		}
		return nil
	})
}

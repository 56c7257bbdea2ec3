package meta

import (
	"context"
	"encoding/binary"
	"errors"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"

	"github.com/hammockfs/hammock/crypt"
)

const (
	filterBits  = 1 << 23 // a MiB: of a quarter of a million entries one look in a hundred errs
	filterMarks = 4       // bits of each entry
	filterIndex = 8 << 20 // of the dedup index, in bytes: up to there it is read into the filter at the start
)

// filter says of most chunks that the dedup index does not know them, without a look into each of Pebble's tables: most
// of what is written is new. It errs in one direction only, and the more the fuller it is. Of an index that was large
// when it was opened it says nothing.
type filter struct {
	bits []uint64 // nil: it says nothing
}

// at is the word and the bit of an entry's i-th mark. An ID is a keyed hash, and so random in every part.
func (f *filter) at(id []byte, i int) (*uint64, uint64) {
	n := binary.LittleEndian.Uint32(id[4*i:]) % filterBits
	return &f.bits[n/64], 1 << (n % 64)
}

func (f *filter) add(id []byte) {
	if f.bits == nil {
		return
	}
	for i := range filterMarks {
		word, bit := f.at(id, i)
		atomic.OrUint64(word, bit)
	}
}

// lacks says whether an entry is certainly not there.
func (f *filter) lacks(id []byte) bool {
	if f.bits == nil {
		return false
	}
	for i := range filterMarks {
		word, bit := f.at(id, i)
		if atomic.LoadUint64(word)&bit == 0 {
			return true
		}
	}
	return false
}

// openFilter reads the dedup index into its filter, before anything is added, unless that would take long.
func (d *DB) openFilter(ctx context.Context) error {
	lower := []byte{spaceDedup}
	upper := keyEnd(lower)
	if size, err := d.pebble.EstimateDiskUsage(lower, upper); err != nil || size > filterIndex {
		return err
	}
	it, err := d.pebble.NewIterWithContext(ctx, &pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		return err
	}
	f := filter{bits: make([]uint64, filterBits/64)}
	for ok := it.First(); ok; ok = it.Next() {
		if len(it.Key()) == 1+len(crypt.ID{}) {
			f.add(it.Key()[1:])
		}
	}
	if err := errors.Join(it.Error(), it.Close()); err != nil {
		return err
	}
	d.filter = f
	return nil
}

package check

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/hammockfs/hammock/fs/meta"
)

// TestRandomBreakages puts senseless records among sound ones, and takes some away: a check ends, so does mending, and
// what cannot be mended is the same however often it is tried.
func TestRandomBreakages(t *testing.T) {
	for seed := range uint64(40) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			keys, values := w.records()
			rng := rand.New(rand.NewPCG(seed, 3))
			var steps [][]byte
			for range 1 + rng.IntN(6) {
				steps = append(steps, w.senseless(rng, keys, values))
			}
			w.raw(steps...)
			before, _ := w.check(w.data)
			_, r := w.check(w.data, fix)
			after, again := w.check(w.data, fix)
			if again.Fixed != 0 || again.Left != r.Left {
				t.Errorf("mended: %+v\nmended again: %+v\nfirst found: %v\nthen: %v", r, again, texts(before), texts(after))
			}
			if r.Left == 0 && len(after) != 0 {
				t.Errorf("everything was mended, and this is found: %v", texts(after))
			}
			if r.Left == 0 {
				w.usable()
			}
		})
	}
}

// records lists all records as they lie in the journal.
func (w *world) records() (keys, values [][]byte) {
	must(w.t, w.db.Survey(ctx, func(r *meta.Record) error {
		v := r.Data
		switch r.Kind {
		case meta.KindDirent:
			v = direntValue(r.Dirent.Ino, r.Dirent.Type)
		case meta.KindInode:
			v = inodeValue(&r.Inode)
		}
		keys, values = append(keys, append([]byte(nil), r.Key...)), append(values, append([]byte(nil), v...))
		return nil
	}))
	return keys, values
}

// senseless is one step that breaks something: a record gone, cut, changed, or put where another belongs.
func (w *world) senseless(rng *rand.Rand, keys, values [][]byte) []byte {
	i, j := rng.IntN(len(keys)), rng.IntN(len(keys))
	key, v := keys[i], append([]byte(nil), values[i]...)
	switch rng.IntN(6) {
	case 0:
		return step(opDelete, key, nil)
	case 1:
		if len(v) > 0 {
			v[rng.IntN(len(v))] ^= byte(1 + rng.IntN(255))
		}
	case 2:
		v = v[:rng.IntN(len(v)+1)]
	case 3:
		v = append([]byte(nil), values[j]...)
	case 4: // the record of an inode that may not be there
		key = append([]byte(nil), key...)
		binary.BigEndian.PutUint64(key, binary.BigEndian.Uint64(keys[j])+uint64(rng.IntN(3)))
	case 5: // a directory entry that leads anywhere
		key = append(numbered(binary.BigEndian.Uint64(keys[j]), meta.KindDirent, 16+rng.Uint64N(1<<62)), "somewhere"...)
		v = direntValue(binary.BigEndian.Uint64(key)+uint64(rng.IntN(4))-1, uint8(rng.IntN(16)))
	}
	return step(opPut, key, v)
}

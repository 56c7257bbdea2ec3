package cache

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/hammockfs/hammock/crypt"
)

// chunk is a chunk that was put, and what it was.
type chunk struct {
	ref   crypt.Ref
	plain []byte
}

// place gives all closed stripes to the stores.
func place(r *rig) {
	for _, s := range r.Closed() {
		if b, class, err := r.Payload(ctx, s.Number, nil); err == nil && s.Pinned {
			r.stores.mu.Lock()
			r.stores.m[s.Number] = placed{class, b}
			r.stores.mu.Unlock()
			r.check(r.Sync(ctx, s.Number))
			r.Unpin(s.Number)
		}
	}
}

// TestFullDisk lets the disk become full at every operation of a life. Nothing
// hangs, errors are ErrFull, what was put can be read, and it goes on when there
// is space again.
func TestFullDisk(t *testing.T) {
	for at := int64(1); ; at += 3 {
		var ops, hits atomic.Int64
		var off atomic.Bool
		r := newRig(t, func(c *Config) {
			c.Limit, c.Target = 400<<10, func(uint8) int { return 16 << 10 }
			c.FS = errorfs.Wrap(c.FS, errorfs.InjectorFunc(func(op errorfs.Op) error {
				switch op.Kind {
				case errorfs.OpCreate, errorfs.OpFileWrite, errorfs.OpFileWriteAt, errorfs.OpRename:
					if ops.Add(1) >= at && !off.Load() {
						hits.Add(1)
						return syscall.ENOSPC
					}
				}
				return nil
			}))
		})
		var kept []chunk
		life := func(from, to int) {
			for i := from; i < to; i++ {
				plain := random(uint64(i), 3000)
				ref, err := r.Put(ctx, uint8(1+i%3), plain)
				if err == nil {
					kept = append(kept, chunk{ref, plain})
				} else if !errors.Is(err, ErrFull) || off.Load() {
					t.Fatalf("from operation %d on: put %d: %v", at, i, err)
				}
				if i%7 == 3 {
					r.check(r.Sync(ctx))
				}
				if i%10 == 9 {
					_, err := r.CloseStripes(ctx, 0)
					r.check(err)
					place(r)
				}
				if i%15 == 14 {
					_, err := r.Drop(ctx)
					r.check(err)
				}
				r.Tick(ctx)
				for _, k := range kept {
					if got, err := r.Get(ctx, &k.ref, nil); err != nil || !bytes.Equal(got, k.plain) {
						t.Fatalf("from operation %d on: %v", at, err)
					}
				}
			}
		}
		life(0, 20)
		if at%2 == 0 {
			closed := make(chan struct{})
			go func() { _ = r.Cache.Close(context.Background()); close(closed) }()
			select {
			case <-closed:
			case <-time.After(20 * time.Second):
				t.Fatal("Close hangs")
			}
			off.Store(true)
			r.open()
		}
		off.Store(true)
		life(20, 30)
		if hits.Load() == 0 {
			t.Logf("%d operations", at)
			return
		}
	}
}

// TestTornIsNotTrusted syncs a stripe that a power cut tore: its holes stay
// holes. One that was closed in order is trusted without a look.
func TestTornIsNotTrusted(t *testing.T) {
	r := newRig(t, nil)
	ref := r.put(ClassData, random(1, 50_000))
	cfg := r.cfg
	cfg.FS = r.fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: rand.New(rand.NewPCG(1, 1))})
	torn := func(want bool) {
		t.Helper()
		c, err := Open(cfg)
		r.check(err)
		r.check(c.Sync(ctx))
		c.Unpin(ref.Stripe)
		if valid(c, &ref) != want {
			t.Errorf("valid is not %v", want)
		}
		r.check(c.Close(ctx))
	}
	torn(true)
	f, err := cfg.FS.OpenReadWrite(cfg.FS.PathJoin(cfg.Dir, stripeName(ref.Stripe, ClassData, 0)), "test")
	r.check(err)
	_, err = f.WriteAt(make([]byte, 4096), 4096)
	r.check(errors.Join(err, f.Close()))
	torn(false)
	torn(false)
	r.reopen()
	if n, ok := r.list.has(ref.Stripe); !ok || n != ref.SealedLen() {
		t.Errorf("%d bytes are listed, %v", n, ok)
	}
}

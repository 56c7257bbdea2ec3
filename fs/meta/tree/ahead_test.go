package tree

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// farNodes are nodes behind a network: what is not near takes delay, and what is prefetched comes meanwhile.
type farNodes struct {
	memNodes
	delay time.Duration

	lock sync.Mutex
	near map[string]chan struct{} // closed when it is here
	far  int                      // fetched
}

func (f *farNodes) fetch(p Pointer) chan struct{} {
	f.lock.Lock()
	defer f.lock.Unlock()
	here, ok := f.near[string(p)]
	if !ok {
		here = make(chan struct{})
		f.near[string(p)] = here
		f.far++
		time.AfterFunc(f.delay, func() { close(here) })
	}
	return here
}

func (f *farNodes) Get(ctx context.Context, p Pointer) ([]byte, error) {
	if f.delay > 0 {
		<-f.fetch(p)
	}
	return f.memNodes.Get(ctx, p)
}

func (f *farNodes) Prefetch(list []Pointer) {
	for _, p := range list {
		f.fetch(p)
	}
}

// TestReadAhead lists a cold directory of 13,000 files as ls -l does: some names, then the inodes of those, and so on.
func TestReadAhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const files = 13_000
		f := &farNodes{near: map[string]chan struct{}{}}
		ctx := t.Context()
		s := New(f, 8<<20)
		n := uint64(0)
		key := func(i uint64) []byte {
			if i < files {
				return fmt.Appendf(nil, "dir %08d a name of some length", i)
			}
			return fmt.Appendf(nil, "ino %08d", i-files)
		}
		root, err := s.Fold(ctx, Root{}, func() (Edit, bool, error) {
			if n == 2*files {
				return Edit{}, false, nil
			}
			n++
			return Edit{Op: Put, Key: key(n - 1), Value: make([]byte, 100)}, true, nil
		})
		if err != nil {
			t.Fatal(err)
		}
		f.delay = 40 * time.Millisecond
		s = New(f, 8<<20)
		begin := time.Now()
		for i := uint64(0); i < files; i += 200 {
			it := s.Seek(ctx, root, key(i))
			for j := uint64(0); j < 200 && it.Next(); j++ {
			}
			if it.Err() != nil {
				t.Fatal(it.Err())
			}
			for j := i; j < i+200; j++ {
				if _, ok, err := s.Get(ctx, root, key(files+j), nil); err != nil || !ok {
					t.Fatal(ok, err)
				}
			}
		}
		waits := int(time.Since(begin) / f.delay)
		t.Logf("%d leaves, %d fetched, %d waits", f.leafs, f.far, waits)
		if waits > 40 || f.far > f.leafs+f.leafs/8 {
			t.Error("too many")
		}
		lone(t, f, root, key(files/2))
	})
}

// lone reads one key of a cold tree: nothing is fetched that is not on the way to it.
func lone(t *testing.T, f *farNodes, root Root, key []byte) {
	f.near, f.far = map[string]chan struct{}{}, 0
	s := New(f, 8<<20)
	if _, _, err := s.Get(t.Context(), root, key, nil); err != nil || f.far != int(root.Height) {
		t.Errorf("%d nodes for one key, %v", f.far, err)
	}
}

package volume

import (
	"fmt"
	"slices"
	"sync"
	"testing"
)

// TestListingEnd asks again and again what comes behind entries, as somebody does
// who has a listing open: a name that a directory gets in whatever way is there.
func TestListingEnd(t *testing.T) {
	w := start(t)
	dir, other := w.mkdir(t, Root, "dir"), w.mkdir(t, Root, "other")
	ways := []func(name string) error{
		func(name string) error { release(t, w.create(t, dir, name)); return nil },
		func(name string) error { w.mkdir(t, dir, name); return nil },
		func(name string) error {
			f := w.create(t, other, name)
			release(t, f)
			_, err := w.v.Link(ctx, f.Ino(), dir, name+"link")
			return err
		},
		func(name string) error {
			release(t, w.create(t, other, name))
			return w.v.Rename(ctx, other, name, dir, name+"moved", 0)
		},
		func(name string) error {
			release(t, w.create(t, dir, name))
			return w.v.Rename(ctx, dir, name, dir, name+"renamed", 0)
		},
		func(name string) error {
			release(t, w.create(t, dir, name))
			return w.v.Unlink(ctx, dir, name)
		},
	}
	cookies := []uint64{1}
	for i := range 120 {
		must(t, ways[i%len(ways)](fmt.Sprint("name", i)))
		for range 2 {
			for _, after := range cookies {
				got, err := w.v.ReadDir(ctx, dir, after, 50)
				must(t, err)
				want, err := w.db.ReadDir(ctx, dir, after, 50)
				must(t, err)
				if !slices.Equal(got, want) {
					t.Fatalf("after %d changes there are %v behind %d, and %v are listed", i+1, want, after, got)
				}
			}
			if last, err := w.db.ReadDir(ctx, dir, 1, 1000); err != nil || len(last) > 0 {
				must(t, err)
				cookies = []uint64{last[len(last)-1].Cookie, last[len(last)/2].Cookie, last[0].Cookie, 1}
			}
		}
	}
}

// TestListingWhileMaking lists a directory to its end while names are made in it:
// a name that was there before the listing began is in it.
func TestListingWhileMaking(t *testing.T) {
	w := start(t)
	dir := w.mkdir(t, Root, "dir")
	var wg sync.WaitGroup
	for k := range 2 {
		wg.Go(func() {
			for i := range 200 {
				name := fmt.Sprint("name", k, i)
				release(t, w.create(t, dir, name))
				var after uint64 = 1
				found := false
				for {
					list, err := w.v.ReadDir(ctx, dir, after, 64)
					if err != nil {
						t.Error(err)
						return
					}
					if len(list) == 0 {
						break
					}
					after = list[len(list)-1].Cookie
					found = found || slices.ContainsFunc(list, func(e Entry) bool { return e.Name == name })
				}
				if !found {
					t.Errorf("%s was made and is not listed", name)
					return
				}
			}
		})
	}
	wg.Wait()
}

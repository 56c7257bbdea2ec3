package volume

import (
	"fmt"
	"testing"
	"time"

	"github.com/hammockfs/hammock/fs/meta"
)

// TestLongAbsence writes a little before each of six hundred checkpoints, with
// nobody there to take a stripe: journal and deltas stay within their bounds, and
// the cache grows by what is new and no more.
func TestLongAbsence(t *testing.T) {
	const rounds, names, mostDeltas = 600, 20, 48
	w := start(t)
	var files []*File
	for i := range names {
		files = append(files, w.create(t, Root, fmt.Sprint("file", i)))
	}
	say := func(i int) []byte { return fmt.Appendf(nil, "this is round %5d", i) }
	for i := range rounds {
		w.clock.advance(30 * time.Second)
		write(t, files[i%names], say(i), 0)
		must(t, files[i%names].Flush(ctx))
		must(t, w.v.WriteBack(ctx, 0))
		_, _, err := w.db.Checkpoint(ctx, meta.CheckpointOptions{})
		must(t, err)
		if s := w.db.Stats(); s.JournalBytes > 2*w.log || s.Deltas > mostDeltas {
			t.Fatalf("after %d checkpoints: %+v", i+1, s)
		}
	}
	if u := w.cache.Usage(); u.Bytes > 1024*rounds || u.Stripes > rounds*5/4 {
		t.Errorf("the cache has %+v", u)
	}
	for _, f := range files {
		must(t, f.Release(ctx))
	}
	w.reopen(t)
	for i, f := range files {
		w.wantContent(t, "after a restart", f.Ino(), say(rounds-names+i))
	}
}

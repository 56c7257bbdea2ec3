package main

import (
	"testing"
	"testing/synctest"
	"time"
)

// TestWriteMeter: much in a short time is much, the same over a long one is not,
// and what was written before the first look, or long ago, does not count.
func TestWriteMeter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var m writeMeter
		want := func(what string, yes bool) {
			t.Helper()
			if m.busy() != yes {
				t.Errorf("%s: %v", what, !yes)
			}
		}
		want("without a volume", false)
		written := int64(1 << 40)
		m.attach(func() int64 { return written })
		time.Sleep(time.Second)
		want("nothing written", false)
		written += 4 << 20
		time.Sleep(10 * time.Second)
		want("a stripe, after a pause", true)
		time.Sleep(10 * time.Millisecond)
		want("only just after", true)
		time.Sleep(50 * time.Millisecond)
		want("nothing more", false)
		for range 20 {
			written += 64 << 10
			time.Sleep(50 * time.Millisecond)
			want("a little all the time", false)
		}
		for range 20 {
			written += 4 << 20
			time.Sleep(50 * time.Millisecond)
			want("much all the time", true)
		}
	})
}

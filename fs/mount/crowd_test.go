package mount

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/hammockfs/hammock/fs/volume"
)

// endAll ends reads as if they were served.
func endAll(list []*request) {
	for _, r := range list {
		r.end()
	}
}

// crowdOf is so many reads that wait.
func crowdOf(c *crowd, n int) (list []*request) {
	for range n {
		r := newRequest(nil, new(atomic.Bool))
		r.crowd = c
		r.Done()
		list = append(list, r)
		time.Sleep(time.Millisecond) // of the bubble: each waits a little longer than the next
	}
	return list
}

// crowded counts those that were sent away.
func crowded(list []*request) (n int) {
	for _, r := range list {
		if errors.Is(r.Err(), errCrowded) {
			n++
		}
	}
	return n
}

// Where nobody is served, those that wait longest make room for others.
func TestCrowd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		list := crowdOf(&crowd{limit: crowdLimit}, maxBackground)
		defer endAll(list)
		time.Sleep(crowdPatience - time.Second)
		if n := crowded(list); n > 0 {
			t.Errorf("%d reads gave up early", n)
		}
		time.Sleep(2 * time.Second)
		if n := crowded(list); n != maxBackground-crowdLimit || n != crowded(list[:n]) {
			t.Errorf("%d reads gave up", n)
		}
		time.Sleep(waitLimit)
		if n := crowded(list); n != maxBackground-crowdLimit {
			t.Errorf("%d reads gave up in the end", n)
		}
	})
}

// Where one after the other is served, the rest waits for its turn.
func TestCrowdThatIsServed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &crowd{limit: crowdLimit}
		served := crowdOf(c, 5)
		list := crowdOf(c, maxBackground)
		defer endAll(list)
		for _, r := range served {
			time.Sleep(crowdPatience - time.Second)
			r.end()
		}
		if n := crowded(list); n > 0 {
			t.Errorf("%d reads gave up although others were served", n)
		}
	})
}

// A request that changes something gives stores no more time than any other, and
// its caller can be killed, but it has no deadline.
func TestPatientRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dying := new(atomic.Bool)
		cancel := make(chan struct{})
		r := newRequest(cancel, dying)
		r.patient = true
		defer r.end()
		child, stop := context.WithCancel(r)
		defer stop()
		if until, ok := child.Value(volume.StoresUntil).(time.Time); !ok || time.Until(until) != waitLimit {
			t.Error("stores are not told how long they have")
		}
		if _, ok := child.Deadline(); ok {
			t.Error("it has a deadline")
		}
		time.Sleep(2 * waitLimit)
		if r.Err() != nil {
			t.Error(r.Err())
		}
		dying.Store(true)
		close(cancel)
		<-child.Done()
		if !errors.Is(r.Err(), errKilled) {
			t.Error(r.Err())
		}
	})
}

func TestLateness(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		read := func(ino, off uint64) *fuse.ReadIn {
			return &fuse.ReadIn{InHeader: fuse.InHeader{NodeId: ino}, Offset: off, Size: 4096}
		}
		var l lateness
		for i := range uint64(2 * lateMost) {
			l.note(read(7, i*4096))
		}
		l.note(read(5, 8192))
		for _, c := range []struct {
			ino, off uint64
			want     bool
		}{{5, 8192, true}, {5, 10000, true}, {5, 4096, false}, {5, 12288, false}, {6, 8192, false}} {
			if l.again(read(c.ino, c.off)) != c.want {
				t.Errorf("inode %d at %d: %v", c.ino, c.off, !c.want)
			}
		}
		time.Sleep(lateFor + time.Millisecond)
		if l.again(read(5, 8192)) || len(l.list) > 0 {
			t.Error("it is remembered for too long")
		}
	})
}

// What a close does ends with the server alone, but gives all stores together no
// more time than a request has.
func TestLasting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		s := &Server{ctx: ctx, limit: waitLimit}
		l := s.lasting()
		if until, ok := l.Value(volume.StoresUntil).(time.Time); !ok || time.Until(until) != waitLimit {
			t.Error("stores are not told how long they have")
		}
		if _, ok := l.Deadline(); ok || l.Err() != nil {
			t.Error("it has a deadline")
		}
		stop()
		if l.Err() == nil {
			t.Error("it outlives the server")
		}
	})
}

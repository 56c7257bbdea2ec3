package swarmsim

import (
	"bytes"
	"context"
	"time"

	"github.com/hammockfs/hammock/placement"
)

// session is one run of the owner's program: it uploads what is not placed, looks after what is, reads a little, and ends in
// peace or is killed.
func (o *owner) session(calm bool) {
	defer o.asleep()
	o.rest(time.Duration(o.rng.IntN(10 * 60e9)))
	proc := &process{o: o, died: make(chan struct{}), fuse: -1}
	if !calm && o.rng.IntN(4) == 0 {
		proc.fuse = 1 + o.rng.IntN(8)
	}
	proc.placer = placement.New(placement.Config{Policy: placement.Policy4x2, Stores: proc, Payloads: proc, Journal: proc,
		Records: proc, Notes: proc, Debts: proc, Pad: o.pad, AuditEvery: o.w.cfg.AuditEvery, Seed: o.rng.Uint64() | 1})
	o.begin(proc) // all of it before Run looks: else it were chance what Run takes first
	ran := make(chan struct{})
	go func() {
		defer close(ran)
		_ = proc.placer.Run(context.Background())
	}()
	o.live(proc)
	o.rest(time.Millisecond) // what the last read has led to has begun, or never does
	proc.placer.Close()
	<-ran
	o.w.mu.Lock()
	defer o.w.mu.Unlock()
	delete(o.w.procs, proc)
	proc.dead = true
}

func (o *owner) asleep() {
	o.w.mu.Lock()
	defer o.w.mu.Unlock()
	o.busy = false
}

// rest sleeps; what is drawn is not drawn twice.
func (o *owner) rest(d time.Duration) { time.Sleep(d + time.Duration(o.id)*time.Nanosecond) }

// begin enqueues what a start finds to do: stripes that are not placed. The rest is the placer's to find.
func (o *owner) begin(proc *process) {
	for _, s := range o.unplaced(proc) {
		proc.placer.Enqueue(s.number, s.class)
	}
}

func (o *owner) unplaced(proc *process) (out []*stripe) {
	w := o.w
	w.mu.Lock()
	defer w.mu.Unlock()
	w.procs[proc] = true
	if len(o.numbers) < o.due() {
		o.write()
	}
	for _, number := range o.numbers {
		if s := o.stripes[number]; !s.record.Placed {
			out = append(out, s)
		}
	}
	return out
}

// due is how many stripes the owner has written by now.
func (o *owner) due() int { return o.w.cfg.Stripes + o.w.cfg.Stripes*min(o.w.day, o.w.cfg.Days)/900 }

// live passes the session's time with a few reads.
func (o *owner) live(proc *process) {
	for range 4 {
		timer := time.NewTimer(time.Duration(3*60e9 + o.rng.IntN(8*60e9)))
		select {
		case <-timer.C:
			o.read(proc)
		case <-proc.died:
			timer.Stop()
			return
		}
	}
}

// read reads a stripe and compares. With k shards in reach of an honest network it must not fail.
func (o *owner) read(proc *process) {
	w := o.w
	w.mu.Lock()
	s := o.stripes[o.numbers[o.rng.IntN(len(o.numbers))]]
	readable, epoch := s.record.Placed && w.reachable(o, s), w.epoch
	placed := s.record.Placed
	w.mu.Unlock()
	if !placed {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	off := o.rng.IntN(s.size)
	n := 1 + o.rng.IntN(s.size-off)
	got, err := proc.placer.Fetch(ctx, s.number, nil, off, n, nil)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.report.Reads++
	w.note(o, "read", s.number, off, uint32(n), err)
	switch {
	case err == nil && !bytes.Equal(got, o.payload(s)[off:off+n]):
		w.fail("owner %d reads wrong bytes of stripe %d", o.id, s.number)
	case err != nil && readable && epoch == w.epoch && !proc.dead:
		w.fail("owner %d cannot read stripe %d, of which k shards are in reach: %v", o.id, s.number, err)
	case err != nil:
		w.report.Unreadable++
	}
}

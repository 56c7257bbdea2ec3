package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/hammockfs/hammock/crypt"
	"github.com/hammockfs/hammock/fs/cache"
	"github.com/hammockfs/hammock/fs/check"
	"github.com/hammockfs/hammock/fs/meta"
	"github.com/hammockfs/hammock/placement"
)

// check proves the volume whole and says what is wrong.
func (d *drive) check(ctx context.Context, o checkOptions, step func(checkStep)) (check.Report, error) {
	if d.volume != nil {
		if err := d.volume.Sync(ctx); err != nil {
			return check.Report{}, fmt.Errorf("the check could not begin: %w", err)
		}
		if err := d.awaitStrays(ctx); err != nil {
			return check.Report{}, fmt.Errorf("the check could not begin: %w", err)
		}
	}
	r, err := check.Run(ctx, d.checkConfig(o, step))
	if err != nil {
		return r, exitError{fmt.Errorf("the check could not go on: %w", err), statusOperational}
	}
	return r, verdict(&r, o.Fix)
}

// verdict is the error that a report comes to, with its exit status.
func verdict(r *check.Report, fix bool) error {
	switch {
	case r.Left > 0 && !fix:
		return exitError{fmt.Errorf("%d problems were found; nothing was changed", r.Left), statusDamaged}
	case r.Blocked > 0:
		return exitError{fmt.Errorf("%d problems are left, %d of which cannot be mended while the volume is mounted: "+
			"`hammock unmount`, then `hammock check --fix` again", r.Left, r.Blocked), statusDamaged}
	case r.Left > 0:
		return exitError{fmt.Errorf("%d problems are left", r.Left), statusDamaged}
	case r.Fixed > 0:
		return exitError{fmt.Errorf("%d things were put right", r.Fixed), statusCorrected}
	}
	return nil
}

func (d *drive) checkConfig(o checkOptions, step func(checkStep)) check.Config {
	stores := map[uint32]bool{}
	for _, s := range d.stores.table() {
		stores[s.Number] = true
	}
	last := time.Now()
	var mu sync.Mutex // of last and step
	say := func(s checkStep) {
		mu.Lock()
		defer mu.Unlock()
		if s.Line == "" && time.Since(last) < progressEvery/3 {
			return
		}
		last = time.Now()
		step(s)
	}
	cfg := check.Config{
		DB: d.db, Fix: o.Fix, Unreachable: func(err error) bool { return errors.Is(err, cache.ErrUnreachable) },
		Stripe:   func(number uint64, record []byte) check.Stripe { return d.inspect(number, record, stores) },
		Say:      func(f *check.Finding) { say(checkStep{Line: findingText(f)}) },
		Progress: func(what string, n, of int) { say(checkStep{Phase: what, Done: n, Total: of}) },
		Heal:     d.heal,
	}
	if d.volume != nil {
		cfg.Settled = d.volume.Settled
	}
	if o.Data {
		cfg.Verify = func(ctx context.Context, r *crypt.Ref) (bool, error) { return d.cache.Verify(ctx, r) }
	}
	if o.Peers {
		cfg.Shards = func(ctx context.Context, _ uint64, record []byte) (check.Shards, error) {
			x, err := d.placer.Inspect(ctx, record, o.Data)
			if errors.Is(err, placement.ErrRecord) {
				return check.Shards{}, nil // which is found elsewhere
			}
			return check.Shards{Need: x.Need, Good: x.Good, Missing: x.Missing, Away: x.Away, Lost: x.Lost}, err
		}
	}
	return cfg
}

// inspect says what is known of a stripe beside what files say.
func (d *drive) inspect(number uint64, record []byte, stores map[uint32]bool) check.Stripe {
	s := check.Stripe{Here: -1}
	if n, ok := d.cache.Local(number); ok {
		s.Here = n
	}
	if record == nil {
		return s
	}
	s.Bad = placement.Flaws(number, record, stores)
	if r, err := placement.ParseRecord(record); err == nil {
		s.Placed, s.Payload = r.Placed, int(r.Payload)
		if s.Here >= 0 && s.Here != s.Payload {
			s.Bad = append(s.Bad, fmt.Sprintf("it says %d bytes, and %d are here", s.Payload, s.Here))
		}
	}
	return s
}

// heal sees to a stripe that lacks shards: at once if nothing else would, else when there is time.
func (d *drive) heal(ctx context.Context, stripe uint64) error {
	if d.volume != nil {
		d.placer.Heal(stripe)
		return nil
	}
	return d.placer.Repair(ctx, stripe)
}

func findingText(f *check.Finding) string {
	text := f.Text
	if f.Path != "" {
		text += " (" + f.Path + ")"
	}
	if f.Note {
		return fmt.Sprintf("note: %s [%s]", text, f.Rule)
	}
	return fmt.Sprintf("%s [%s]", text, f.Rule)
}

// reportText sums up a check in one line.
func reportText(r *check.Report) string {
	text := fmt.Sprintf("%d inodes, %d directories with %d entries, %d extents in %d stripes", r.Inodes, r.Dirs, r.Entries, r.Extents, r.Stripes)
	if r.Read > 0 {
		text += ", " + showSize(r.Read) + " read and verified"
	}
	if r.Shards > 0 {
		text += fmt.Sprintf(", %d shards proved by peers", r.Shards)
	}
	if r.Unneeded > 0 {
		text += fmt.Sprintf(", %d more stripes that nothing needs", r.Unneeded)
	}
	switch {
	case r.Problems == 0:
		return text + ": clean"
	case r.Left == 0:
		return fmt.Sprintf("%s: %d problems, all mended", text, r.Problems)
	case r.Left < r.Problems:
		return fmt.Sprintf("%s: %d problems, %d left", text, r.Problems, r.Left)
	}
	return fmt.Sprintf("%s: %d problems", text, r.Problems)
}

// damaged gives the error of opening a volume its exit status: 4 where what is there is damaged, and a check that could
// begin would say no less.
func damaged(err error) error {
	if meta.Damaged(err) {
		return exitError{err, statusDamaged}
	}
	return err
}

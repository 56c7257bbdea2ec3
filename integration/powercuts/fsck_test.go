package powercuts

import (
	"errors"
	"fmt"
	"strings"

	"github.com/hammockfs/hammock/fs/cache"
	"github.com/hammockfs/hammock/fs/check"
	"github.com/hammockfs/hammock/placement"
)

// fsck is `hammock check --data`: every rule of the records, and every byte.
func (r *running) fsck() error {
	orphans, err := r.db.Orphans(ctx)
	if err != nil {
		return err
	}
	if len(orphans) > 0 {
		return fmt.Errorf("inodes %d are orphans after a start", orphans)
	}
	stores := map[uint32]bool{}
	for _, s := range r.db.Stores() {
		stores[s.Number] = true
	}
	var found []string
	report, err := check.Run(ctx, check.Config{
		DB: r.db, Verify: r.cache.Verify, Settled: r.volume.Settled,
		Unreachable: func(err error) bool { return errors.Is(err, cache.ErrUnreachable) },
		Stripe:      func(number uint64, record []byte) check.Stripe { return r.stripe(number, record, stores) },
		Say: func(f *check.Finding) {
			if !f.Note {
				found = append(found, fmt.Sprintf("%s: %s %s", f.Rule, f.Text, f.Path))
			}
		},
	})
	if err == nil && report.Left > 0 {
		err = fmt.Errorf("a check finds: %s", strings.Join(found, "\n"))
	}
	return err
}

// stripe says what is known of a stripe beside what files say.
func (r *running) stripe(number uint64, record []byte, stores map[uint32]bool) check.Stripe {
	s := check.Stripe{Here: -1}
	if n, ok := r.cache.Local(number); ok {
		s.Here = n
	}
	if rec, err := placement.ParseRecord(record); err == nil {
		s.Placed, s.Payload = rec.Placed, int(rec.Payload)
	}
	if record != nil {
		s.Bad = placement.Flaws(number, record, stores)
	}
	return s
}

package check

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/hammockfs/hammock/crypt"
	"github.com/hammockfs/hammock/fs/meta"
)

// stores looks at what has no rounds: the journal on the disk, and the overlay.
func (c *checker) stores(ctx context.Context) error {
	c.Progress("journal", 0, 0)
	err := c.DB.VerifyJournal(ctx, func(err error) { c.found(&Finding{Rule: Journal, Text: err.Error()}) })
	if err != nil {
		return err
	}
	c.Progress("overlay", 0, 0)
	return c.DB.VerifyOverlay(ctx, func(err error) { c.found(&Finding{Rule: Overlay, Text: err.Error()}) })
}

// metadata visits the chunks of the trees. Without Verify, nodes that are in memory are believed.
func (p *pass) metadata(ctx context.Context) error {
	n := 0
	visit := func(r *crypt.Ref) error {
		if n++; n%1000 == 0 {
			p.Progress("tree nodes", n, 0)
		}
		p.uses.add(use{r.Stripe, 0, r.Offset, uint32(r.SealedLen())})
		if p.Verify == nil {
			return ctx.Err()
		}
		rotten, err := p.Verify(ctx, r)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			p.problem(Data, 0, nil, "a piece of the trees does not open: %v", err)
		case rotten:
			p.note(Data, 0, nil, "a piece of the trees in stripe %x was rotten here; good bytes of peers have replaced it", r.Stripe)
		}
		p.read += int64(r.Len)
		return nil
	}
	return p.DB.VerifyTrees(ctx, visit, func(err error) { p.problem(Tree, 0, nil, "%v", err) })
}

// stripe says what is known of a stripe.
func (p *pass) stripe(ctx context.Context, number uint64) (Stripe, []byte, error) {
	b, err := p.DB.Record(ctx, number)
	if err != nil && !errors.Is(err, meta.ErrNotExist) {
		return Stripe{}, nil, fmt.Errorf("find out where stripe %x is: %w", number, err)
	}
	if len(b) == 0 {
		b = nil
	}
	return p.Stripe(number, b), b, nil
}

// judgeStripes goes through the stripes that something lies in.
func (p *pass) judgeStripes(ctx context.Context) error {
	p.uses.sort(func(a, b *use) bool {
		switch {
		case a.stripe != b.stripe:
			return a.stripe < b.stripe
		case a.off != b.off:
			return a.off < b.off
		case a.len != b.len:
			return a.len < b.len
		}
		return a.ino < b.ino
	})
	for i := 0; i < p.uses.len(); {
		stripe := p.uses.at(i).stripe
		j := i + 1
		for j < p.uses.len() && p.uses.at(j).stripe == stripe {
			j++
		}
		s, _, err := p.stripe(ctx, stripe)
		if err != nil {
			return err
		}
		if len(p.needed)%1000 == 999 {
			p.Progress("stripes", len(p.needed), 0)
		}
		p.needed = append(p.needed, stripe)
		p.judgeUses(&s, i, j)
		if err := ctx.Err(); err != nil {
			return err
		}
		i = j
	}
	return nil
}

// judgeUses looks at the runs [i, j) of one stripe.
func (p *pass) judgeUses(s *Stripe, i, j int) {
	size := max(s.Payload, s.Here)
	told := map[uint64]bool{}
	tell := func(u *use, format string, args ...any) {
		if told[u.ino] {
			return
		}
		told[u.ino] = true
		what := fmt.Sprintf(format, args...)
		if u.ino == 0 {
			p.problem(Bytes, 0, nil, "metadata: %s", what)
			return
		}
		p.problem(Bytes, u.ino, p.fixGone(u.ino), "inode %d: %s", u.ino, what)
	}
	if s.there() {
		p.payload += int64(size)
	}
	var last *use
	for ; i < j; i++ {
		u := p.uses.at(i)
		end := int64(u.off) + int64(u.len)
		switch {
		case !s.there():
			tell(u, "stripe %x, which holds bytes of it, is neither here nor on peers", u.stripe)
			continue
		case end > int64(size):
			tell(u, "bytes of it lie at %d to %d of stripe %x, which has %d", u.off, end, u.stripe, size)
			continue
		}
		if last != nil && u.off == last.off && u.len == last.len {
			continue // the same bytes once more
		}
		if last != nil && int64(last.off)+int64(last.len) > int64(u.off) {
			p.problem(Bytes, u.ino, nil, "inode %d: bytes of it at %d of stripe %x lie over others at %d, and not both can be right", u.ino, u.off, u.stripe, last.off)
		}
		p.live += int64(u.len)
		last = u
	}
}

// judgeRecords goes through the records of stripes, and finds stripes that nothing needs.
func (p *pass) judgeRecords(ctx context.Context) error {
	var numbers []uint64
	err := p.DB.Stripes(ctx, func(stripe uint64, record []byte) error {
		s := p.Stripe(stripe, record)
		for _, bad := range s.Bad {
			p.problem(Record, 0, p.fixStripe(stripe, &s), "the record of stripe %x: %s", stripe, bad).live = true
		}
		if _, needed := slices.BinarySearch(p.needed, stripe); !needed {
			p.unneeded++
		}
		numbers = append(numbers, stripe)
		return nil
	})
	if err != nil && ctx.Err() == nil {
		p.problem(Tree, 0, nil, "the table of stripes cannot be read to its end: %v", err)
	}
	told := map[uint32]bool{}
	for _, n := range numbers {
		if err := p.numbers.Given(n, p.numbers.Stripes); err != nil {
			p.number(told, n, "stripe", err)
		}
	}
	return ctx.Err()
}

// number tells that a number may be given out again, once for each session.
func (p *pass) number(told map[uint32]bool, number uint64, what string, err error) {
	session := meta.SessionOf(number)
	if told[session] {
		return
	}
	told[session] = true
	var fix repair
	if !slices.Contains(p.numbers.Sessions, session) {
		fix = func(ctx context.Context) (outcome, error) { return mended, p.DB.AddSession(ctx, session) }
	}
	p.problem(Number, 0, fix, "%s %x may be numbered again: %v", what, number, err).live = true
}

// brief is what judgeIndex remembers of a stripe.
type brief struct {
	size  int
	there bool
}

// judgeIndex follows the entries of the dedup index.
func (p *pass) judgeIndex(ctx context.Context) error {
	known := map[uint64]brief{}
	n := 0
	return p.DB.EachChunk(ctx, func(id crypt.ID, r *crypt.Ref, bad error) error {
		if n++; n%10_000 == 0 {
			p.Progress("dedup index", n, 0)
		}
		fix := func(context.Context) (outcome, error) { return mended, p.DB.DropChunk(id) }
		if bad != nil {
			p.problem(Index, 0, fix, "an entry of the dedup index: %v", bad).live = true
			return nil
		}
		b, ok := known[r.Stripe]
		if !ok {
			s, _, err := p.stripe(ctx, r.Stripe)
			if err != nil {
				return err
			}
			b = brief{max(s.Payload, s.Here), s.there()}
			known[r.Stripe] = b
		}
		end := int64(r.Offset) + int64(r.SealedLen())
		switch {
		case !b.there: // it is not believed by whoever finds it
			p.note(Index, 0, fix, "the dedup index leads to stripe %x, which is neither here nor on peers", r.Stripe).live = true
		case end > int64(b.size) && p.beyond(r.Stripe, end):
			p.problem(Index, 0, fix, "the dedup index leads to bytes %d to %d of stripe %x, which has %d", r.Offset, end, r.Stripe, b.size).live = true
		}
		return nil
	})
}

// beyond says whether a stripe ends before end also now: one that is open grows.
func (p *pass) beyond(stripe uint64, end int64) bool {
	s := p.Stripe(stripe, nil)
	return end > int64(s.Here)
}

// judgeMarks looks at the notes of stripes that are on their way to peers.
func (p *pass) judgeMarks(ctx context.Context) error {
	marks, err := p.DB.StripeMarks()
	if err != nil {
		p.problem(Mark, 0, nil, "%v", err)
		return nil
	}
	stale := map[meta.StripeMark]string{}
	for _, m := range marks {
		s, _, err := p.stripe(ctx, m.Stripe)
		if err != nil {
			return err
		}
		_, needed := slices.BinarySearch(p.needed, m.Stripe)
		switch {
		case s.Placed:
			stale[m] = "is on peers"
		case s.Here < 0 && !needed:
			stale[m] = "is not here, and nothing needs it"
		}
	}
	if marks, err = p.DB.StripeMarks(); err != nil { // some may have been taken back just now
		return err
	}
	for _, m := range marks {
		if why, ok := stale[m]; ok {
			fix := func(ctx context.Context) (outcome, error) { return mended, p.DB.DropMark(ctx, m) }
			p.note(Mark, 0, fix, "stripe %x is noted as not on peers yet, and %s", m.Stripe, why)
		}
	}
	return nil
}

package swarmsim

import (
	"fmt"
	"slices"
	"time"

	"github.com/hammockfs/hammock/placement"
)

// ill is a shard that is not where the newest record says.
type ill struct {
	store uint32
	why   cause
	days  int // on which it could have been rebuilt
	since int // the day on which it was found to be so
}

type cause uint8

const (
	missing cause = iota // the node is there and does not have it, or no node was found for it
	left                 // the node will not come back: it counts as lost once owners have missed it for three days of theirs
	part                 // one of several groups is wrong, and an audit asks for one
)

func (c cause) String() string { return [...]string{"missing", "left", "in part wrong"}[c] }

// The days within which a shard that was lost must have been rebuilt elsewhere. Owners have a session of half an hour a day,
// on the average, and come at random; a repair takes them no time, to notice does. Days on which too few shards are in reach
// do not count. Report.Longest tells how long it took at most: for seeds 1 to 12 of TestYear 12, 22 and 17 days.
//
// missing: one loss alone starts no census, so it takes until an audit asks for just this shard. Where a store is asked a
// times in the half hour of a session, for one of the s shards that it has of the owner, that happens on a day with a chance
// of a in s, and in 16 s/a days but for one time in ten million (findDays). At the pace of the soak, once an hour, that is
// long: in TestYears with seed 1 one of six was found on none of 46 days.
//
// left: a node counts as lost after 72 hours, of which the gap between two sessions counts eight at most. That takes nine
// sessions, and fewer than nine come in 45 days once in a thousand million times.
//
// part: the audit must ask for the one of the shard's groups that is wrong, too. Mostly the second lie of the node has long
// had all moved that it holds.
var repairDays = [...]int{missing: 45, left: 45, part: 90}

// findDays is within how many days audits alone find a loss.
func (o *owner) findDays(s *stripe, i ill) int {
	choices := o.at(i.store)
	switch i.why {
	case left:
		return 0
	case part:
		choices *= groups(int(s.record.ShardSize))
	}
	return int(16 * time.Duration(choices) * o.w.cfg.AuditEvery / (30 * time.Minute))
}

// at counts the owner's shards that are said to be at a store.
func (o *owner) at(store uint32) (n int) {
	for _, s := range o.stripes {
		for _, sh := range s.record.Shards {
			if sh.Store == store && sh.Held {
				n++
			}
		}
	}
	return n
}

// holds says whether a node has a shard, whole and for good.
func (w *World) holds(o *owner, sh placement.Shard) (have, wrong bool) {
	if sh.Store == 0 || !sh.Held {
		return false, false
	}
	k := w.nodes[sh.Store-1].shards[hold{o.id, sh.ID}]
	return k != nil && k.good(), k != nil && !k.good()
}

// check is the daily look at everything: what was lost must be rebuilt in time.
func (w *World) check() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, o := range w.owners {
		for _, number := range o.numbers {
			if s := o.stripes[number]; s.record.Placed && !s.lost {
				w.checkStripe(o, s)
			}
		}
	}
}

func (w *World) checkStripe(o *owner, s *stripe) {
	good := 0
	reachable := w.reachable(o, s)
	for i, sh := range s.record.Shards {
		have, wrong := w.holds(o, sh)
		now, known := s.ills[i]
		if have {
			good++
			delete(s.ills, i)
			w.report.Longest[now.why] = max(w.report.Longest[now.why], now.days)
			continue
		}
		if !known || sh.Store != 0 && sh.Store != now.store {
			now = ill{store: sh.Store, since: w.day}
			switch {
			case sh.Store != 0 && w.nodes[sh.Store-1].gone:
				now.why = left
			case wrong && groups(int(s.record.ShardSize)) > 1:
				now.why = part
			}
		}
		if reachable {
			now.days++
		}
		if now.days > repairDays[now.why] && now.days > o.findDays(s, now) {
			w.fail("owner %d: shard %d of stripe %d is lost at node %d, one of %d there, and was not rebuilt in %d days", o.id, i,
				s.number, now.store, o.at(now.store), now.days)
			now.days = 0
		}
		s.ills[i] = now
	}
	if good < s.record.Code.K && w.existing(o, s) < s.record.Code.K {
		s.lost = true
		w.report.Lost++
		w.report.Losses = append(w.report.Losses, w.obituary(o, s))
		w.happened("a stripe is lost")
	}
}

// obituary says what a stripe was lost of: each shard that is not there, why, since when, and how many sessions the owner
// has begun since.
func (w *World) obituary(o *owner, s *stripe) string {
	b := fmt.Sprintf("day %d: owner %d has lost stripe %d", w.day, o.id, s.number)
	for i := range s.record.Shards {
		if ill, ok := s.ills[i]; ok {
			b += fmt.Sprintf("; shard %d, %s at node %d since day %d, %d sessions ago", i, ill.why, ill.store, ill.since,
				o.sessionsSince(ill.since))
		}
	}
	return b
}

func (o *owner) sessionsSince(day int) int {
	i, _ := slices.BinarySearch(o.begun, day)
	return len(o.begun) - i
}

// existing is how many different shards of a stripe lie, whole, at any node at all; reachable asks for those online now.
func (w *World) existing(o *owner, s *stripe) int {
	return w.count(o, s, func(*node) bool { return true })
}

func (w *World) reachable(o *owner, s *stripe) bool {
	return w.count(o, s, func(n *node) bool { return n.online && n.slow == 0 }) >= s.record.Code.K
}

func (w *World) count(o *owner, s *stripe, counts func(*node) bool) int {
	found := 0
	for i, sh := range s.record.Shards {
		for at := range s.named {
			if at.index != i || at.store == 0 || !counts(w.nodes[at.store-1]) {
				continue
			}
			if k := w.nodes[at.store-1].shards[hold{o.id, sh.ID}]; k != nil && k.good() {
				found++
				break
			}
		}
	}
	return found
}

// judge looks at a put that arrives; World.mu is held. A synced record must have announced it, and it must not be for
// nothing: no other node in reach, beyond suspicion for days, has the shard from an earlier put.
func (w *World) judge(proc *process, n *node, p placement.Put) {
	o := proc.o
	s := o.stripes[p.Stripe]
	if !s.named[site{p.Index, n.number}] {
		w.fail("owner %d puts shard %d of stripe %d to node %d, of which no record says a word", o.id, p.Index, p.Stripe, n.number)
	}
	moved := ""
	for at := range s.named {
		if at.index != p.Index || at.store == 0 || at.store == n.number {
			continue
		}
		k := w.nodes[at.store-1].shards[hold{o.id, p.Shard}]
		if k == nil || !k.good() {
			continue
		}
		moved = max(moved, w.nodes[at.store-1].excuse())
		if o.trusts(w.nodes[at.store-1]) {
			w.fail("owner %d puts shard %d of stripe %d to node %d for nothing: node %d has it", o.id, p.Index, p.Stripe,
				n.number, at.store)
		}
	}
	if moved != "" {
		w.report.MovedBytes += int64(s.record.ShardSize)
		w.report.Moved[moved] += int64(s.record.ShardSize)
	}
}

// excuse is why what a node has does not count, as far as there is a reason.
func (n *node) excuse() string {
	away := time.Since(n.since)
	switch {
	case !n.online && away < 24*time.Hour:
		return "away for hours"
	case !n.online && away < 72*time.Hour:
		return "away for a day"
	case !n.online:
		return "away for days"
	case n.lies != honest:
		return "a liar"
	case n.slow != 0:
		return "slow"
	}
	return "here again"
}

// judgeDelete looks at a delete that has been done: what the newest record relies on must not go.
func (w *World) judgeDelete(o *owner, n *node, p placement.Put) {
	s := o.stripes[p.Stripe]
	for i, sh := range s.record.Shards {
		if sh.ID == p.Shard && sh.Store == n.number && sh.Held {
			w.fail("owner %d deletes shard %d of stripe %d at node %d, which its newest record says to hold it", o.id, i, p.Stripe, n.number)
		}
	}
}

// trusts says whether an owner could have no reason to move what a node has.
func (o *owner) trusts(n *node) bool {
	well := n.since
	if n.healed.After(well) {
		well = n.healed
	}
	known := o.sessionsSince(int(well.Sub(o.w.start)/day) + 1)
	return n.online && n.lies == honest && n.slow == 0 && time.Since(well) > suspicion && known > suspicionSessions
}

const day = 24 * time.Hour

// A node that was away, or slow, may still keep what was put elsewhere meanwhile: an owner that has not had a session since has
// not told it, and puts what it began to put. It has been trusted again after so long, and so many sessions: one gap between two
// in 200,000 is of twelve days, and twenty owners have 22,000 in three years.
const (
	suspicion         = 12 * day
	suspicionSessions = 3
)

// judgement is the last look, after the calm: everything is whole, each shard on a machine of its own, and no store keeps a
// shard that no record has named.
func (w *World) judgement() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, o := range w.owners {
		w.report.Hash = w.report.Hash*31 + o.hash
		for _, number := range o.numbers {
			s := o.stripes[number]
			w.report.Stripes++
			if !s.lost {
				w.judgeStripe(o, s)
			}
		}
	}
	for _, n := range w.nodes {
		for h := range n.shards {
			w.judgeShard(n, h)
		}
	}
}

func (w *World) judgeStripe(o *owner, s *stripe) {
	if !s.record.Placed {
		w.fail("owner %d: stripe %d is not placed", o.id, s.number)
		return
	}
	machines := map[string]bool{}
	for i, sh := range s.record.Shards {
		w.report.FirstBytes += int64(s.record.ShardSize)
		if have, _ := w.holds(o, sh); !have {
			w.fail("owner %d: shard %d of stripe %d is not whole: %+v", o.id, i, s.number, sh)
			continue
		}
		machines[w.nodes[sh.Store-1].machine] = true
	}
	if len(machines) != s.record.Code.N() {
		w.fail("owner %d: stripe %d lies on %d machines", o.id, s.number, len(machines))
	}
}

func (w *World) judgeShard(n *node, h hold) {
	s := w.names[h]
	if s == nil {
		w.fail("node %d keeps a shard of owner %d of which no record says a word", n.number, h.owner)
		return
	}
	for i, sh := range s.record.Shards {
		switch {
		case sh.ID != h.id:
		case !s.named[site{i, n.number}]:
			w.fail("node %d keeps shard %d of stripe %d of owner %d, which no record has named", n.number, i, s.number, h.owner)
		case sh.Store != n.number:
			w.report.Strays++
		}
	}
}

package placement

import (
	"fmt"
	"math"
	"time"

	"github.com/hammockfs/hammock/crypt"
)

// A Verdict is what a store's standing comes to.
type Verdict uint8

// The verdicts, in the order in which one goes before another.
const (
	VerdictLost  Verdict = iota + 1 // declared lost, or away for too long: its shards are counted as lost
	VerdictLiar                     // it sent wrong bytes: it gets nothing new, its shards are moved, until it is forgiven by hand
	VerdictAway                     // it cannot be asked now
	VerdictStale                    // it lost shards that it had taken: others are asked before it
	VerdictSlow                     // most of its answers are late: others are asked before it, its shards are moved
	VerdictNew                      // too little is known
	VerdictGood
)

// String is the word for status.
func (v Verdict) String() string {
	words := [...]string{"unknown", "lost", "liar", "away", "lost shards", "slow", "new", "good"}
	if int(v) >= len(words) {
		return words[0]
	}
	return words[v]
}

// sound says whether what such a store holds counts towards a stripe's redundancy, as far as it can be reached.
func (v Verdict) sound() bool { return v != VerdictLost && v != VerdictLiar }

// last says whether such a store is asked to take something only when no other is left.
func (v Verdict) last() bool { return v == VerdictStale || v == VerdictSlow }

// What a standing is judged by.
const (
	halfLife    = 7 * 24 * time.Hour // of every count
	mostAnswers = 1000               // so that a long good time does not hide a bad one
	vetted      = 8                  // answers, after which a store is not new
	lostLimit   = 1.5                // shards lost, decayed, that make a store stale: the second of a few days
	liedLimit   = 1.5                // shards answered with wrong bytes, likewise
	slowAbove   = 0.45               // of latenessOf: three late answers, one after another
	slowBelow   = 0.2
	cleanStreak = 100              // good answers in a row, after which lost shards are forgotten
	awayGrace   = 10 * time.Minute // away for less, a store is expected back even by what can lose no more
	watchGap    = 8 * time.Hour    // the longest gap between two looks that counts: nobody knows what was in a longer one
)

// A Standing is what is remembered of a store: counts that halve in a week, so that what was long ago weighs little.
// Times are only compared by differences, and those have bounds: a clock that jumps makes nobody lost.
type Standing struct {
	Answered float64       `cbor:"1,keyasint,omitempty"` // audits that went well, and in time
	Late     float64       `cbor:"2,keyasint,omitempty"`
	Failed   float64       `cbor:"3,keyasint,omitempty"` // while it seemed to be online
	Lost     float64       `cbor:"4,keyasint,omitempty"` // shards that it had taken and did not have
	Lied     float64       `cbor:"5,keyasint,omitempty"` // shards of which it sent wrong bytes
	Uptime   float64       `cbor:"6,keyasint,omitempty"` // share of the time watched, 0 to 1
	Watched  time.Duration `cbor:"7,keyasint,omitempty"` // decayed
	Away     time.Duration `cbor:"8,keyasint,omitempty"` // since it was last online, as far as it was watched
	Lateness float64       `cbor:"9,keyasint,omitempty"` // moving share of late answers
	Streak   uint32        `cbor:"10,keyasint,omitempty"`
	Slow     bool          `cbor:"11,keyasint,omitempty"`
	Stale    bool          `cbor:"12,keyasint,omitempty"`
	Liar     bool          `cbor:"13,keyasint,omitempty"`
	Declared bool          `cbor:"14,keyasint,omitempty"` // lost, by hand
	Audits   uint64        `cbor:"15,keyasint,omitempty"` // ever
	At       int64         `cbor:"16,keyasint,omitempty"` // Unix nanoseconds of the newest change
}

// Judge gives the verdict on a standing. away is how long a store may be away before it is lost.
func (s *Standing) Judge(online bool, away time.Duration) Verdict {
	switch {
	case s.Declared:
		return VerdictLost
	case s.Liar:
		return VerdictLiar
	case !online && s.Away >= away:
		return VerdictLost
	case !online:
		return VerdictAway
	case s.Stale:
		return VerdictStale
	case s.Slow:
		return VerdictSlow
	case s.Answered < vetted:
		return VerdictNew
	}
	return VerdictGood
}

// Reliability is between 0 and 1: how much to entrust to the store. One of which nothing is known has a half.
func (s *Standing) Reliability() float64 {
	share := (s.Answered + 1) / (s.Answered + 2 + 4*s.Late + 2*s.Failed + 8*s.Lost + 32*s.Lied)
	if s.Watched > time.Hour {
		share *= s.Uptime
	}
	return min(max(share, 0), 1)
}

// doubtful says whether something went wrong lately: such a store is looked at more often.
func (s *Standing) doubtful() bool {
	return s.Lost > 0.5 || s.Lied > 0.5 || s.Lateness > slowBelow || s.Stale || s.Slow
}

// age lets the counts decay until now.
func (s *Standing) age(now time.Time) {
	gap := time.Duration(0)
	if s.At != 0 {
		gap = min(max(now.Sub(time.Unix(0, s.At)), 0), 4*halfLife)
	}
	s.At = now.UnixNano()
	f := math.Exp2(-float64(gap) / float64(halfLife))
	for _, c := range []*float64{&s.Answered, &s.Late, &s.Failed, &s.Lost, &s.Lied} {
		*c *= f
	}
	s.Watched = time.Duration(float64(s.Watched) * f)
}

// watch takes what share of the time the store is online, and how long it has been away.
func (s *Standing) watch(online bool, gap time.Duration) {
	gap = min(max(gap, 0), watchGap)
	part := 0.0
	if total := s.Watched + gap; total > 0 {
		part = float64(gap) / float64(total)
	}
	s.Watched += gap
	if online {
		s.Uptime += (1 - s.Uptime) * part
		s.Away = 0
		return
	}
	s.Uptime -= s.Uptime * part
	s.Away += gap
}

// An event is one outcome that says something about a store.
type event uint8

const (
	eventAnswered event = iota
	eventLate
	eventFailed
	eventLost
	eventLied
)

// note takes an event.
func (s *Standing) note(e event) {
	const weight = 0.2
	switch e {
	case eventAnswered:
		s.Answered = min(s.Answered+1, mostAnswers)
		s.Lateness -= s.Lateness * weight
		s.Streak++
	case eventLate:
		s.Late++
		s.Lateness += (1 - s.Lateness) * weight
		s.Streak = 0
	case eventFailed:
		s.Failed++
		s.Streak = 0
	case eventLost:
		s.Lost++
		s.Streak = 0
	case eventLied:
		s.Lied++
		s.Streak = 0
	}
	s.Liar = s.Liar || s.Lied >= liedLimit
	s.Stale = s.Stale || s.Lost >= lostLimit
	if s.Stale && s.Streak >= cleanStreak {
		s.Stale, s.Lost = false, 0
	}
	s.Slow = s.Lateness >= slowAbove || s.Slow && s.Lateness > slowBelow
}

func parseStanding(b []byte) (s Standing, err error) {
	if err = crypt.DecodeCBOR(b, &s); err != nil {
		return s, fmt.Errorf("standing of a store: %w", err)
	}
	return s, nil
}

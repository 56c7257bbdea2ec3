package placement

import (
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/hammockfs/hammock/crypt"
)

var events = []event{eventAnswered, eventLate, eventFailed, eventLost, eventLied}

// TestStandingProperties: whatever happens to a store in whatever order, with a clock that jumps as it likes, its counts
// and shares have their bounds, they never grow by age, its standing survives being kept, and the verdicts are what they say.
func TestStandingProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var s Standing
		now := time.Unix(1_800_000_000, 0)
		lies := 0
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.Int64Range(-int64(30*24*time.Hour), int64(60*24*time.Hour)).Draw(t, "gap")))
			before := s
			s.age(now)
			if s.Answered > before.Answered || s.Late > before.Late || s.Lost > before.Lost || s.Lied > before.Lied || s.Watched > before.Watched {
				t.Fatalf("age makes %+v of %+v", s, before)
			}
			if rapid.Bool().Draw(t, "watch") {
				s.watch(rapid.Bool().Draw(t, "online"), time.Duration(rapid.Int64().Draw(t, "watched")))
			} else {
				e := rapid.SampledFrom(events).Draw(t, "event")
				s.note(e)
				if e == eventLied {
					lies++
				}
			}
			checkStanding(t, &s)
		}
		if s.Liar && lies < 2 {
			t.Fatal("a liar that lied less than twice")
		}
	})
}

func checkStanding(t *rapid.T, s *Standing) {
	for _, v := range []float64{s.Answered, s.Late, s.Failed, s.Lost, s.Lied} {
		if v < 0 || v > mostAnswers && v == s.Answered || math.IsNaN(v) {
			t.Fatalf("%+v", s)
		}
	}
	if s.Uptime < 0 || s.Uptime > 1 || s.Lateness < 0 || s.Lateness > 1 || s.Away < 0 || s.Watched < 0 {
		t.Fatalf("%+v", s)
	}
	if r := s.Reliability(); r < 0 || r > 1 || math.IsNaN(r) {
		t.Fatalf("reliability %v of %+v", r, s)
	}
	b, err := crypt.EncodeCBOR(s)
	if err != nil {
		t.Fatal(err)
	}
	if back, err := parseStanding(b); err != nil || back != *s {
		t.Fatalf("%+v is kept as %+v, %v", s, back, err)
	}
	for _, online := range []bool{false, true} {
		v := s.Judge(online, 72*time.Hour)
		if s.Liar && v.sound() || online && v == VerdictAway || !online && v.sound() && v != VerdictAway || v == VerdictNew && s.Answered >= vetted {
			t.Fatalf("%+v, online %v, is %v", s, online, v)
		}
	}
}

// TestWorseIsLess: one more good answer makes no store less reliable, one more of anything else makes none more so.
func TestWorseIsLess(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var s Standing
		for range rapid.IntRange(0, 200).Draw(t, "history") {
			s.note(rapid.SampledFrom(events).Draw(t, "event"))
		}
		for _, e := range events {
			after := s
			after.note(e)
			if a, b := s.Reliability(), after.Reliability(); e == eventAnswered && b < a || e != eventAnswered && b > a {
				t.Fatalf("event %d makes %v of %v: %+v", e, b, a, s)
			}
		}
	})
}

// TestVerdicts are the roads from one verdict to the next.
func TestVerdicts(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	var s Standing
	want := func(when string, v Verdict) {
		t.Helper()
		if got := s.Judge(true, 72*time.Hour); got != v {
			t.Errorf("%s: %v, not %v", when, got, v)
		}
	}
	many := func(e event, n int) {
		for range n {
			now = now.Add(5 * time.Minute)
			s.age(now)
			s.note(e)
		}
	}
	want("nothing known", VerdictNew)
	many(eventAnswered, 9)
	want("nine answers", VerdictGood)
	many(eventLate, 2)
	want("late twice", VerdictGood)
	many(eventLate, 1)
	want("late three times", VerdictSlow)
	many(eventAnswered, 5)
	want("in time again", VerdictGood)
	many(eventLost, 1)
	want("one shard lost", VerdictGood)
	many(eventLost, 1)
	want("two shards lost", VerdictStale)
	many(eventAnswered, cleanStreak-1)
	want("not yet proven", VerdictStale)
	many(eventAnswered, 1)
	want("proven", VerdictGood)
	many(eventLied, 1)
	want("one wrong answer", VerdictGood)
	now = now.Add(3 * halfLife)
	many(eventLied, 1)
	want("another, long after", VerdictGood)
	many(eventLied, 1)
	want("and one more", VerdictLiar)
	many(eventAnswered, 10*cleanStreak)
	want("a liar that behaves", VerdictLiar)
}

// TestAwayIsWatched: only what was watched counts as away, and nothing while this node sees nobody.
func TestAwayIsWatched(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	cfg := Config{AwayLimit: 72 * time.Hour, Now: func() time.Time { return now }}
	s := newStandings(&cfg)
	infos := []StoreInfo{{Number: 1, Online: true}, {Number: 2}, {Number: 9, Here: true, Online: true}}
	began := now
	pass := func(d time.Duration) {
		for range d / time.Minute {
			now = now.Add(time.Minute)
			s.watch(infos, began)
		}
	}
	away := func(when string, want time.Duration) {
		t.Helper()
		if got := s.get(2).Away; got != want {
			t.Errorf("%s: away for %v, not %v", when, got, want)
		}
	}
	pass(10 * time.Hour)
	away("ten hours", 10*time.Hour)
	infos[0].Online = false
	pass(100 * time.Hour)
	away("while nobody is there", 10*time.Hour)
	infos[0].Online = true
	pass(time.Hour)
	away("an hour later", 11*time.Hour)
	now = now.Add(-1000 * time.Hour)
	s.watch(infos, began)
	now = now.Add(2000 * time.Hour)
	s.watch(infos, began)
	away("after the clock jumped", 11*time.Hour+watchGap)
	infos[1].Online = true
	pass(time.Minute)
	away("back", 0)
}

package storm

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/hammockfs/hammock/integration/liar"
)

// event is something that happens in a round; what it does to a peer it undoes
// itself after a while.
type event struct {
	at    time.Duration
	what  string
	peer  int
	lasts time.Duration
}

// round is some work, what happens meanwhile, and how it ends.
type round struct {
	damage   string // what is done to disks before it, or that a peer lies
	hurt     []int  // to which peers
	mode     liar.Mode
	delay    time.Duration // of a peer that is slow
	dropped  bool          // and the cache is dropped, so that it is met at once
	length   time.Duration
	events   []event
	end      string
	healLate bool // peers come back only after the next mount
}

// schedule is a storm as it was drawn.
type schedule struct {
	seed   uint64
	policy string
	peers  int
	spare  int   // m
	weak   []int // the peers whose disks may be damaged
	lies   bool  // the first of these lies at times; there is one peer more than shards
	narrow int   // the peer whose disk is small and fills up, or -1
	synced bool  // the folder is mounted with -o sync=peers
	small  bool  // the daemon's state lies on a small disk, which fills up
	actors int
	rounds []round
}

// draw draws the storm of a seed. Links can be set down only where there is a
// network of its own.
func draw(seed uint64, rounds int, links bool) *schedule {
	r := rand.New(rand.NewPCG(seed, 1))
	s := &schedule{seed: seed, policy: "2+1", peers: 3, spare: 1, actors: 2 + r.IntN(3)}
	if r.IntN(3) > 0 {
		s.policy, s.peers, s.spare = "4+2", 6, 2
	}
	if s.lies = r.IntN(2) == 0; s.lies {
		s.peers++
	}
	s.synced, s.narrow = r.IntN(4) == 0, -1
	if links && r.IntN(2) == 0 {
		s.narrow = r.IntN(s.peers)
	}
	s.weak = r.Perm(s.peers)[:s.spare]
	s.small = links && r.IntN(3) == 0
	sound := rounds // rounds before the first disk is damaged
	if r.IntN(2) == 0 {
		sound = r.IntN(rounds)
	}
	for i := range rounds {
		s.rounds = append(s.rounds, s.drawRound(r, i >= sound, links))
	}
	return s
}

var ends = []string{"kill", "kill", "kill", "kill", "house", "house", "remount", "quiet", "recover", "recover"}

var damages = []string{"rot", "segments", "wipe", "cache", ""}

// drawRound draws a round. Once disks are damaged, their peers alone may also be
// away, for with them all spare shards may be gone.
func (s *schedule) drawRound(r *rand.Rand, damaged, links bool) round {
	n := round{length: 500*time.Millisecond + time.Duration(r.Int64N(int64(2500*time.Millisecond))),
		end: ends[r.IntN(len(ends))], healLate: r.IntN(3) == 0}
	moment := func(of time.Duration) time.Duration { return time.Duration(r.Int64N(int64(of))) }
	for range r.IntN(3) {
		n.events = append(n.events, event{at: moment(n.length), what: "sync"})
	}
	if r.IntN(3) == 0 {
		n.events = append(n.events, event{at: moment(n.length), what: "drop"})
	}
	if r.IntN(5) == 0 {
		n.events = append(n.events, event{at: moment(n.length), what: "stop", peer: -1, lasts: moment(time.Second)})
	}
	kinds := []string{"kill", "stop"}
	if links {
		kinds = append(kinds, "part")
	}
	away := r.Perm(s.peers)[:r.IntN(s.spare+1)]
	if damaged {
		n.damage, n.hurt = damages[r.IntN(len(damages))], s.weak[:1+r.IntN(s.spare)]
		away = s.weak[:len(away)]
		n.dropped = r.IntN(2) == 0
		if s.lies && r.IntN(2) == 0 {
			n.damage, n.hurt, n.mode = "lie", s.weak[:1], liar.Modes[r.IntN(len(liar.Modes))]
			n.delay = moment(6 * time.Second) // an answer is late after five
			away = nil                        // a stripe may just be on enough peers, of which one lies
		}
	}
	if s.narrow >= 0 && r.IntN(2) == 0 {
		n.events = append(n.events, event{at: moment(n.length), what: "full", peer: s.narrow, lasts: moment(n.length)})
		away = slices.DeleteFunc(slices.Clone(away), func(peer int) bool { return peer == s.narrow }) // a disk that is full, or a peer that is away
	}
	if s.small && r.IntN(2) == 0 {
		n.events = append(n.events, event{at: moment(n.length), what: "full", peer: -1, lasts: moment(n.length)})
		n.end = []string{"kill", "house"}[r.IntN(2)]
	}
	for _, peer := range away {
		n.events = append(n.events, event{at: moment(n.length), what: kinds[r.IntN(len(kinds))], peer: peer, lasts: moment(n.length)})
	}
	slices.SortFunc(n.events, func(a, b event) int { return int(a.at - b.at) })
	return n
}

func (e event) String() string {
	s := fmt.Sprintf("%v %s", e.at.Round(time.Millisecond), e.what)
	if e.lasts > 0 {
		who := fmt.Sprintf("peer %d", e.peer)
		if e.peer < 0 {
			who = "the daemon"
		}
		s += fmt.Sprintf(" %s for %v", who, e.lasts.Round(time.Millisecond))
	}
	return s
}

func (s *schedule) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "seed %d: %s on %d peers, %d actors, small disk: %t, peer with a small disk: %d, sync=peers: %t\n",
		s.seed, s.policy, s.peers, s.actors, s.small, s.narrow, s.synced)
	for i, r := range s.rounds {
		fmt.Fprintf(&b, "  round %d: ", i)
		if r.damage != "" {
			fmt.Fprintf(&b, "%s %v%s; ", r.damage, r.hurt, r.mode)
		}
		for _, e := range r.events {
			fmt.Fprintf(&b, "%v; ", e)
		}
		fmt.Fprintf(&b, "%v %s", r.length.Round(time.Millisecond), r.end)
		if r.healLate {
			b.WriteString(", healed late")
		}
		b.WriteString("\n")
	}
	return b.String()
}

package placement

import (
	"maps"
	"slices"
	"sync"
	"time"
)

// rush knows what reads wait for together, and how fast that comes. Where the line is full every read takes long, whatever
// its store, and to ask other stores as well would only make the line fuller.
type rush struct {
	mu      sync.Mutex
	awaited int64              // bytes that reads under way wait for
	pace    map[uint32]float64 // by store: how long its reads took for each byte that was awaited beside them, in nanoseconds
	middle  float64            // the median of pace; 0 while there is none
}

const (
	// rushFrom is how many awaited bytes tell anything of how fast they come.
	rushFrom = 256 << 10
	// rushMost is the most that a full line excuses.
	rushMost = 5 * time.Second
)

// begin notes that n bytes are asked for, and says how many then are awaited.
func (l *rush) begin(n int64) int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.awaited += n
	return l.awaited
}

// end notes that nobody waits for n bytes any more.
func (l *rush) end(n int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.awaited -= n
}

// came notes how long a store took for a read, at whose beginning ahead bytes were awaited.
func (l *rush) came(store uint32, ahead int64, took time.Duration) {
	if ahead < rushFrom {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	pace := float64(took) / float64(ahead)
	if old, ok := l.pace[store]; ok {
		pace = old + (pace-old)/4
	}
	l.pace[store] = pace
	all := slices.Sorted(maps.Values(l.pace))
	l.middle = all[(len(all)-1)/2]
}

// explains is how long a read may take for no other reason than that so many bytes were awaited when it began, or are
// now. It goes by what most stores do: those that are slow by themselves do not excuse anybody.
func (l *rush) explains(ahead int64) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return time.Duration(min(l.middle*float64(max(ahead, l.awaited)), float64(rushMost)))
}

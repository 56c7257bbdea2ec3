package mount

import (
	"sync"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"
)

// lateness knows the reads that have just waited in vain. What the kernel could
// not read ahead it asks for once more, by itself, and the program would wait
// twice as long as it may.
type lateness struct {
	mu   sync.Mutex
	list []lateRead // guarded by mu; the oldest first
}

// lateRead is a range of a file whose read came to its limit.
type lateRead struct {
	ino, from, to uint64
	at            time.Time
}

const (
	lateFor  = time.Second // the kernel asks again at once
	lateMost = 256
)

// note remembers a read that came to its limit.
func (l *lateness) note(in *fuse.ReadIn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.list) >= lateMost {
		l.list = append(l.list[:0], l.list[1:]...)
	}
	l.list = append(l.list, lateRead{in.NodeId, in.Offset, in.Offset + uint64(in.Size), time.Now()})
}

// again says whether a read asks for what another has just waited for.
func (l *lateness) again(in *fuse.ReadIn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	old := 0
	for old < len(l.list) && time.Since(l.list[old].at) > lateFor {
		old++
	}
	l.list = append(l.list[:0], l.list[old:]...)
	for _, r := range l.list {
		if r.ino == in.NodeId && in.Offset < r.to && r.from < in.Offset+uint64(in.Size) {
			return true
		}
	}
	return false
}

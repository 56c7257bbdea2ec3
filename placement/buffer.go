package placement

import (
	"context"
	"math/bits"
	"sync"

	"golang.org/x/sync/semaphore"
)

// buffers are pools of byte slices, so that slabs of megabytes are not zeroed and collected for each stripe. Capacities
// have four steps per doubling: at most a quarter is wasted.
type buffers struct{ pools [4 * 33]sync.Pool }

// get gives an empty slice with room for n bytes. Its content beyond its length is anything.
func (b *buffers) get(n int) []byte {
	class, size := bufferClass(n)
	if p, _ := b.pools[class].Get().(*[]byte); p != nil {
		return (*p)[:0]
	}
	return make([]byte, 0, size)
}

// put takes a slice back that came from get and that nobody uses any more.
func (b *buffers) put(p []byte) {
	if class, size := bufferClass(cap(p)); cap(p) == size {
		p = p[:0]
		b.pools[class].Put(&p)
	}
}

// bufferClass gives the smallest capacity of 4, 5, 6 or 7 times a power of two that holds n bytes, and its number.
func bufferClass(n int) (class, size int) {
	n = max(n, 1<<10)
	e := bits.Len(uint(n-1)) - 3
	step := (n + 1<<e - 1) >> e // 5 to 8
	return 4*e + step - 5, step << e
}

// budget bounds the bytes in flight. Who asks for more than there is gets all there is: one that is too large for the
// budget runs alone rather than never.
type budget struct {
	sem  *semaphore.Weighted
	size int64
}

func newBudget(size int64) *budget { return &budget{semaphore.NewWeighted(size), size} }

// take waits for n bytes and gives a grant that must be released.
func (b *budget) take(ctx context.Context, n int) (*grant, error) {
	g := &grant{b: b, n: min(int64(n), b.size)}
	return g, b.sem.Acquire(ctx, g.n)
}

type grant struct {
	b *budget
	n int64
}

// shrink gives back what is above n.
func (g *grant) shrink(n int) {
	if rest := g.n - int64(n); rest > 0 {
		g.b.sem.Release(rest)
		g.n -= rest
	}
}

func (g *grant) release() { g.shrink(0) }

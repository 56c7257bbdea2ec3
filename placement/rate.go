package placement

import (
	"context"
	"fmt"
	"sync"

	"golang.org/x/time/rate"
)

// repairRate holds repairs back to so many bytes a second, read and written together.
type repairRate struct {
	limiter *rate.Limiter
	mu      sync.Mutex
	free    int             // who wants no limit now
	limited context.Context // ended while somebody does
	lift    context.CancelFunc
}

// rateBurst is how many bytes may pass at once after a rest.
const rateBurst = 4 << 20

func newRepairRate(bytes int64) *repairRate {
	limit := rate.Limit(bytes)
	if bytes < 0 {
		limit = rate.Inf
	}
	r := &repairRate{limiter: rate.NewLimiter(limit, rateBurst)}
	r.limited, r.lift = context.WithCancel(context.Background())
	return r
}

func (r *repairRate) suspend() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.free++
	r.lift()
}

func (r *repairRate) resume() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.free--; r.free == 0 {
		r.limited, r.lift = context.WithCancel(context.Background())
	}
}

// wait returns when n more bytes may be moved.
func (r *repairRate) wait(ctx context.Context, n int) error {
	r.mu.Lock()
	limited := r.limited
	r.mu.Unlock()
	wctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(limited, cancel)()
	for n > 0 && wctx.Err() == nil {
		step := min(n, rateBurst)
		if err := r.limiter.WaitN(wctx, step); err != nil && wctx.Err() == nil {
			return fmt.Errorf("wait for the limit on repairs: %w", err)
		}
		n -= step
	}
	return ctx.Err()
}

package placement

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/hammockfs/hammock/crypt"
)

// Inspection is what the stores said of the shards of one stripe.
type Inspection struct {
	Need    int      // shards that make the stripe readable
	Good    int      // proved to be where the record says
	Missing int      // that the record knows to be nowhere: they wait for a store
	Away    int      // at stores that cannot be asked now
	Lost    []string // what is wrong, for each of the others
}

// inspectLimit is how long a store may take for a whole shard.
const inspectLimit = time.Minute

// Inspect asks the store of each shard of a stripe to prove that it has it: one group of it, or, with whole, every byte.
// Nothing is changed, and nothing is queued for repair.
func (p *Placer) Inspect(ctx context.Context, record []byte, whole bool) (Inspection, error) {
	rec, err := ParseRecord(record)
	if err != nil {
		return Inspection{}, err
	}
	infos := map[uint32]StoreInfo{}
	for _, s := range p.cfg.Stores.Stores() {
		infos[s.Number] = s
	}
	errs := make([]error, len(rec.Shards))
	var asked sync.WaitGroup
	for i, s := range rec.Shards {
		info, known := infos[s.Store]
		switch {
		case s.Store == 0 || !s.Held:
			errs[i] = errNowhere
		case !known:
			errs[i] = errNoStore
		case !info.Online:
			errs[i] = errOffline
		default:
			asked.Go(func() { errs[i] = p.prove(ctx, &rec, i, whole) })
		}
	}
	asked.Wait()
	x := Inspection{Need: rec.Code.K}
	for i, err := range errs {
		name := infos[rec.Shards[i].Store].Name
		switch {
		case err == nil:
			x.Good++
		case errors.Is(err, errNowhere):
			x.Missing++
		case errors.Is(err, errNoStore):
			x.Lost = append(x.Lost, fmt.Sprintf("shard %d %v", i, err))
		case errors.Is(err, ErrNoShard), errors.Is(err, ErrWrongBytes):
			x.Lost = append(x.Lost, fmt.Sprintf("shard %d at %s: %v", i, name, err))
		default:
			x.Away++
		}
	}
	return x, ctx.Err()
}

var (
	errNowhere = errors.New("is at no store")
	errNoStore = errors.New("is at a store that is not known any more")
)

// prove lets the store of a shard prove a group of it, or all of it.
func (p *Placer) prove(ctx context.Context, rec *Record, shard int, whole bool) error {
	s := &rec.Shards[shard]
	store, ok := p.cfg.Stores.Store(s.Store)
	if !ok {
		return errOffline
	}
	ctx, cancel := context.WithTimeout(ctx, inspectLimit)
	defer cancel()
	size := int64(rec.ShardSize)
	lo, n := int64(0), size
	if !whole {
		groups := uint64(size+crypt.GroupSize-1) / crypt.GroupSize
		lo = int64(mix(uint64(p.cfg.Now().UnixNano())+uint64(shard))%groups) * crypt.GroupSize
		n = min(crypt.GroupSize, size-lo)
	}
	got, err := store.ReadRange(ctx, s.ID, size, lo, n, nil)
	if err == nil && int64(len(got)) != n {
		return ErrWrongBytes
	}
	return err
}

// Flaws says what makes no sense in the record of a stripe, where stores are the numbers of all that are known.
func Flaws(stripe uint64, record []byte, stores map[uint32]bool) (flaws []string) {
	rec, err := ParseRecord(record)
	if err != nil {
		return []string{err.Error()}
	}
	if rec.Stripe != stripe {
		flaws = append(flaws, fmt.Sprintf("it is of stripe %x", rec.Stripe))
	}
	var unknown []string
	at := 0
	for i, s := range rec.Shards {
		switch {
		case s.Store == 0:
		case !stores[s.Store]:
			unknown = append(unknown, fmt.Sprint(i))
		default:
			at++
		}
	}
	if len(unknown) > 0 {
		flaws = append(flaws, "shards "+strings.Join(unknown, ", ")+" are at stores that nobody knows")
	}
	if rec.Placed && at < rec.Code.K {
		flaws = append(flaws, fmt.Sprintf("it is said to be on peers, with %d shards of the %d that are needed", at, rec.Code.K))
	}
	return flaws
}

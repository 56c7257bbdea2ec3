package main

import (
	"fmt"
	"testing"

	"github.com/hammockfs/hammock/placement"
)

// someStores are that many, all there.
type someStores int

func (n someStores) Stores() (list []placement.StoreInfo) {
	for i := range uint32(n) {
		list = append(list, placement.StoreInfo{Number: i + 1, Machine: fmt.Sprint(i), Online: true, Free: 1 << 40})
	}
	return list
}

func (someStores) Store(uint32) (placement.Store, bool) { return nil, false }

// TestRepairEstimate: how long repairs take goes by the code of each stripe: k shards are read for those that are
// missing, which are written.
func TestRepairEstimate(t *testing.T) {
	const size = 1 << 20
	p := placement.New(placement.Config{Policy: placement.Policy2x1, Stores: someStores(40), Memory: 32 << 20})
	defer p.Close()
	judge := p.Conditions()
	var all repairState
	for _, c := range []struct{ k, m, missing, moves int }{
		{4, 2, 0, 0}, {4, 2, 1, 5}, {4, 2, 2, 6}, {2, 1, 1, 3}, {20, 20, 3, 23}, {1, 2, 1, 2},
	} {
		r := placement.Record{Stripe: 1, Class: placement.ClassData, Code: placement.Code{K: c.k, M: c.m}, ShardSize: size, Payload: 1000, Live: 1000, Placed: true}
		for i := range c.k + c.m {
			s := placement.Shard{ID: [32]byte{byte(i)}}
			if i >= c.missing {
				s.Store, s.Held = uint32(i+1), true
			}
			r.Shards = append(r.Shards, s)
		}
		got, err := judge(r.Append(nil))
		if err != nil || got.Missing != c.missing || got.Moves != int64(c.moves)*size {
			t.Errorf("%d+%d, %d missing: %+v, %v", c.k, c.m, c.missing, got, err)
		}
		all.add(&got)
	}
	all.complete(&placement.Stats{RepairRate: size})
	if all.Stripes != 5 || all.Bytes != 8*size || all.Seconds != 5+6+3+23+2 {
		t.Errorf("%+v", all)
	}
}

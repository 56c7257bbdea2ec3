package placement

import "math/bits"

// Limits of what a record may describe.
const (
	MaxShards     = 64       // shards of a stripe
	MaxShardSize  = 16 << 20 // bytes; what a depot takes
	MaxPayload    = 32 << 20 // bytes of a stripe
	minShardSize  = 1 << 10
	shardSizeUnit = 1 << 10
)

// The permitted sizes up to 16 KiB, in KiB: too small for anybody to mind the padding.
var smallSizes = [...]int{1, 2, 3, 4, 6, 8, 12, 16}

// From 16 KiB on each doubling has eight steps, in sixteenths. The widest is 19/17: at most 11.8 % of padding. From
// 256 KiB on all sizes are whole groups of 16 KiB.
var sizeSteps = [...]int{16, 17, 19, 21, 23, 25, 27, 30, 32}

// ShardSize is the size in bytes of each shard of a payload of so many bytes in k data shards: the smallest permitted
// size S with k*S >= payload. Permitted are 1, 2, 3, 4, 6, 8, 12, 16 KiB, and above that 16, 17, 19, 21, 23, 25, 27, 30
// times 2^e KiB, so that sizes say little about what is in a stripe. It is 0 if that would exceed MaxShardSize or k < 1.
func ShardSize(payload, k int) int {
	if k < 1 || payload > k*MaxShardSize {
		return 0
	}
	units := (max(payload, 1) + k*shardSizeUnit - 1) / (k * shardSizeUnit)
	if units <= 16 {
		return firstAtLeast(smallSizes[:], units) * shardSizeUnit
	}
	e := bits.Len(uint(units-1)) - 5 // 16<<e < units <= 32<<e
	step := (units + 1<<e - 1) >> e
	return firstAtLeast(sizeSteps[:], step) << e * shardSizeUnit
}

func firstAtLeast(sorted []int, v int) int {
	for _, s := range sorted {
		if s >= v {
			return s
		}
	}
	return sorted[len(sorted)-1]
}

package chunker

// lane is how many bytes each of the two lanes of find looks at before they meet: what is wasted at a cut is one lane
// at most, what is repeated is a window for each.
const lane = 4 << 10

// find rolls hash over p until it falls below bound, and returns how many bytes that took, the hash after them and
// whether the bound was met; without that, it took all of p.
//
// One lane waits for itself: each step needs the hash of the one before. As the hash forgets what is more than a
// Window back, a second lane can begin further on, after rolling over the Window before, and do its steps in between.
func (t *Table) find(p []byte, hash, bound uint64) (int, uint64, bool) {
	n := 0
	for len(p)-n >= 2*lane {
		near, far := (*[lane]byte)(p[n:]), (*[lane]byte)(p[n+lane:])
		i, h, found := t.two(near, far, hash, bound)
		if n, hash = n+i, h; found {
			return n, hash, true
		}
	}
	i, hash, found := t.one(p[n:], hash, bound)
	return n + i, hash, found
}

// one is find in a single lane.
func (t *Table) one(p []byte, hash, bound uint64) (int, uint64, bool) {
	gear, n := &t.gear, 0
	for ; len(p)-n >= 4; n += 4 {
		q := (*[4]byte)(p[n:])
		if hash = hash<<1 + gear[q[0]]; hash < bound {
			return n + 1, hash, true
		}
		if hash = hash<<1 + gear[q[1]]; hash < bound {
			return n + 2, hash, true
		}
		if hash = hash<<1 + gear[q[2]]; hash < bound {
			return n + 3, hash, true
		}
		if hash = hash<<1 + gear[q[3]]; hash < bound {
			return n + 4, hash, true
		}
	}
	for ; n < len(p); n++ {
		if hash = hash<<1 + gear[p[n]]; hash < bound {
			return n + 1, hash, true
		}
	}
	return n, hash, false
}

// two is find over near and then far, which follows it, in two lanes. What the far lane meets counts only when the near
// one has met nothing to its end.
func (t *Table) two(near, far *[lane]byte, hash, bound uint64) (int, uint64, bool) {
	gear := &t.gear
	_, ahead, _ := t.one(near[lane-Window:], 0, 0)
	for i := 0; i < lane; i++ {
		hash = hash<<1 + gear[near[i]]
		ahead = ahead<<1 + gear[far[i]]
		if hash < bound {
			return i + 1, hash, true
		}
		if ahead < bound {
			if n, h, found := t.one(near[i+1:], hash, bound); found {
				return i + 1 + n, h, true
			}
			return lane + i + 1, ahead, true
		}
	}
	return 2 * lane, ahead, false
}

package mount

import (
	"fmt"
	"strconv"
	"strings"
)

// overflowID is what the kernel shows for an owner that has no number here.
const overflowID = 65534

// IDMap translates user or group numbers between the volume and this machine. A
// map without ranges leaves them as they are.
type IDMap []idRange

// idRange says that count numbers from volume on are, here, those from local on.
type idRange struct{ volume, local, count uint32 }

// parseIDMap parses "VOLUME:LOCAL[:COUNT]", several of them joined by slashes: a
// list of mount options has commas already.
func parseIDMap(list string) (m IDMap, err error) {
	for part := range strings.SplitSeq(list, "/") {
		r, err := parseIDRange(part)
		if err != nil {
			return nil, err
		}
		for _, other := range m {
			if overlap(r.volume, other.volume, r.count, other.count) || overlap(r.local, other.local, r.count, other.count) {
				return nil, fmt.Errorf("%q maps what another part maps already", part)
			}
		}
		m = append(m, r)
	}
	return m, nil
}

func parseIDRange(part string) (idRange, error) {
	words := strings.Split(part, ":")
	if len(words) != 2 && len(words) != 3 {
		return idRange{}, fmt.Errorf("%q is not VOLUME:LOCAL or VOLUME:LOCAL:COUNT", part)
	}
	n := [3]uint32{2: 1}
	for i, word := range words {
		v, err := strconv.ParseUint(word, 10, 32)
		if err != nil {
			return idRange{}, fmt.Errorf("%q is not a number from 0 to 4294967295", word)
		}
		n[i] = uint32(v)
	}
	r := idRange{volume: n[0], local: n[1], count: n[2]}
	// The number with all bits set means none.
	if r.count == 0 || uint64(r.volume)+uint64(r.count) > 1<<32-1 || uint64(r.local)+uint64(r.count) > 1<<32-1 {
		return idRange{}, fmt.Errorf("%q has no numbers, or some above 4294967294", part)
	}
	return r, nil
}

// overlap reports whether ranges of na and nb numbers from a and b share one.
func overlap(a, b, na, nb uint32) bool { return a-b < nb || b-a < na }

// out is the number here of one in the volume.
func (m IDMap) out(id uint32) uint32 {
	for _, r := range m {
		if id-r.volume < r.count {
			return r.local + (id - r.volume)
		}
	}
	if len(m) > 0 {
		return overflowID
	}
	return id
}

// in is the number in the volume of one here; false if it has none.
func (m IDMap) in(id uint32) (uint32, bool) {
	for _, r := range m {
		if id-r.local < r.count {
			return r.volume + (id - r.local), true
		}
	}
	return id, len(m) == 0
}

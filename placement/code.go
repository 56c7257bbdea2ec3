package placement

import (
	"fmt"
	"strconv"
)

// Classes of stripes. They never mix: each gets the code that fits its use.
const (
	ClassData     uint8 = 1
	ClassMetadata uint8 = 2
	ClassIndex    uint8 = 3
)

// A Code is a systematic Reed-Solomon code: K data shards, M spare ones, any K of the K+M suffice.
// The matrix is klauspost/reedsolomon's default (a Vandermonde matrix made systematic, over GF(2^8) modulo 0x11d).
type Code struct{ K, M int }

// N is the number of shards of a stripe.
func (c Code) N() int { return c.K + c.M }

// Happy is how many shards must be held in distinct failure domains before a stripe counts as placed: K and half of M,
// rounded up.
func (c Code) Happy() int { return c.K + (c.M+1)/2 }

// Target is the payload in bytes at which a stripe of this code is closed.
func (c Code) Target() int { return max(4<<20, c.K*256<<10) }

// String is "4+2" for Code{4, 2}.
func (c Code) String() string { return strconv.Itoa(c.K) + "+" + strconv.Itoa(c.M) }

func (c Code) valid() bool { return c.K >= 1 && c.M >= 0 && c.N() <= MaxShards }

// A Policy says how redundantly the owner wants data kept. The zero Policy is Default.
type Policy uint8

// The policies, by the code of their data stripes.
const (
	Default   Policy = iota // 4+2 from six stores, 2+1 from three, else kept on this machine
	Solo                    // this machine only
	Policy2x1               // 2+1
	Policy4x2               // 4+2
	Policy10x6
	Policy20x20
)

var policies = [...]struct {
	name string
	code Code
}{
	Default:     {"default", Code{}},
	Solo:        {"solo", Code{}},
	Policy2x1:   {"2+1", Code{2, 1}},
	Policy4x2:   {"4+2", Code{4, 2}},
	Policy10x6:  {"10+6", Code{10, 6}},
	Policy20x20: {"20+20", Code{20, 20}},
}

// ParsePolicy reads a policy as users write it: "default" (or nothing), "solo", "2+1", "4+2", "10+6", "20+20".
func ParsePolicy(s string) (Policy, error) {
	if s == "" {
		return Default, nil
	}
	for p, d := range policies {
		if d.name == s {
			return Policy(p), nil
		}
	}
	return Default, fmt.Errorf("policy %q is not known; there are default, solo, 2+1, 4+2, 10+6 and 20+20", s)
}

// String is the name that ParsePolicy reads.
func (p Policy) String() string {
	if int(p) < len(policies) {
		return policies[p].name
	}
	return "policy " + strconv.Itoa(int(p))
}

// Needs is the smallest number of stores in distinct failure domains with which the policy places anything; 0 for Solo,
// which never does.
func (p Policy) Needs() int {
	if p == Default {
		return policies[Policy2x1].code.N()
	}
	return p.data(1 << 20).N()
}

// maxSpread bounds the shards of new stripes: a record of so many stays below the 2 KiB that a tree holds as a value.
const maxSpread = 56

// Code is the code of new stripes of a class when so many stores in distinct failure domains are known, this machine not
// counted. False: there are too few, or the policy is Solo; the stripe stays here.
//
// Data stripes have the policy's own code. Index and metadata stripes, without which data cannot be found, get twice as
// many spare shards; on few stores k shrinks to make room, though not below a fifth (20+20 on 40 stores has 36 spare
// shards instead of 40, at ten times the space instead of forty):
//
//	policy   data              index and metadata
//	default  as 2+1 on 3 to 5 stores, as 4+2 from 6
//	2+1      2+1 from 3        1+2 on 3, 2+2 from 4
//	4+2      4+2 from 6        2+4 on 6, 3+4 on 7, 4+4 from 8
//	10+6     10+6 from 16      (n-12)+12 on 16 to 21, 10+12 from 22
//	20+20    20+20 from 40     4+(n-4) on 40 to 43, (n-40)+40 on 44 to 55, 16+40 from 56
func (p Policy) Code(class uint8, stores int) (Code, bool) {
	c := p.data(stores)
	if c.K == 0 || stores < c.N() {
		return Code{}, false
	}
	if class != ClassIndex && class != ClassMetadata {
		return c, true
	}
	k := min(c.K, max(min(stores, maxSpread)-2*c.M, c.K/5, 1))
	return Code{K: k, M: min(2*c.M, stores-k)}, true
}

func (p Policy) data(stores int) Code {
	switch {
	case int(p) >= len(policies):
		return Code{}
	case p != Default:
		return policies[p].code
	case stores >= policies[Policy4x2].code.N():
		return policies[Policy4x2].code
	default:
		return policies[Policy2x1].code
	}
}

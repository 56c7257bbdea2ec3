package swarm

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/hammockfs/hammock/crypt"
)

// cast is a founder and others who sign records about one another.
type cast struct {
	genesis []byte
	all     []*party
}

func newCast(t testing.TB, n int) *cast {
	var all []*party
	for i := range n {
		all = append(all, newParty(t, fmt.Sprint("owner ", i)))
	}
	return castOf(t, all...)
}

func castOf(t testing.TB, all ...*party) *cast {
	c := &cast{all: all}
	g, err := NewGenesis(c.all[0].root, "owner 0", time.Unix(1_700_000_000, 0))
	if err != nil {
		t.Fatal(err)
	}
	c.genesis = g
	return c
}

func (c *cast) roster(t interface{ Fatal(...any) }) *roster {
	r, err := newRoster(c.genesis)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func (c *cast) sign(t interface{ Fatal(...any) }, from, to int, number uint64, change ...func(*record)) []byte {
	r := record{Version: 1, Owner: c.all[to].owner(), Number: number, Name: c.all[to].name, Issued: 1_800_000_000, Certificate: c.all[from].cert}
	for _, f := range change {
		f(&r)
	}
	e, err := signRecord(GenesisID(c.genesis), c.all[from].device, r)
	if err != nil {
		t.Fatal(err)
	}
	return e.raw
}

func revoked(r *record) { r.Revoked = true }

func TestStandings(t *testing.T) {
	c := newCast(t, 5)
	now := time.Unix(1_800_000_100, 0)
	for _, test := range []struct {
		name    string
		records [][]byte
		want    string // who is a member
	}{
		{"nobody was invited", nil, "0"},
		{"a chain, last first", [][]byte{c.sign(t, 2, 3, 1), c.sign(t, 1, 2, 1), c.sign(t, 0, 1, 1)}, "0123"},
		{"invited by a stranger", [][]byte{c.sign(t, 3, 4, 1)}, "0"},
		{"two strangers invite each other", [][]byte{c.sign(t, 3, 4, 1), c.sign(t, 4, 3, 1)}, "0"},
		{"invited by himself", [][]byte{c.sign(t, 1, 1, 1)}, "0"},
		{"revoked by the inviter", [][]byte{c.sign(t, 0, 1, 1), c.sign(t, 1, 2, 1), c.sign(t, 1, 2, 2, revoked)}, "01"},
		{"revoked from above", [][]byte{c.sign(t, 0, 1, 1), c.sign(t, 1, 2, 1), c.sign(t, 0, 2, 1, revoked)}, "01"},
		{"the inviter was revoked", [][]byte{c.sign(t, 0, 1, 1), c.sign(t, 1, 2, 1), c.sign(t, 0, 1, 2, revoked)}, "0"},
		{"revoked by one without a say", [][]byte{c.sign(t, 0, 1, 1), c.sign(t, 0, 2, 1), c.sign(t, 1, 2, 9, revoked)}, "012"},
		{"revoked and invited again", [][]byte{c.sign(t, 0, 1, 1), c.sign(t, 0, 1, 2, revoked), c.sign(t, 0, 1, 3)}, "01"},
		{"an old record does not come back", [][]byte{c.sign(t, 0, 1, 2, revoked), c.sign(t, 0, 1, 1)}, "0"},
		{"a tie goes to the revocation", [][]byte{c.sign(t, 0, 1, 1), c.sign(t, 0, 1, 1, revoked)}, "0"},
		{"he left", [][]byte{c.sign(t, 0, 1, 1), c.sign(t, 1, 1, 1, revoked)}, "0"},
		{"invited by two, revoked by one", [][]byte{c.sign(t, 0, 1, 1), c.sign(t, 0, 2, 1), c.sign(t, 1, 3, 1), c.sign(t, 2, 3, 1), c.sign(t, 1, 3, 2, revoked)}, "0123"},
		{"expired", [][]byte{c.sign(t, 0, 1, 1, func(r *record) { r.Expiry = now.Unix() }), c.sign(t, 1, 2, 1)}, "0"},
		{"not expired", [][]byte{c.sign(t, 0, 1, 1, func(r *record) { r.Expiry = now.Unix() + 1 }), c.sign(t, 1, 2, 1)}, "012"},
		{"the founder cannot be revoked", [][]byte{c.sign(t, 0, 1, 1), c.sign(t, 1, 0, 1, revoked)}, "01"},
	} {
		r := c.roster(t)
		if _, err := r.merge(test.records); err != nil {
			t.Errorf("%s: %v", test.name, err)
		}
		if got := c.who(r, now); got != test.want {
			t.Errorf("%s: members are %s, want %s", test.name, got, test.want)
		}
	}
}

func (c *cast) who(r *roster, now time.Time) (who string) {
	s := r.standings(now)
	for i, p := range c.all {
		if s[p.owner()] != nil {
			who += fmt.Sprint(i)
		}
	}
	return who
}

func TestRecordRefused(t *testing.T) {
	c := newCast(t, 2)
	good := c.sign(t, 0, 1, 1)
	mute := partyOf(t, "reader", c.all[0].root, crypt.RightWrite)
	quiet := &cast{genesis: c.genesis, all: []*party{mute, c.all[1]}}
	refused := func(name string, swarm crypt.ID, raw []byte) {
		t.Helper()
		if _, err := parseRecord(swarm, raw); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	id := GenesisID(c.genesis)
	if _, err := parseRecord(id, good); err != nil {
		t.Fatal(err)
	}
	refused("for another swarm", crypt.Sum(nil), good)
	for i := range good {
		bad := bytes.Clone(good)
		bad[i] ^= 1
		refused(fmt.Sprintf("byte %d changed", i), id, bad)
	}
	refused("too long", id, make([]byte, maxRecord+1))
	e, _ := parseRecord(id, good)
	r := e.record
	r.Certificate = mute.cert
	body, _ := crypt.EncodeCBOR(r)
	raw, _ := crypt.EncodeCBOR(signed{Body: body, Signature: quiet.all[0].device.Sign(contextRecord, id, body)})
	refused("by a device without the right", id, raw)
}

// Whatever the order in which records arrive, and in what portions, all nodes
// agree.
func TestMergeOrder(t *testing.T) {
	c := newCast(t, 5)
	now := time.Unix(1_800_000_100, 0)
	rapid.Check(t, func(t *rapid.T) {
		var raws [][]byte
		for range rapid.IntRange(0, 14).Draw(t, "records") {
			from, to := rapid.IntRange(0, 4).Draw(t, "from"), rapid.IntRange(0, 4).Draw(t, "to")
			number := rapid.Uint64Range(1, 3).Draw(t, "number")
			bad := rapid.Bool().Draw(t, "revoked")
			raws = append(raws, c.sign(t, from, to, number, func(r *record) { r.Revoked = bad }))
		}
		a, b := c.roster(t), c.roster(t)
		a.merge(raws)
		rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0)).Shuffle(len(raws), func(i, j int) { raws[i], raws[j] = raws[j], raws[i] })
		// Portions arrive as gossip does: each node sends all that it keeps.
		cut := rapid.IntRange(0, len(raws)).Draw(t, "cut")
		b.merge(raws[:cut])
		b.merge(slices.Concat(b.list(), raws))
		if digest(a, nil) != digest(b, nil) || c.who(a, now) != c.who(b, now) {
			t.Fatalf("%s and %s of the same %d records", c.who(a, now), c.who(b, now), len(raws))
		}
		for _, s := range a.standings(now) {
			proof := c.roster(t)
			if _, err := proof.merge(s.proof()); err != nil || proof.standings(now)[s.Owner] == nil {
				t.Fatalf("the proof of %s does not prove it: %v", s.Name, err)
			}
		}
	})
}

func TestCardReplaced(t *testing.T) {
	p := newParty(t, "anna")
	id := crypt.Sum([]byte("swarm"))
	now := time.Now()
	make := func(p *party, seq uint64, name string) *device {
		d, err := signCard(id, p.device, card{Version: 1, Certificate: p.cert, Seq: seq, Name: name, Addrs: []string{"/ip4/10.0.0.1/tcp/1"}}, now)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	b := book{}
	if !b.put(make(p, 2, "new")) || b.put(make(p, 1, "old")) {
		t.Error("an old card replaced a newer one")
	}
	for i := range maxDevices {
		b.put(make(partyOf(t, "more", p.root, 0), uint64(10+i), "more"))
	}
	if len(b) != maxDevices || b[make(p, 2, "new").id] != nil {
		t.Errorf("%d cards of one owner are kept", len(b))
	}
	raw := slices.Collect(maps.Values(b))[0].raw
	if _, err := parseCard(crypt.Sum(nil), raw, now); err == nil {
		t.Error("a card of another swarm was taken")
	}
	for i := range raw {
		bad := bytes.Clone(raw)
		bad[i] ^= 1
		if _, err := parseCard(id, bad, now); err == nil {
			t.Fatalf("a card with byte %d changed was taken", i)
		}
	}
}

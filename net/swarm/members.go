package swarm

import (
	"bytes"
	"cmp"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/hammockfs/hammock/crypt"
)

const (
	maxRecords   = 4096 // in one swarm
	maxByInviter = 1024
	maxDepth     = 32 // inviters between a member and the founder
)

// edge is one inviter's say about one owner.
type edge struct{ from, to crypt.OwnerKey }

// roster is the set of member records of a swarm. It only grows and replaces, by
// rules that do not depend on the order of arrival, so two nodes that have seen
// the same records agree. Not safe for concurrent use.
type roster struct {
	id      crypt.ID
	genesis genesis
	raw     []byte // of the genesis
	edges   map[edge]*entry
	hashes  map[crypt.ID]bool // of the records in edges
}

// standing is how an owner is a member.
type standing struct {
	Member
	inviter *standing // nil for the founder
	entry   *entry    // nil for the founder
	depth   int
}

func newRoster(rawGenesis []byte) (*roster, error) {
	g, err := parseGenesis(rawGenesis)
	if err != nil {
		return nil, err
	}
	return &roster{
		id: GenesisID(rawGenesis), genesis: g, raw: rawGenesis,
		edges: make(map[edge]*entry), hashes: make(map[crypt.ID]bool),
	}, nil
}

// maxWrong is how many records or cards of one lot may be wrong. Somebody who
// sends more wants to keep this node busy with their signatures; the rest of his
// lot is not looked at.
const maxWrong = 64

var errTooWrong = errors.New("too much of it is wrong, the rest was not looked at")

// merge takes in foreign records. Those that lead to the founder by no path are
// dropped, and their signatures never looked at; err is the first reason why a
// record was refused.
func (r *roster) merge(raws [][]byte) (changed bool, err error) {
	wrong := 0
	refuse := func(bad error) bool {
		if err == nil {
			err = bad
		}
		wrong++
		return wrong >= maxWrong
	}
	var added []*entry
	for _, raw := range raws {
		if r.hashes[crypt.Sum(raw)] {
			continue
		}
		e, bad := decodeRecord(raw)
		if bad == nil {
			added = append(added, e)
		} else if refuse(bad) {
			return false, errors.Join(err, errTooWrong)
		}
	}
	// The best first: of those that it beats no signature is looked at.
	slices.SortStableFunc(added, func(a, b *entry) int { return cmp.Compare(b.Number, a.Number) })
	for len(added) > 0 {
		rest := added[:0:0]
		reach := r.reachable()
		for _, e := range added {
			switch {
			case !reach[e.inviter]:
				rest = append(rest, e)
			case !r.wants(e):
			default:
				if bad := e.verify(r.id); bad == nil {
					changed = r.put(e) || changed
				} else if refuse(bad) {
					return changed, errors.Join(err, errTooWrong)
				}
			}
		}
		if len(rest) == len(added) {
			break
		}
		added = rest
	}
	return changed, err
}

// wants says whether a record would be kept: none better is there, and no limit
// is reached.
func (r *roster) wants(e *entry) bool {
	if old := r.edges[edge{e.inviter, e.Owner}]; old != nil {
		return e.beats(old)
	}
	return len(r.edges) < maxRecords && r.issuedBy(e.inviter) < maxByInviter
}

// put stores one record if it is wanted.
func (r *roster) put(e *entry) bool {
	if !r.wants(e) {
		return false
	}
	k := edge{e.inviter, e.Owner}
	if old := r.edges[k]; old != nil {
		delete(r.hashes, old.hash)
	}
	r.edges[k], r.hashes[e.hash] = e, true
	return true
}

func (r *roster) issuedBy(inviter crypt.OwnerKey) (n int) {
	for k := range r.edges {
		if k.from == inviter {
			n++
		}
	}
	return n
}

// reachable lists the owners that were ever invited, whatever became of it.
func (r *roster) reachable() map[crypt.OwnerKey]bool {
	next := make(map[crypt.OwnerKey][]crypt.OwnerKey)
	for k := range r.edges {
		next[k.from] = append(next[k.from], k.to)
	}
	reach := map[crypt.OwnerKey]bool{r.genesis.Founder: true}
	queue := []crypt.OwnerKey{r.genesis.Founder}
	for len(queue) > 0 {
		from := queue[0]
		queue = queue[1:]
		for _, to := range next[from] {
			if !reach[to] {
				reach[to] = true
				queue = append(queue, to)
			}
		}
	}
	return reach
}

// standings works out who is a member at a time: the founder, and by rounds whom
// a member's live record names, unless somebody on the way from the founder to
// that inviter, or the owner himself, has revoked it.
func (r *roster) standings(now time.Time) map[crypt.OwnerKey]*standing {
	by := make(map[crypt.OwnerKey][]*entry)
	for k, e := range r.edges {
		if k.from != k.to && e.live(now) {
			by[k.from] = append(by[k.from], e)
		}
	}
	founder := &standing{Member: Member{Owner: r.genesis.Founder, Name: r.genesis.Name, Founder: true}}
	all := map[crypt.OwnerKey]*standing{founder.Owner: founder}
	for round := []*standing{founder}; len(round) > 0 && round[0].depth < maxDepth; {
		var next []*standing
		slices.SortFunc(round, func(a, b *standing) int { return bytes.Compare(a.Owner[:], b.Owner[:]) })
		for _, inviter := range round {
			for _, e := range by[inviter.Owner] {
				if all[e.Owner] == nil && !r.barred(e.Owner, inviter) {
					all[e.Owner] = e.standing(inviter)
					next = append(next, all[e.Owner])
				}
			}
		}
		round = next
	}
	return all
}

func (e *entry) standing(inviter *standing) *standing {
	m := Member{Owner: e.Owner, Name: e.Name, Inviter: e.inviter, Allowance: e.Allowance}
	if e.Expiry != 0 {
		m.Expiry = time.Unix(e.Expiry, 0)
	}
	return &standing{Member: m, inviter: inviter, entry: e, depth: inviter.depth + 1}
}

// barred says whether owner left, or inviter or one above has revoked it.
func (r *roster) barred(owner crypt.OwnerKey, inviter *standing) bool {
	if e := r.edges[edge{owner, owner}]; e != nil && e.Revoked {
		return true
	}
	for s := inviter; s != nil; s = s.inviter {
		if e := r.edges[edge{s.Owner, owner}]; e != nil && e.Revoked {
			return true
		}
	}
	return false
}

// proof lists the records that make an owner a member, the founder's first.
func (s *standing) proof() [][]byte {
	var raws [][]byte
	for ; s != nil && s.entry != nil; s = s.inviter {
		raws = append(raws, s.entry.raw)
	}
	slices.Reverse(raws)
	return raws
}

// above says whether owner is on the way from the founder to s.
func (s *standing) above(owner crypt.OwnerKey) bool {
	for s = s.inviter; s != nil; s = s.inviter {
		if s.Owner == owner {
			return true
		}
	}
	return false
}

// list gives all records in an order that is the same everywhere.
func (r *roster) list() [][]byte {
	raws := make([][]byte, 0, len(r.edges))
	for _, h := range slices.SortedFunc(maps.Values(r.edges), func(a, b *entry) int {
		return bytes.Compare(a.hash[:], b.hash[:])
	}) {
		raws = append(raws, h.raw)
	}
	return raws
}

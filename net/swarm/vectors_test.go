package swarm

import (
	"encoding/hex"
	"encoding/json"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/hammockfs/hammock/crypt"
)

// vectors are what another implementation can check itself against. All keys
// come from the phrase and the device seed; all times are 1,800,000,000 s.
type vectors struct {
	Phrase     string
	DeviceSeed string
	Genesis    string
	Swarm      string
	Record     string // of the founder about the owner key 0202...
	Card       string
	Token      string
	TokenHash  string
	Ticket     string
	Digest     string // of the record and the card
	Refused    []refusal
}

// refusal is something that must not be accepted.
type refusal struct {
	What, Bytes string
	Reason      string // part of the error's text
}

func TestVectors(t *testing.T) {
	got := makeVectors(t)
	const path = "testdata/vectors.json"
	if os.Getenv("UPDATE_VECTORS") != "" {
		b, err := json.MarshalIndent(got, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, append(b, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var want vectors
	if err := json.Unmarshal(b, &want); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("the formats have changed: got %+v, want %+v", got, want)
	}
	for _, r := range want.Refused {
		if err := try(t, &want, r); err == nil || !strings.Contains(err.Error(), r.Reason) {
			t.Errorf("%s is refused with %v, want %q", r.What, err, r.Reason)
		}
	}
}

func try(t *testing.T, v *vectors, r refusal) error {
	raw, err := hex.DecodeString(r.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	id, err := crypt.ParseID(v.Swarm)
	if err != nil {
		t.Fatal(err)
	}
	switch {
	case strings.HasPrefix(r.What, "genesis"):
		_, err = parseGenesis(raw)
	case strings.HasPrefix(r.What, "record"):
		_, err = parseRecord(id, raw)
	case strings.HasPrefix(r.What, "card"):
		_, err = parseCard(id, raw, time.Unix(1_800_000_000, 0))
	case strings.HasPrefix(r.What, "ticket"):
		_, err = ParseTicket(string(raw))
	default:
		t.Fatalf("no parser for %q", r.What)
	}
	return err
}

func makeVectors(t *testing.T) vectors {
	p := fixedParty(t)
	now := time.Unix(1_800_000_000, 0)
	genesis, err := NewGenesis(p.root, "founder", now)
	if err != nil {
		t.Fatal(err)
	}
	id := GenesisID(genesis)
	rec := record{Version: 1, Owner: crypt.OwnerKey([]byte(strings.Repeat("\x02", 32))), Number: 1, Name: "friend", Allowance: 1 << 30, Issued: now.Unix(), Certificate: p.cert}
	e, err := signRecord(id, p.device, rec)
	if err != nil {
		t.Fatal(err)
	}
	c := card{Version: 1, Certificate: p.cert, Seq: 7, Machine: "m", Name: "laptop", Gives: 1 << 30, Addrs: []string{"/ip4/192.0.2.7/tcp/4100"}}
	d, err := signCard(id, p.device, c, now)
	if err != nil {
		t.Fatal(err)
	}
	ticket := Ticket{Swarm: id, Peer: d.id.String(), Addrs: c.Addrs, Token: Token{1, 2, 3}, Expiry: now}
	r := &roster{edges: map[edge]*entry{{}: e}}
	return vectors{
		Phrase: strings.Repeat("abandon ", 23) + "art", DeviceSeed: "01" + strings.Repeat("00", 31),
		Genesis: hex.EncodeToString(genesis), Swarm: id.String(),
		Record: hex.EncodeToString(e.raw), Card: hex.EncodeToString(d.raw),
		Token: hex.EncodeToString(ticket.Token[:]), TokenHash: ticket.Token.hash().String(), Ticket: ticket.String(),
		Digest:  digest(r, book{d.id: d}).String(),
		Refused: makeRefused(t, p, genesis, e, d, ticket.String()),
	}
}

func makeRefused(t *testing.T, p *party, genesis []byte, e *entry, d *device, ticket string) []refusal {
	enc := func(v any) []byte {
		b, err := crypt.EncodeCBOR(v)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	id := GenesisID(genesis)
	rec := func(f func(*record)) []byte {
		r := e.record
		f(&r)
		body := enc(r)
		return enc(signed{body, p.device.Sign(contextRecord, id, body)})
	}
	foreign := enc(e.record)
	var g signed
	if err := crypt.DecodeCBOR(genesis, &g); err != nil {
		t.Fatal(err)
	}
	g.Signature[0] ^= 1
	long := append([]byte{0xa2, 0x18, 0x01}, e.raw[2:]...) // key 1 in two bytes
	var all []refusal
	add := func(what, reason string, raw []byte) {
		all = append(all, refusal{what, hex.EncodeToString(raw), reason})
	}
	add("genesis with a wrong signature", "has not signed", enc(g))
	add("record signed for another swarm", "not signed for this swarm", enc(signed{foreign, p.device.Sign(contextRecord, crypt.ID{}, foreign)}))
	add("record signed as a card", "not signed for this swarm", enc(signed{foreign, p.device.Sign(contextCard, id, foreign)}))
	add("record without a number", "without a number", rec(func(r *record) { r.Number = 0 }))
	add("record of another version", "version 2", rec(func(r *record) { r.Version = 2 }))
	add("record with a negative allowance", "negative", rec(func(r *record) { r.Allowance = -1 }))
	add("record with a name that moves the cursor", "cannot be printed", rec(func(r *record) { r.Name = "\x1b[2J" }))
	add("record in a longer encoding", "not the shortest", long)
	add("card signed as a record", "not signed for this swarm", enc(signed{enc(d.card), p.device.Sign(contextRecord, id, enc(d.card))}))
	add("ticket with a letter changed", "checksum", []byte(ticket[:40]+"A"+ticket[41:]))
	add("ticket without its beginning", "does not begin", []byte(ticket[9:]))
	return all
}

package swarm

import (
	"bytes"
	"testing"
	"time"

	"github.com/hammockfs/hammock/crypt"
)

func FuzzTicket(f *testing.F) {
	f.Add(someTicket(f).String())
	f.Add("hammock1:")
	f.Fuzz(func(t *testing.T, text string) {
		ticket, err := ParseTicket(text)
		if err != nil {
			return
		}
		again, err := ParseTicket(ticket.String())
		if err != nil || again.String() != ticket.String() {
			t.Errorf("%+v does not come back: %v", ticket, err)
		}
	})
}

func FuzzTicketBody(f *testing.F) {
	body, _ := crypt.EncodeCBOR(ticketBody{Version: 1, Addrs: [][]byte{{4, 127, 0, 0, 1, 6, 0, 80}}})
	f.Add(body)
	f.Fuzz(func(t *testing.T, body []byte) {
		if ticket, err := parseTicketBody(body); err == nil {
			ticket.Targets()
			_ = ticket.String()
		}
	})
}

func FuzzRecord(f *testing.F) {
	c := castOf(f, fixedParty(f))
	f.Add(c.sign(failer{f}, 0, 0, 1))
	f.Fuzz(func(t *testing.T, raw []byte) {
		r := c.roster(t)
		r.merge([][]byte{raw})
		r.standings(time.Unix(1_800_000_000, 0))
	})
}

// FuzzRecordBody signs what the fuzzer makes, so that it gets past the signature.
func FuzzRecordBody(f *testing.F) {
	c := castOf(f, fixedParty(f))
	id := GenesisID(c.genesis)
	e, _ := parseRecord(id, c.sign(failer{f}, 0, 0, 1))
	body, _ := crypt.EncodeCBOR(e.record)
	f.Add(body)
	f.Fuzz(func(t *testing.T, body []byte) {
		raw, _ := crypt.EncodeCBOR(signed{Body: body, Signature: c.all[0].device.Sign(contextRecord, id, body)})
		r := c.roster(t)
		r.merge([][]byte{raw})
		r.standings(time.Unix(1_800_000_000, 0))
	})
}

func FuzzCard(f *testing.F) {
	p := fixedParty(f)
	c := card{Version: 1, Certificate: p.cert, Seq: 1, Addrs: []string{"/ip4/10.0.0.1/tcp/1"}}
	body, _ := crypt.EncodeCBOR(c)
	f.Add(body)
	f.Fuzz(func(t *testing.T, body []byte) {
		raw, _ := crypt.EncodeCBOR(signed{Body: body, Signature: p.device.Sign(contextCard, crypt.ID{}, body)})
		if d, err := parseCard(crypt.ID{}, raw, time.Unix(1_800_000_000, 0)); err == nil {
			d.addrInfo()
		}
	})
}

func FuzzHello(f *testing.F) {
	var b bytes.Buffer
	writeFrame(&b, hello{Version: 1, Proof: [][]byte{{1}}, Card: []byte{2}})
	f.Add(b.Bytes())
	f.Fuzz(func(t *testing.T, b []byte) {
		var h hello
		if readFrame(bytes.NewReader(b), &h) == nil {
			h.check(crypt.ID{})
		}
		var g gossip
		readFrame(bytes.NewReader(b), &g)
	})
}

func FuzzAdmission(f *testing.F) {
	c := castOf(f, fixedParty(f))
	a := Admission{Genesis: c.genesis, Records: [][]byte{c.sign(failer{f}, 0, 0, 1)}}
	b, _ := a.Marshal()
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		if a, err := ParseAdmission(b); err == nil {
			a.Check(crypt.ID{}, c.all[0].owner(), time.Unix(1_800_000_000, 0))
		}
	})
}

// failer makes a fuzz target fail like a test.
type failer struct{ f *testing.F }

func (f failer) Fatal(args ...any) { f.f.Fatal(args...) }

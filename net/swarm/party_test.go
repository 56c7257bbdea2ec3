package swarm

import (
	"context"
	"io"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/hammockfs/hammock/crypt"
)

// party is an owner with one device and a state folder in memory.
type party struct {
	name   string
	root   *crypt.Root
	device *crypt.Device
	cert   []byte
	fs     vfs.FS
}

func newParty(t testing.TB, name string) *party {
	t.Helper()
	words, err := crypt.NewPhrase()
	if err != nil {
		t.Fatal(err)
	}
	root, err := crypt.RootFromPhrase(words)
	if err != nil {
		t.Fatal(err)
	}
	return partyOf(t, name, root, crypt.RightWrite|crypt.RightInvite)
}

// fixedParty is always the same one: fuzzing wants runs that can be repeated.
func fixedParty(t testing.TB) *party {
	t.Helper()
	root, err := crypt.RootFromPhrase(strings.Repeat("abandon ", 23) + "art")
	if err != nil {
		t.Fatal(err)
	}
	return partyWith(t, "fixed", root, crypt.DeviceFromSeed([32]byte{1}), crypt.RightInvite)
}

// partyOf is a further device of an owner.
func partyOf(t testing.TB, name string, root *crypt.Root, rights uint64) *party {
	t.Helper()
	return partyWith(t, name, root, crypt.NewDevice(), rights)
}

func partyWith(t testing.TB, name string, root *crypt.Root, device *crypt.Device, rights uint64) *party {
	t.Helper()
	p := &party{name: name, root: root, device: device, fs: vfs.NewMem()}
	c, err := root.Certify(crypt.Certificate{Device: p.device.Key(), Wrap: p.device.Wrap(), WriterEpoch: 1, Rights: rights, NotBefore: 1})
	if err != nil {
		t.Fatal(err)
	}
	if p.cert, err = c.Marshal(); err != nil {
		t.Fatal(err)
	}
	return p
}

func (p *party) owner() crypt.OwnerKey { return p.root.Owner() }

func (p *party) found(t testing.TB) *party {
	t.Helper()
	g, err := NewGenesis(p.root, p.name, time.Unix(1_700_000_000, 0))
	if err != nil {
		t.Fatal(err)
	}
	p.create(t, &Admission{Genesis: g})
	return p
}

func (p *party) create(t testing.TB, a *Admission) {
	t.Helper()
	if err := Create(p.fs, "state", a); err != nil {
		t.Fatal(err)
	}
}

func (p *party) config() Config {
	cfg := Config{
		FS: p.fs, State: "state", Device: p.device, Certificate: p.cert,
		Name: p.name, Machine: "machine of " + p.name, Gives: 1 << 30,
		Listen: []string{"/ip4/127.0.0.1/tcp/0"},
	}
	if os.Getenv("SWARM_TEST_LOG") != "" {
		cfg.Log = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug})).With("node", p.name)
	}
	return cfg
}

var hasty = limits{
	prove: 300 * time.Millisecond, unproven: 4, accepts: pace{1000, 1000}, strangers: pace{1000, 1000}, sameAddress: 100, greets: pace{1000, 1000}, gossips: pace{1000, 1000},
	refresh: time.Minute, gap: 20 * time.Millisecond, tick: 20 * time.Millisecond,
	firstRetry: 50 * time.Millisecond, lastRetry: 200 * time.Millisecond,
}

func (p *party) start(t testing.TB, change ...func(*Config, *limits)) *Swarm {
	t.Helper()
	cfg, lim := p.config(), hasty
	for _, c := range change {
		c(&cfg, &lim)
	}
	s, err := open(t.Context(), cfg, lim)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close %s: %v", p.name, err)
		}
	})
	return s
}

// invite brings p into the swarm of s, without the wire.
func (p *party) joins(t testing.TB, s *Swarm) *party {
	t.Helper()
	text, err := s.Invite(t.Context(), Invitation{})
	if err != nil {
		t.Fatal(err)
	}
	a, err := p.redeem(t, s, text)
	if err != nil {
		t.Fatal(err)
	}
	b, err := a.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	if a, err = ParseAdmission(b); err != nil {
		t.Fatal(err)
	}
	p.create(t, a)
	return p
}

func (p *party) redeem(t testing.TB, s *Swarm, text string) (*Admission, error) {
	t.Helper()
	ticket, err := ParseTicket(text)
	if err != nil {
		t.Fatal(err)
	}
	return s.Redeem(t.Context(), Redemption{Token: ticket.Token, Certificate: p.cert, Name: p.name, Device: p.device.Key()})
}

// until waits for cond, looking again at each change that s tells of.
func until(t testing.TB, s *Swarm, what string, cond func() bool) {
	t.Helper()
	late := time.After(time.Minute)
	for {
		change := s.Watch()
		if cond() {
			return
		}
		select {
		case <-change:
		case <-late:
			t.Fatalf("%s: waited in vain until %s", s.cfg.Name, what)
		}
	}
}

func sees(s *Swarm, p *party) bool {
	id, _ := PeerID(p.device.Key())
	peer, ok := s.Peer(id)
	return ok && peer.Connected
}

func meet(t testing.TB, s *Swarm, others ...*party) {
	t.Helper()
	for _, p := range others {
		until(t, s, "it is connected to "+p.name, func() bool { return sees(s, p) })
	}
}

const testProto = "/hammock/1/test"

func echo(_ context.Context, _ Peer, st Stream) {
	io.Copy(st, st)
	st.Close()
}

func ask(ctx context.Context, s *Swarm, id string) error {
	st, err := s.Stream(ctx, id, testProto)
	if err != nil {
		return err
	}
	defer st.Close()
	return pingPong(st)
}

func pingPong(st Stream) error {
	if _, err := st.Write([]byte("ping")); err != nil {
		return err
	}
	if err := st.CloseWrite(); err != nil {
		return err
	}
	b, err := io.ReadAll(st)
	if err == nil && string(b) != "ping" {
		err = io.ErrUnexpectedEOF
	}
	return err
}

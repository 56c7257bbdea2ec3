package swarm

import (
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hammockfs/hammock/crypt"
)

func someTicket(t testing.TB) *Ticket {
	id, err := PeerID(newParty(t, "anna").device.Key())
	if err != nil {
		t.Fatal(err)
	}
	return &Ticket{
		Swarm: crypt.Sum([]byte("swarm")), Peer: id, Token: newToken(), Expiry: time.Unix(1_900_000_000, 0),
		Addrs: []string{"/ip4/192.0.2.7/tcp/4100", "/dns4/example.org/udp/4100/quic-v1"},
	}
}

func TestTicketText(t *testing.T) {
	want := someTicket(t)
	text := want.String()
	got, err := ParseTicket(" " + text[:20] + "\n  " + text[20:] + "\r\n")
	if err != nil {
		t.Fatal(err)
	}
	if got.Swarm != want.Swarm || got.Peer != want.Peer || got.Token != want.Token || !got.Expiry.Equal(want.Expiry) || !slices.Equal(got.Addrs, want.Addrs) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	for _, target := range got.Targets() {
		if err := CheckAddr(target); err != nil {
			t.Error(err)
		}
	}
	t.Logf("%d characters: %s", len(text), text)
}

func TestTicketSlips(t *testing.T) {
	text := someTicket(t).String()
	for i := range text {
		c := byte('A')
		if text[i] == c {
			c = 'B'
		}
		if _, err := ParseTicket(text[:i] + string(c) + text[i+1:]); !errors.Is(err, ErrTicket) {
			t.Fatalf("character %d changed: %v", i, err)
		}
		if _, err := ParseTicket(text[:i]); !errors.Is(err, ErrTicket) {
			t.Fatalf("cut at %d: %v", i, err)
		}
	}
	if _, err := ParseTicket(strings.Repeat("x", maxTicket+1)); !errors.Is(err, ErrTicket) {
		t.Errorf("too long: %v", err)
	}
}

func TestRedeem(t *testing.T) {
	var passed atomic.Int64
	now := func() time.Time { return time.Unix(1_800_000_000, 0).Add(time.Duration(passed.Load())) }
	a, b, c := newParty(t, "anna").found(t), newParty(t, "bert"), newParty(t, "carl")
	sa := a.start(t, func(cfg *Config, _ *limits) { cfg.Now = now })
	invite := func(inv Invitation) string {
		t.Helper()
		text, err := sa.Invite(t.Context(), inv)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	text := invite(Invitation{})
	if _, err := b.redeem(t, sa, text); err != nil {
		t.Fatal(err)
	}
	if _, err := b.redeem(t, sa, text); err != nil {
		t.Errorf("the same owner asks again: %v", err)
	}
	if _, err := c.redeem(t, sa, text); !errors.Is(err, ErrTicketUsed) {
		t.Errorf("another owner redeems a used ticket: %v", err)
	}
	if err := sa.Revoke(t.Context(), b.owner()); err != nil {
		t.Fatal(err)
	}
	if _, err := b.redeem(t, sa, text); !errors.Is(err, ErrTicketUsed) {
		t.Errorf("a revoked owner shows his old ticket: %v", err)
	}
	if _, err := b.redeem(t, sa, invite(Invitation{})); err != nil {
		t.Errorf("a revoked owner shows a new ticket: %v", err)
	}

	forged := someTicket(t)
	if _, err := c.redeem(t, sa, forged.String()); !errors.Is(err, ErrTicketUnknown) {
		t.Errorf("a forged ticket: %v", err)
	}
	late := invite(Invitation{Valid: time.Hour})
	passed.Add(int64(time.Hour))
	if _, err := c.redeem(t, sa, late); !errors.Is(err, ErrTicketExpired) {
		t.Errorf("an expired ticket: %v", err)
	}

	// A membership that ends.
	if _, err := c.redeem(t, sa, invite(Invitation{Expiry: now().Add(time.Hour)})); err != nil || !sa.IsMember(c.owner()) {
		t.Errorf("a membership of an hour: %v", err)
	}
	passed.Add(int64(time.Hour))
	if sa.IsMember(c.owner()) {
		t.Error("the membership goes on after its hour")
	}

	good := newParty(t, "dora")
	ticket, _ := ParseTicket(invite(Invitation{}))
	bad := Redemption{Token: ticket.Token, Certificate: good.cert, Device: c.device.Key()}
	if _, err := sa.Redeem(t.Context(), bad); err == nil {
		t.Error("somebody else's certificate was taken")
	}
	bad = Redemption{Token: ticket.Token, Certificate: good.cert, Name: "evil\x1b[2J", Device: good.device.Key()}
	if _, err := sa.Redeem(t.Context(), bad); err == nil {
		t.Error("a name that clears the screen was taken")
	}
	if sa.IsMember(good.owner()) {
		t.Error("a refused redemption admitted somebody")
	}
}

func TestAdmissionCheck(t *testing.T) {
	a, b := newParty(t, "anna").found(t), newParty(t, "bert")
	sa := a.start(t)
	now := time.Now()
	if err := sa.Admission().Check(sa.ID(), a.owner(), now); err != nil {
		t.Error(err)
	}
	if err := sa.Admission().Check(crypt.ID{}, b.owner(), now); !errors.Is(err, ErrNotMember) {
		t.Errorf("an admission that does not admit: %v", err)
	}
	if err := sa.Admission().Check(crypt.Sum(nil), a.owner(), now); !errors.Is(err, ErrTicketSwarm) {
		t.Errorf("an admission to another swarm: %v", err)
	}
}

func TestCheckAddr(t *testing.T) {
	id, _ := PeerID(newParty(t, "anna").device.Key())
	for _, bad := range []string{"", "10.0.0.1:4100", "/ip4/10.0.0.1/tcp/4100", "/p2p/" + id, "/ip4/10.0.0.1/tcp/4100/p2p/QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N", strings.Repeat("/ip4/10.0.0.1", 100)} {
		if err := CheckAddr(bad); !errors.Is(err, ErrAddr) {
			t.Errorf("%q: %v", clip(bad), err)
		}
	}
	if err := CheckAddr("/ip4/10.0.0.1/tcp/4100/p2p/" + id); err != nil {
		t.Error(err)
	}
}

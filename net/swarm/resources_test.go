package swarm

import (
	"fmt"
	"io"
	"net"
	"runtime"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/hammockfs/hammock/crypt"
)

// office makes n owners with a device each members of s, as it learns of them
// from others.
func office(t *testing.T, s *Swarm, n int) []peer.ID {
	t.Helper()
	ids := make([]peer.ID, n)
	for i := range ids {
		p := newParty(t, fmt.Sprint("desk ", i))
		text, err := s.Invite(t.Context(), Invitation{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := p.redeem(t, s, text); err != nil {
			t.Fatal(err)
		}
		d, err := signCard(s.ID(), p.device, card{Version: 1, Certificate: p.cert, Seq: 1}, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		if err := s.learn(nil, [][]byte{d.raw}); err != nil {
			t.Fatal(err)
		}
		ids[i] = d.id
	}
	return ids
}

func strangerID(t *testing.T) peer.ID {
	t.Helper()
	id, err := peerID(crypt.NewDevice().Key())
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// dialled is one connection from an address; a zero ID has not shown its key.
func dialled(m network.ResourceManager, from ma.Multiaddr, id peer.ID) (network.ConnManagementScope, error) {
	c, err := m.OpenConnection(network.DirInbound, true, from)
	if err != nil || id == "" {
		return c, err
	}
	if err := c.SetPeer(id); err != nil {
		c.Done()
		return nil, err
	}
	return c, nil
}

// Fifty machines of an office stand behind one address, each with a few
// connections: none is refused. Strangers at that address are few, and take
// nothing from those at another.
func TestManyMembersBehindOneAddress(t *testing.T) {
	s := newParty(t, "one").found(t).start(t, func(_ *Config, l *limits) { l.sameAddress = usualLimits.sameAddress })
	m := s.host.Network().ResourceManager()
	here, there := addr(t, "/ip4/192.0.2.1/tcp/4001"), addr(t, "/ip4/192.0.2.2/tcp/4001")
	var open []network.ConnManagementScope
	for _, id := range office(t, s, 50) {
		for range 3 {
			c, err := dialled(m, here, id)
			if err != nil {
				t.Fatalf("after %d connections: %v", len(open), err)
			}
			open = append(open, c)
		}
	}
	var strangers []network.ConnManagementScope
	for i := range 200 {
		id := peer.ID("")
		if i%2 == 0 {
			id = strangerID(t)
		}
		if c, err := dialled(m, here, id); err == nil {
			strangers = append(strangers, c)
		}
	}
	if n := len(strangers); n != usualLimits.sameAddress {
		t.Errorf("%d connections of strangers from one address", n)
	}
	c, err := dialled(m, there, strangerID(t))
	if err != nil {
		t.Fatalf("a stranger at another address: %v", err)
	}
	for _, c := range append(append(open, strangers...), c) {
		c.Done()
		c.Done() // as libp2p may
	}
	if by := m.(*resources).by; len(by) != 0 {
		t.Errorf("addresses are still counted: %v", by)
	}
}

// A device has the streams of a stranger until it is a member's, and then more,
// on the same connection.
func TestStrangersHaveFewStreams(t *testing.T) {
	s := newParty(t, "one").found(t).start(t)
	m := s.host.Network().ResourceManager()
	member, stranger := office(t, s, 1)[0], strangerID(t)
	count := func(id peer.ID) (n int) {
		for ; n < 1000; n++ {
			st, err := m.OpenStream(id, network.DirInbound)
			if err != nil {
				return n
			}
			t.Cleanup(st.Done)
		}
		return n
	}
	if n := count(stranger); n != strangerLimits.StreamsInbound {
		t.Errorf("a stranger has %d streams", n)
	}
	if n := count(member); n != memberLimits.StreamsInbound {
		t.Errorf("a member has %d streams", n)
	}
	id := strangerID(t)
	conn, err := dialled(m, addr(t, "/ip4/192.0.2.1/tcp/4001"), id)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Done()
	s.mu.Lock()
	s.cards[id] = s.cards[member]
	s.mu.Unlock()
	if n := count(id); n != memberLimits.StreamsInbound {
		t.Errorf("who has become a member has %d streams", n)
	}
}

// Connections that never say a word do not keep members out, nor each other's
// addresses, and are few.
func TestSilentConnections(t *testing.T) {
	one := newParty(t, "one").found(t)
	s := one.start(t, func(_ *Config, l *limits) { l.sameAddress = 5 })
	to := s.host.Network().ListenAddresses()[0]
	port, err := to.ValueForProtocol(ma.P_TCP)
	if err != nil {
		t.Fatal(err)
	}
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 9)}, Timeout: 10 * time.Second}
	ended := make(chan struct{}, 40)
	for range 40 {
		c, err := d.Dial("tcp", "127.0.0.1:"+port)
		if err != nil && runtime.GOOS != "linux" {
			t.Skipf("only Linux has all of 127/8: %v", err)
		}
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		go func() {
			_, _ = io.Copy(io.Discard, c)
			ended <- struct{}{}
		}()
	}
	for i := range 35 {
		select {
		case <-ended:
		case <-time.After(10 * time.Second): // before libp2p's own end of a handshake, 15 s
			t.Fatalf("%d of 40 silent connections from one address are open", 40-i)
		}
	}
	two := newParty(t, "two").joins(t, s)
	meet(t, two.start(t), one)
}

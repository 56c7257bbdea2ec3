package swarm

import (
	"fmt"
	"testing"
	"time"

	ma "github.com/multiformats/go-multiaddr"
)

func addr(t *testing.T, text string) ma.Multiaddr {
	a, err := ma.NewMultiaddr(text)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestThrottle(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	th := newThrottle(pace{1, 3}, func() time.Time { return now })
	count := func(text string) (n int) {
		for range 10 {
			if th.allow(addr(t, text)) {
				n++
			}
		}
		return n
	}
	if n := count("/ip4/192.0.2.1/tcp/1"); n != 3 {
		t.Errorf("%d at once, want 3", n)
	}
	if n := count("/ip4/192.0.2.1/tcp/2"); n != 0 {
		t.Errorf("%d more from another port", n)
	}
	if n := count("/ip4/192.0.2.2/tcp/1"); n != 3 {
		t.Errorf("%d from another address, want 3", n)
	}
	if n := count("/ip6/2001:db8::1/tcp/1") + count("/ip6/2001:db8::2/tcp/1"); n != 3 {
		t.Errorf("%d from one IPv6 network, want 3", n)
	}
	now = now.Add(2 * time.Second)
	if n := count("/ip4/192.0.2.1/udp/1/quic-v1"); n != 2 {
		t.Errorf("%d after two seconds, want 2", n)
	}
	for i := range 2 * maxThrottled {
		th.allow(addr(t, fmt.Sprintf("/ip4/10.%d.%d.1/tcp/1", i/256, i%256)))
	}
	if len(th.by) > maxThrottled+1 {
		t.Errorf("%d addresses are remembered", len(th.by))
	}
	now = now.Add(time.Minute)
	if !th.allow(addr(t, "/ip4/198.51.100.1/tcp/1")) {
		t.Error("a flood of addresses shut out another for good")
	}
}

func TestRankAddrs(t *testing.T) {
	tcp, quic := addr(t, "/ip4/192.0.2.1/tcp/1"), addr(t, "/ip4/192.0.2.1/udp/1/quic-v1")
	relay := addr(t, "/ip4/192.0.2.9/tcp/1/p2p/12D3KooWGzBJgkzPPD2nXJ1Cx6Lw3oZs5yRyY1pBJPqjWKcZmtfS/p2p-circuit")
	for _, test := range []struct {
		addrs []ma.Multiaddr
		want  []time.Duration
	}{
		{[]ma.Multiaddr{quic, relay, tcp}, []time.Duration{quicDelay, relayedDelay, 0}},
		{[]ma.Multiaddr{quic, relay}, []time.Duration{0, relayedDelay - quicDelay}},
		{[]ma.Multiaddr{relay}, []time.Duration{0}},
		{nil, nil},
	} {
		for i, r := range rankAddrs(test.addrs) {
			if r.Delay != test.want[i] || !r.Addr.Equal(test.addrs[i]) {
				t.Errorf("%v is dialled after %v, want %v", r.Addr, r.Delay, test.want[i])
			}
		}
	}
}

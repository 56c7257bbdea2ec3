package swarm

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/metrics"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	p2pswarm "github.com/libp2p/go-libp2p/p2p/net/swarm"
	libp2ptls "github.com/libp2p/go-libp2p/p2p/security/tls"
	libp2pquic "github.com/libp2p/go-libp2p/p2p/transport/quic"
	"github.com/libp2p/go-libp2p/p2p/transport/tcp"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/hammockfs/hammock/crypt"
)

const (
	dialTimeout  = 10 * time.Second
	quicDelay    = time.Second     // TCP goes first: it is three times as fast here
	relayedDelay = 2 * time.Second // a relay only when nothing direct answers
)

// baseOptions are those that members and strangers share: who this device is,
// TCP with TLS 1.3, QUIC.
func baseOptions(d *crypt.Device) ([]libp2p.Option, error) {
	key, err := hostKey(d)
	if err != nil {
		return nil, err
	}
	return []libp2p.Option{
		libp2p.Identity(key),
		libp2p.Transport(tcp.NewTCPTransport),
		libp2p.Transport(libp2pquic.NewTransport),
		libp2p.Security(libp2ptls.ID, libp2ptls.New),
		libp2p.SwarmOpts(p2pswarm.WithDialRanker(rankAddrs)),
		libp2p.WithDialTimeout(dialTimeout),
		libp2p.UserAgent("hammock"),
		libp2p.DisableMetrics(),
		libp2p.Ping(false),
	}, nil
}

// rankAddrs dials TCP at once, QUIC where TCP has not answered soon, relays last.
func rankAddrs(addrs []ma.Multiaddr) []network.AddrDelay {
	ranked := make([]network.AddrDelay, 0, len(addrs))
	first := relayedDelay
	for _, a := range addrs {
		first = min(first, addrDelay(a))
	}
	for _, a := range addrs {
		ranked = append(ranked, network.AddrDelay{Addr: a, Delay: addrDelay(a) - first})
	}
	return ranked
}

func addrDelay(a ma.Multiaddr) time.Duration {
	if _, err := a.ValueForProtocol(ma.P_CIRCUIT); err == nil {
		return relayedDelay
	}
	if _, err := a.ValueForProtocol(ma.P_QUIC_V1); err == nil {
		return quicDelay
	}
	return 0
}

// traffic counts the bytes of all streams, without delay and without what TLS
// adds. libp2p's own counter shows what was true up to a second ago.
type traffic struct{ in, out atomic.Int64 }

var _ metrics.Reporter = (*traffic)(nil)

func (t *traffic) LogSentMessage(n int64)                           { t.out.Add(n) }
func (t *traffic) LogRecvMessage(n int64)                           { t.in.Add(n) }
func (t *traffic) LogSentMessageStream(int64, protocol.ID, peer.ID) {}
func (t *traffic) LogRecvMessageStream(int64, protocol.ID, peer.ID) {}
func (t *traffic) GetBandwidthForPeer(peer.ID) metrics.Stats        { return metrics.Stats{} }
func (t *traffic) GetBandwidthForProtocol(protocol.ID) metrics.Stats {
	return metrics.Stats{}
}
func (t *traffic) GetBandwidthTotals() metrics.Stats {
	return metrics.Stats{TotalIn: t.in.Load(), TotalOut: t.out.Load()}
}
func (t *traffic) GetBandwidthByPeer() map[peer.ID]metrics.Stats         { return nil }
func (t *traffic) GetBandwidthByProtocol() map[protocol.ID]metrics.Stats { return nil }
func (t *traffic) Reset()                                                { t.in.Store(0); t.out.Store(0) }
func (t *traffic) TrimIdle(time.Time)                                    {}

// Stranger talks to one node before being a member: to redeem a ticket there, or
// to recover. It listens nowhere. Close it before the same device opens a
// [Swarm]. Safe for concurrent use.
type Stranger struct{ host host.Host }

// NewStranger makes a host with the identity of d.
func NewStranger(d *crypt.Device) (*Stranger, error) {
	opts, err := baseOptions(d)
	if err != nil {
		return nil, err
	}
	h, err := libp2p.New(append(opts, libp2p.NoListenAddrs, libp2p.DisableRelay())...)
	if err != nil {
		return nil, fmt.Errorf("start the network: %w", err)
	}
	return &Stranger{host: h}, nil
}

// Open dials the targets (addresses with /p2p/ and the ID of the peer) and opens
// a stream to the first that answers and holds the key that its ID names.
// ErrAddr for what is no address, ErrUnreachable with each reason otherwise.
func (st *Stranger) Open(ctx context.Context, targets []string, proto string) (Stream, error) {
	peers, order, err := gather(targets)
	if err != nil {
		return nil, err
	}
	var failed []error
	for _, id := range order {
		if err := st.host.Connect(ctx, peers[id]); err != nil {
			failed = append(failed, fmt.Errorf("connect to %s: %w", id, err))
			continue
		}
		s, err := st.host.NewStream(ctx, id, protocol.ID(proto))
		if err == nil {
			return s, nil
		}
		failed = append(failed, fmt.Errorf("ask %s for %s: %w", id, proto, err))
	}
	return nil, fmt.Errorf("%w: %w", ErrUnreachable, errors.Join(failed...))
}

// gather groups addresses by peer, in the order given.
func gather(targets []string) (map[peer.ID]peer.AddrInfo, []peer.ID, error) {
	peers := make(map[peer.ID]peer.AddrInfo)
	var order []peer.ID
	for _, t := range targets {
		info, err := parseTarget(t)
		if err != nil {
			return nil, nil, err
		}
		known, ok := peers[info.ID]
		if !ok {
			order = append(order, info.ID)
		}
		known.ID, known.Addrs = info.ID, append(known.Addrs, info.Addrs...)
		peers[info.ID] = known
	}
	if len(order) == 0 {
		return nil, nil, fmt.Errorf("%w: none was given", ErrAddr)
	}
	return peers, order, nil
}

// Close ends all connections.
func (st *Stranger) Close() error { return st.host.Close() }

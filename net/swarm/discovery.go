package swarm

import (
	"context"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/libp2p/go-libp2p"
	dht "github.com/libp2p/go-libp2p-kad-dht"
	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/p2p/discovery/mdns"
	"github.com/libp2p/go-libp2p/p2p/host/autorelay"
	relayv2 "github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/relay"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"

	"github.com/hammockfs/hammock/crypt"
)

const (
	findTime      = 10 * time.Second
	refusedSearch = "a stranger's search was refused"
)

// listen starts the host and what answers on it.
func (s *Swarm) listen() error {
	opts, err := baseOptions(s.cfg.Device)
	if err != nil {
		return err
	}
	limited, err := s.resourceManager()
	if err != nil {
		return err
	}
	opts = append(opts, libp2p.ConnectionGater(s.gate), libp2p.BandwidthReporter(&s.traffic), libp2p.ResourceManager(limited))
	if len(s.cfg.Listen) == 0 {
		opts = append(opts, libp2p.NoListenAddrs)
	} else {
		opts = append(opts, libp2p.ListenAddrStrings(s.cfg.Listen...))
	}
	if s.cfg.NAT {
		opts = append(opts, s.reachability()...)
	} else {
		opts = append(opts, libp2p.DisableRelay())
	}
	if s.host, err = libp2p.New(opts...); err != nil {
		return fmt.Errorf("listen on %v: %w", s.cfg.Listen, err)
	}
	s.stops = append(s.stops, s.host.Close)
	return nil
}

// answerAll begins to say hello; this device's card is there by now.
func (s *Swarm) answerAll() error {
	s.host.SetStreamHandler(ProtocolHello, func(ns network.Stream) {
		if !s.serve(func() { s.answerHello(ns) }) {
			ns.Reset()
		}
	})
	s.host.Network().Notify(&network.NotifyBundle{ConnectedF: s.connected, DisconnectedF: s.disconnected})
	return s.followAddrs()
}

// reachability is what libp2p offers to those behind a NAT. Only members may use
// this node as a relay, and only members' nodes are asked to be one.
func (s *Swarm) reachability() []libp2p.Option {
	return []libp2p.Option{
		libp2p.NATPortMap(), libp2p.EnableNATService(), libp2p.EnableAutoNATv2(),
		libp2p.EnableRelay(), libp2p.EnableHolePunching(),
		libp2p.EnableRelayService(relayv2.WithACL(s)),
		libp2p.EnableAutoRelayWithPeerSource(s.relays, autorelay.WithMinInterval(30*time.Second)),
	}
}

// AllowReserve is asked by the relay service whether a device may be reached
// through this node: members' devices may.
func (s *Swarm) AllowReserve(id peer.ID, _ ma.Multiaddr) bool { return s.isKnown(id) }

// AllowConnect is asked by the relay service whether it may connect two devices:
// members' it may.
func (s *Swarm) AllowConnect(src peer.ID, _ ma.Multiaddr, dest peer.ID) bool {
	return s.isKnown(src) && s.isKnown(dest)
}

// relays offers the devices at hand as relays; libp2p finds out which of them
// are.
func (s *Swarm) relays(ctx context.Context, n int) <-chan peer.AddrInfo {
	s.mu.RLock()
	defer s.mu.RUnlock()
	ch := make(chan peer.AddrInfo, len(s.cards))
	for id, d := range s.cards {
		if c := s.contacts[id]; c != nil && c.greeted && len(ch) < n {
			ch <- d.addrInfo()
		}
	}
	close(ch)
	return ch
}

// followAddrs signs a new card when this device's addresses change.
func (s *Swarm) followAddrs() error {
	sub, err := s.host.EventBus().Subscribe(new(event.EvtLocalAddressesUpdated))
	if err != nil {
		return fmt.Errorf("watch this device's addresses: %w", err)
	}
	s.stops = append(s.stops, sub.Close)
	s.goDo(func() {
		for range sub.Out() {
			if err := s.renewCard(); err != nil {
				s.cfg.Log.Error("this device's card could not be renewed", "error", err)
			}
		}
	})
	return nil
}

// ownAddrs are the addresses that others may use, without the peer ID: all, or if
// this device listens to the outside, those that are outside.
func (s *Swarm) ownAddrs() []string {
	var all, outside []string
	for _, a := range s.host.Addrs() {
		text := a.String()
		if len(text) > maxAddr {
			continue
		}
		all = append(all, text)
		if !manet.IsIPLoopback(a) {
			outside = append(outside, text)
		}
	}
	if len(outside) > 0 {
		all = outside
	}
	return all[:min(len(all), maxAddrs)]
}

// discover starts the search on the local network and among the members.
func (s *Swarm) discover() error {
	if s.cfg.MDNS {
		m := mdns.NewMdnsService(s.host, "_hammock-"+s.nickname()+"._udp", (*nearby)(s))
		if err := m.Start(); err != nil {
			s.cfg.Log.Warn("the local network cannot be searched", "error", err)
		} else {
			s.stops = append(s.stops, m.Close)
		}
	}
	if !s.cfg.DHT {
		return nil
	}
	d, err := dht.New(membersHost{s.host, s},
		dht.ProtocolPrefix(s.searchPrefix()), dht.Mode(dht.ModeServer),
		dht.DisableProviders(), dht.DisableValues(),
		dht.RoutingTableFilter(func(_ any, id peer.ID) bool { return s.isKnown(id) }),
		dht.QueryFilter(func(_ any, info peer.AddrInfo) bool { return s.isKnown(info.ID) }))
	if err != nil {
		return fmt.Errorf("start the search among members: %w", err)
	}
	s.dht = d
	s.stops = append(s.stops, d.Close)
	return nil
}

func (s *Swarm) searchPrefix() protocol.ID { return protocol.ID("/hammock/1/" + s.nickname()) }

// searchable takes a device that has just been greeted into the table of whom to
// ask. The DHT asks whoever connects by itself, but once, and mostly before the
// hello: then one side does not know the other yet and refuses, and the DHT
// looks again only after minutes. If the device is not identified yet, so that
// nothing is known of its protocols, then the DHT's own question is still to
// come, and will be answered.
func (s *Swarm) searchable(id peer.ID) {
	if s.dht == nil || !s.isKnown(id) {
		return
	}
	if speaks, err := s.host.Peerstore().SupportsProtocols(id, s.searchPrefix()+"/kad/1.0.0"); err != nil || len(speaks) == 0 {
		return
	}
	if _, err := s.dht.RoutingTable().TryAddPeer(id, true, true); err != nil {
		s.cfg.Log.Debug("a member's device is not asked in searches", "peer", id, "error", err)
	}
}

// nickname tells swarms apart where strangers listen; it does not show the ID.
func (s *Swarm) nickname() string {
	h := crypt.Sum(append([]byte("hammock swarm nickname"), s.roster.id[:]...))
	return hex.EncodeToString(h[:8])
}

// nearby is told by mDNS about devices on the local network.
type nearby Swarm

// HandlePeerFound notes the addresses of a known device and tries them at once.
func (n *nearby) HandlePeerFound(info peer.AddrInfo) {
	s := (*Swarm)(n)
	s.mu.Lock()
	defer s.mu.Unlock()
	if info.ID == s.host.ID() || s.known(info.ID) == nil {
		return
	}
	s.host.Peerstore().AddAddrs(info.ID, info.Addrs, 10*time.Minute)
	if c := s.contact(info.ID); !c.greeted {
		c.next = s.cfg.Now()
		s.wake()
	}
}

// find asks the other members where a device is.
func (s *Swarm) find(ctx context.Context, id peer.ID) (peer.AddrInfo, bool) {
	if s.dht == nil || s.dht.RoutingTable().Size() == 0 {
		return peer.AddrInfo{}, false
	}
	ctx, cancel := context.WithTimeout(ctx, findTime)
	defer cancel()
	info, err := s.dht.FindPeer(ctx, id)
	return info, err == nil && len(info.Addrs) > 0
}

// membersHost is the host as the DHT sees it: what it answers, it answers to
// members.
type membersHost struct {
	host.Host
	s *Swarm
}

// SetStreamHandler wraps the handler, so that strangers' streams are reset.
func (h membersHost) SetStreamHandler(id protocol.ID, f network.StreamHandler) {
	h.Host.SetStreamHandler(id, func(ns network.Stream) {
		if !h.s.isKnown(ns.Conn().RemotePeer()) {
			ns.ResetWithError(network.StreamGated)
			h.s.cfg.Log.Debug(refusedSearch, "peer", ns.Conn().RemotePeer())
			return
		}
		f(ns)
	})
}

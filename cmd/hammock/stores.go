package main

import (
	"context"
	"log/slog"
	"sync"

	"github.com/hammockfs/hammock/fs/meta"
	"github.com/hammockfs/hammock/net/swarm"
	"github.com/hammockfs/hammock/net/wire"
	"github.com/hammockfs/hammock/placement"
)

// kindPeer is the kind of a store that is a peer, in the volume's store table.
const kindPeer = 1

// stores are the places for shards that a volume knows: the peers in its store
// table, with what the swarm says of them just now.
type stores struct {
	swarm  *swarm.Swarm
	client *wire.Client
	log    *slog.Logger

	mu sync.Mutex
	db *meta.DB // guarded by mu; nil until the volume is open
}

func newStores(n *node) *stores {
	return &stores{swarm: n.swarm, client: n.client, log: n.log}
}

// attach gives the store table, once it is there.
func (s *stores) attach(db *meta.DB) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.db = db
}

func (s *stores) table() []meta.StoreEntry {
	s.mu.Lock()
	db := s.db
	s.mu.Unlock()
	if db == nil {
		return nil
	}
	return db.Stores()
}

// discover gives every peer that takes shards its number in the store table. It
// says whether there is one that had none.
func (s *stores) discover(ctx context.Context) (found bool, err error) {
	known := map[string]meta.StoreEntry{}
	for _, e := range s.table() {
		known[e.Peer] = e
	}
	for _, p := range s.swarm.Peers() {
		e, ok := known[p.ID]
		if p.Gives <= 0 || ok && e.Machine == p.Machine {
			continue
		}
		_, err := s.db.AddStore(ctx, meta.StoreEntry{Kind: kindPeer, Peer: p.ID, Owner: p.Owner, Machine: p.Machine, Addrs: p.Addrs})
		if err != nil {
			return found, err
		}
		s.log.Info("a new place for shards", "peer", p.ID, "name", p.Name)
		found = true
	}
	return found, nil
}

// Stores implements placement.Stores.
func (s *stores) Stores() []placement.StoreInfo {
	here := s.swarm.Self().Machine
	var list []placement.StoreInfo
	for _, e := range s.table() {
		if e.Kind != kindPeer {
			continue
		}
		info := placement.StoreInfo{Number: e.Number, Name: e.Peer, Owner: e.Owner, Machine: e.Machine,
			Here: e.Machine == here}
		if p, ok := s.swarm.Peer(e.Peer); ok {
			info.Online, info.Free, info.Site = p.Connected, p.Free, p.Site
			if p.Name != "" {
				info.Name = p.Name
			}
		}
		list = append(list, info)
	}
	return list
}

// Store implements placement.Stores.
func (s *stores) Store(number uint32) (placement.Store, bool) {
	for _, e := range s.table() {
		if e.Number == number && e.Kind == kindPeer {
			return peerStore{s.client.Peer(e.Peer)}, true
		}
	}
	return nil, false
}

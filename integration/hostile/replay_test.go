package hostile

import (
	"context"
	"io"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/hammockfs/hammock/crypt"
	"github.com/hammockfs/hammock/net/wire"
)

// say sends recorded bytes on a stream of their own and waits for the end.
func (h *house) say(ctx context.Context, t *testing.T, from wire.Remote, proto string, b []byte) {
	t.Helper()
	node := h.net.Node(from)
	defer node.Close()
	s, err := node.Open(ctx, "house", proto)
	if err != nil {
		return // turned away
	}
	_ = s.SetReadDeadline(time.Now().Add(20 * time.Second))
	_, _ = s.Write(b)
	_ = s.CloseWrite()
	_, _ = io.Copy(io.Discard, s)
	_ = s.Reset()
}

// TestReplays says again what a member has said: his deletion of a shard that he
// has put again since, and an older head of his. From whomever it comes, himself
// included, it changes nothing.
func TestReplays(t *testing.T) {
	h, ctx := newHouse(t, vfs.NewMem(), "depot", patient()), t.Context()
	ben, mallory := newPerson(t), newPerson(t)
	owner := ben.root.Owner()
	self := wire.Remote{Peer: "ben", Owner: owner, Device: ben.device.Key()}
	node := h.net.Node(self)
	defer node.Close()
	client := wire.NewClient(wire.ClientConfig{Dialer: node, Device: ben.device, Certificate: ben.cert, Owner: owner, Swarm: h.swarm})
	defer client.Close()
	peer := client.Peer("house")
	f := newForger(t, seed(t), ben, mallory, h.swarm)
	data := f.junk(20_000)
	id := crypt.Sum(data)

	check(t, peer.Put(ctx, wire.Put{Shard: id, Stripe: 7, Generation: 1}, data))
	deletion := f.frame(ben.deletion(h.swarm, id, 7, 1), nil)
	h.say(ctx, t, self, wire.ProtoSmall, deletion)
	if _, ok, err := peer.Has(ctx, id); err != nil || ok {
		t.Fatalf("what was recorded is no deletion: the shard is there %v, error %v", ok, err)
	}
	check(t, peer.Put(ctx, wire.Put{Shard: id, Stripe: 7, Generation: 2}, data))
	heads := ben.bundles(t, 5, 6)
	old, newer := heads[0], heads[1]
	head := func(raw []byte) []byte { return f.frame(header{1: uint64(6), 2: uint64(len(raw))}, raw) }
	h.say(ctx, t, self, wire.ProtoHead, head(old))
	h.say(ctx, t, self, wire.ProtoHead, head(newer))

	for _, from := range []wire.Remote{
		self,
		{Peer: "mallory", Owner: mallory.root.Owner(), Device: mallory.device.Key()},
		{Peer: "stranger", Device: mallory.device.Key()},
	} {
		for range 3 {
			h.say(ctx, t, from, wire.ProtoSmall, deletion)
			h.say(ctx, t, from, wire.ProtoHead, head(old))
		}
		if _, ok, err := peer.Has(ctx, id); err != nil || !ok {
			t.Errorf("after a replay by %s the shard is there %v, error %v", from.Peer, ok, err)
		}
		kept, err := h.depot.Heads(ctx, owner)
		check(t, err)
		if len(kept) != 1 || counter(t, kept[0]) != 6 {
			t.Errorf("after a replay by %s %d heads are kept, not the newer one", from.Peer, len(kept))
		}
	}
}

func counter(t *testing.T, b crypt.Bundle) uint64 {
	t.Helper()
	h, err := crypt.ParseHead(b.Head)
	check(t, err)
	return h.Counter
}

package wire_test

import (
	"context"
	"io"
	"testing"
	"time"

	"github.com/hammockfs/hammock/crypt"
	"github.com/hammockfs/hammock/net/memnet"
	"github.com/hammockfs/hammock/net/wire"
)

// FuzzSessions plays a script against a server: messages and parts of messages
// on several streams at once, from a member and from a stranger, in any order,
// with ends and resets between them. A step is two bytes: who, where and how, and
// which message. The server must end each stream or wait for more, leave nothing
// reserved, and serve another member all the same.
func FuzzSessions(f *testing.F) {
	alice, carol := newPerson(f), newPerson(f)
	shard := randomBytes(1, 1000)
	said := seeds(f, alice, shard)
	f.Add([]byte{0, 0, 1, 1, 2, 5, 0, 2})
	f.Add([]byte{0, 8, 1, 8, 2, 8, 16, 0, 32, 0, 0, 9})           // announced, and never sent
	f.Add([]byte{3, 6, 131, 6, 4, 7, 132, 7, 132, 6})             // doors, from both
	f.Add([]byte{64, 0, 0, 0, 65, 1, 1, 3, 192, 0, 96, 4, 32, 4}) // halves, ends, resets
	limits := wire.DefaultLimits()
	limits.StrangerRate, limits.StrangerBurst = 1e9, 1e9
	f.Fuzz(func(t *testing.T, script []byte) {
		n := memnet.New(1)
		to := n.Node(wire.Remote{Peer: "bob"})
		d := newDepot()
		d.capacity = 1 << 20
		server := wire.NewServer(wire.ServerConfig{
			Depot: d, Keeper: &keeper{heads: map[crypt.OwnerKey][]crypt.Bundle{}},
			Door: &door{token: "token", owner: alice.root.Owner(), state: []byte("state")}, Limits: limits,
		})
		server.Register(to)
		play(n.Node(remote("alice", alice, true)), n.Node(remote("stranger", alice, false)), said, script[:min(len(script), 64)])

		honest := n.Node(remote("carol", carol, true))
		c := wire.NewClient(wire.ClientConfig{Dialer: honest, Device: carol.device, Certificate: carol.raw, Owner: carol.root.Owner()})
		ctx, stop := context.WithTimeout(context.Background(), 20*time.Second)
		defer stop()
		if err := c.Peer("bob").Put(ctx, wire.Put{Shard: crypt.Sum(shard)}, shard); err != nil {
			t.Errorf("another member is not served: %v", err)
		}
		c.Close()
		server.Close()
		if d.opened() != 0 {
			t.Error("a reservation is left")
		}
		honest.Close()
		to.Close()
	})
}

// play does the steps of a script and leaves the streams as they are.
func play(member, stranger *memnet.Node, said [][]byte, script []byte) {
	defer member.Close()
	defer stranger.Close()
	streams := map[byte]wire.Stream{}
	for ; len(script) >= 2; script = script[2:] {
		how, what := script[0], script[1]
		from, place := member, how&0x87 // who, and which protocol
		if how&0x80 != 0 {
			from = stranger
		}
		s := streams[place]
		if s == nil {
			var err error
			if s, err = from.Open(context.Background(), "bob", protos[int(how&7)%len(protos)]); err != nil {
				continue
			}
			streams[place] = s
			go io.Copy(io.Discard, s)
		}
		b := said[int(what)%len(said)]
		if how&0x40 != 0 {
			b = b[:len(b)/2]
		}
		s.SetWriteDeadline(time.Now().Add(time.Second)) // who is not read any more goes on elsewhere
		s.Write(b)
		switch how >> 3 & 7 {
		case 4:
			s.CloseWrite()
		case 5:
			s.Reset()
			delete(streams, place)
		}
	}
}

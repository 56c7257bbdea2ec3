package wire

import "sync/atomic"

// Traffic is bytes of frames, headers included, as given to and taken from
// streams; what the transport adds is not in it.
type Traffic struct{ In, Out uint64 }

// A Meter counts bytes for each kind of protocol. The zero value is ready; one
// may be shared by a Client and a Server, and used concurrently.
type Meter struct{ kinds [6]counter }

type counter struct{ in, out atomic.Uint64 }

var kindNames = [...]string{"shard", "small", "head", "join", "recover", "other"}

// Traffic returns the bytes so far by kind: shard, small, head, join, recover.
func (m *Meter) Traffic() map[string]Traffic {
	all := make(map[string]Traffic, len(kindNames))
	for i := range m.kinds {
		all[kindNames[i]] = Traffic{In: m.kinds[i].in.Load(), Out: m.kinds[i].out.Load()}
	}
	return all
}

// Total returns the bytes of all kinds together.
func (m *Meter) Total() Traffic {
	var t Traffic
	for i := range m.kinds {
		t.In += m.kinds[i].in.Load()
		t.Out += m.kinds[i].out.Load()
	}
	return t
}

func (m *Meter) of(proto string) *counter {
	switch proto {
	case ProtoShard:
		return &m.kinds[0]
	case ProtoSmall:
		return &m.kinds[1]
	case ProtoHead:
		return &m.kinds[2]
	case ProtoJoin:
		return &m.kinds[3]
	case ProtoRecover:
		return &m.kinds[4]
	}
	return &m.kinds[5]
}

package swarm

import (
	"fmt"
	"time"

	"github.com/hammockfs/hammock/crypt"
)

const (
	contextGenesis = "swarm genesis"
	maxGenesis     = 1 << 10
	maxName        = 64 // bytes of a declared name, machine or site
)

// genesis is the body of the record that founds a swarm.
type genesis struct {
	Version uint64         `cbor:"1,keyasint"`
	Founder crypt.OwnerKey `cbor:"2,keyasint"`
	Name    string         `cbor:"3,keyasint"` // of the founder
	Time    int64          `cbor:"4,keyasint"` // nanoseconds since 1970
}

// NewGenesis founds a swarm: its only member is the owner of root, called name.
// Two calls at different times make two swarms.
func NewGenesis(root *crypt.Root, name string, now time.Time) ([]byte, error) {
	if err := checkText("the founder's name", name, maxName); err != nil {
		return nil, err
	}
	body, err := crypt.EncodeCBOR(genesis{Version: 1, Founder: root.Owner(), Name: name, Time: now.UnixNano()})
	if err != nil {
		return nil, fmt.Errorf("encode the swarm's genesis: %w", err)
	}
	return crypt.EncodeCBOR(signed{Body: body, Signature: root.Sign(contextGenesis, crypt.ID{}, body)})
}

// GenesisID is the ID of the swarm that a genesis record founds. It does not
// check the record.
func GenesisID(raw []byte) crypt.ID { return crypt.Sum(raw) }

func parseGenesis(raw []byte) (genesis, error) {
	var g genesis
	if len(raw) > maxGenesis {
		return g, fmt.Errorf("the swarm's genesis has %d bytes, at most %d are allowed", len(raw), maxGenesis)
	}
	s, err := openSigned(raw, &g)
	if err != nil {
		return g, fmt.Errorf("read the swarm's genesis: %w", err)
	}
	if g.Version != 1 {
		return g, fmt.Errorf("the swarm's genesis has version %d, this program knows version 1", g.Version)
	}
	if err := checkText("the founder's name", g.Name, maxName); err != nil {
		return g, err
	}
	if err := g.Founder.Verify(contextGenesis, crypt.ID{}, s.Body, s.Signature); err != nil {
		return g, fmt.Errorf("the founder has not signed the swarm's genesis: %w", err)
	}
	return g, nil
}

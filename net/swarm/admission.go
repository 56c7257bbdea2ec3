package swarm

import (
	"errors"
	"fmt"
	"time"

	"github.com/hammockfs/hammock/crypt"
)

// MaxAdmission bounds an encoded admission, in bytes.
const MaxAdmission = 4 << 20

// Admission is what a newcomer needs to take part: who founded the swarm, who
// belongs to it, and where some devices are. It is secret from strangers, but
// carries no key.
type Admission struct {
	Genesis []byte   `cbor:"1,keyasint"`
	Records [][]byte `cbor:"2,keyasint,omitempty"`
	Cards   [][]byte `cbor:"3,keyasint,omitempty"`
}

// ID is the ID of the swarm.
func (a *Admission) ID() crypt.ID { return GenesisID(a.Genesis) }

// Marshal encodes the admission, at most MaxAdmission bytes: cards that do not
// fit are left out, for they come with the first hello anyway.
func (a *Admission) Marshal() ([]byte, error) {
	c := *a
	room := MaxAdmission - len(c.Genesis) - 64
	for _, raw := range c.Records {
		room -= len(raw) + 8
	}
	for i, raw := range c.Cards {
		if room -= len(raw) + 8; room < 0 {
			c.Cards = c.Cards[:i]
			break
		}
	}
	b, err := crypt.EncodeCBOR(&c)
	if err != nil {
		return nil, fmt.Errorf("encode an admission: %w", err)
	}
	if len(b) > MaxAdmission {
		return nil, fmt.Errorf("an admission of %d bytes is above the limit of %d", len(b), MaxAdmission)
	}
	return b, nil
}

// ParseAdmission reads what Marshal wrote and checks that the swarm is one; who
// is a member of it is checked where the admission is used.
func ParseAdmission(b []byte) (*Admission, error) {
	if len(b) > MaxAdmission {
		return nil, fmt.Errorf("an admission of %d bytes, at most %d are allowed", len(b), MaxAdmission)
	}
	var a Admission
	if err := crypt.DecodeCBOR(b, &a); err != nil {
		return nil, fmt.Errorf("read an admission: %w", err)
	}
	if len(a.Records) > maxRecords || len(a.Cards) > maxRecords*maxDevices {
		return nil, fmt.Errorf("an admission with too many records")
	}
	if _, err := parseGenesis(a.Genesis); err != nil {
		return nil, fmt.Errorf("read an admission: %w", err)
	}
	return &a, nil
}

// Check says whether the admission is what a newcomer asked for: to the swarm of
// his ticket (zero: any), with owner as a member. ErrTicketSwarm, ErrNotMember.
func (a *Admission) Check(swarm crypt.ID, owner crypt.OwnerKey, now time.Time) error {
	if swarm != (crypt.ID{}) && a.ID() != swarm {
		return ErrTicketSwarm
	}
	r, err := newRoster(a.Genesis)
	if err != nil {
		return err
	}
	_, bad := r.merge(a.Records)
	if r.standings(now)[owner] == nil {
		return errors.Join(fmt.Errorf("the owner %s is %w", owner, ErrNotMember), bad)
	}
	return nil
}

package swarm

import (
	"bytes"
	"fmt"
	"time"

	"github.com/hammockfs/hammock/crypt"
)

const (
	contextRecord = "swarm member"
	maxRecord     = 2 << 10
)

// record says what an inviter decided about an owner. The inviter is the owner
// of the certificate, whose device signed. Of the records of one inviter about
// one owner the highest number counts.
type record struct {
	Version     uint64         `cbor:"1,keyasint"`
	Owner       crypt.OwnerKey `cbor:"2,keyasint"`
	Number      uint64         `cbor:"3,keyasint"` // from 1
	Revoked     bool           `cbor:"4,keyasint,omitempty"`
	Name        string         `cbor:"5,keyasint"`
	Allowance   int64          `cbor:"6,keyasint,omitempty"` // bytes
	Issued      int64          `cbor:"7,keyasint"`           // unix seconds
	Expiry      int64          `cbor:"8,keyasint,omitempty"` // unix seconds, 0: never
	Certificate []byte         `cbor:"9,keyasint"`
}

// entry is a record that has been checked, or, from decodeRecord, is to be.
type entry struct {
	record
	inviter crypt.OwnerKey
	cert    crypt.Certificate
	signed  signed
	raw     []byte
	hash    crypt.ID
}

func signRecord(swarm crypt.ID, d *crypt.Device, r record) (*entry, error) {
	body, err := crypt.EncodeCBOR(r)
	if err != nil {
		return nil, fmt.Errorf("encode a member record: %w", err)
	}
	raw, err := crypt.EncodeCBOR(signed{Body: body, Signature: d.Sign(contextRecord, swarm, body)})
	if err != nil {
		return nil, fmt.Errorf("encode a member record: %w", err)
	}
	return parseRecord(swarm, raw)
}

// parseRecord checks everything about a record but whether its inviter is a
// member, which other records decide.
func parseRecord(swarm crypt.ID, raw []byte) (*entry, error) {
	e, err := decodeRecord(raw)
	if err == nil {
		err = e.verify(swarm)
	}
	if err != nil {
		return nil, err
	}
	return e, nil
}

// decodeRecord is parseRecord without the signatures, which take a hundred times
// as long: what is of no use anyway is told by what it says.
func decodeRecord(raw []byte) (*entry, error) {
	if len(raw) > maxRecord {
		return nil, fmt.Errorf("a member record of %d bytes, at most %d are allowed", len(raw), maxRecord)
	}
	e := &entry{raw: raw}
	var err error
	if e.signed, err = openSigned(raw, &e.record); err != nil {
		return nil, fmt.Errorf("read a member record: %w", err)
	}
	if err := e.check(); err != nil {
		return nil, err
	}
	if e.cert, err = crypt.ParseCertificate(e.Certificate); err != nil {
		return nil, fmt.Errorf("read the certificate in a member record: %w", err)
	}
	e.inviter, e.hash = e.cert.Owner, crypt.Sum(raw)
	return e, nil
}

// verify checks the signatures: of the certificate as of the time that the
// record claims, for records outlive the devices that signed them, and of the
// record.
func (e *entry) verify(swarm crypt.ID) error {
	if err := e.cert.Verify(time.Unix(e.Issued, 0)); err != nil {
		return fmt.Errorf("the certificate in a member record: %w", err)
	}
	if e.cert.Rights&crypt.RightInvite == 0 {
		return fmt.Errorf("a member record of a device that may not invite")
	}
	if err := e.cert.Device.Verify(contextRecord, swarm, e.signed.Body, e.signed.Signature); err != nil {
		return fmt.Errorf("a member record is not signed for this swarm: %w", err)
	}
	return nil
}

func (r *record) check() error {
	switch {
	case r.Version != 1:
		return fmt.Errorf("a member record of version %d, this program knows version 1", r.Version)
	case r.Number == 0:
		return fmt.Errorf("a member record without a number")
	case r.Allowance < 0 || r.Expiry < 0 || r.Issued < 0:
		return fmt.Errorf("a member record with a negative figure")
	}
	return checkText("the name in a member record", r.Name, maxName)
}

// beats says whether e replaces old, the same on every node.
func (e *entry) beats(old *entry) bool {
	if e.Number != old.Number {
		return e.Number > old.Number
	}
	if e.Revoked != old.Revoked {
		return e.Revoked
	}
	return bytes.Compare(e.raw, old.raw) > 0
}

func (r *record) live(now time.Time) bool {
	return !r.Revoked && (r.Expiry == 0 || now.Unix() < r.Expiry)
}

package swarm

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/hammockfs/hammock/crypt"
)

const (
	contextCard = "swarm card"
	maxCard     = 4 << 10
	maxAddrs    = 16
	maxAddr     = 256
	maxDevices  = 64 // cards kept of one owner
)

// card is what a device says of itself to the whole swarm.
type card struct {
	Version     uint64   `cbor:"1,keyasint"`
	Certificate []byte   `cbor:"2,keyasint"`
	Seq         uint64   `cbor:"3,keyasint"` // a higher one replaces a lower one
	Machine     string   `cbor:"4,keyasint"`
	Site        string   `cbor:"5,keyasint,omitempty"`
	Name        string   `cbor:"6,keyasint,omitempty"`
	Gives       int64    `cbor:"7,keyasint,omitempty"`
	Addrs       []string `cbor:"8,keyasint"`
}

// device is a card that has been checked, or, from decodeCard, is to be.
type device struct {
	card
	cert   crypt.Certificate
	id     peer.ID
	text   string // id as it is written, which takes longer to find than all else of a device
	raw    []byte
	hash   crypt.ID
	signed signed
}

func signCard(swarm crypt.ID, d *crypt.Device, c card, now time.Time) (*device, error) {
	body, err := crypt.EncodeCBOR(c)
	if err != nil {
		return nil, fmt.Errorf("encode this device's card: %w", err)
	}
	raw, err := crypt.EncodeCBOR(signed{Body: body, Signature: d.Sign(contextCard, swarm, body)})
	if err != nil {
		return nil, fmt.Errorf("encode this device's card: %w", err)
	}
	return parseCard(swarm, raw, now)
}

// parseCard checks everything about a card but whether its owner is a member.
func parseCard(swarm crypt.ID, raw []byte, now time.Time) (*device, error) {
	d, err := decodeCard(raw)
	if err == nil {
		err = d.verify(swarm, now)
	}
	if err != nil {
		return nil, err
	}
	return d, nil
}

// decodeCard is parseCard without the signatures, see decodeRecord.
func decodeCard(raw []byte) (*device, error) {
	if len(raw) > maxCard {
		return nil, fmt.Errorf("a device card of %d bytes, at most %d are allowed", len(raw), maxCard)
	}
	d := &device{raw: raw, hash: crypt.Sum(raw)}
	var err error
	if d.signed, err = openSigned(raw, &d.card); err != nil {
		return nil, fmt.Errorf("read a device card: %w", err)
	}
	if err := d.card.check(); err != nil {
		return nil, err
	}
	if d.cert, err = crypt.ParseCertificate(d.Certificate); err != nil {
		return nil, fmt.Errorf("read a device's certificate: %w", err)
	}
	d.id, err = peerID(d.cert.Device)
	d.text = d.id.String()
	return d, err
}

func (d *device) verify(swarm crypt.ID, now time.Time) error {
	if err := d.cert.Verify(now); err != nil {
		return fmt.Errorf("a device's certificate: %w", err)
	}
	if err := d.cert.Device.Verify(contextCard, swarm, d.signed.Body, d.signed.Signature); err != nil {
		return fmt.Errorf("a device card is not signed for this swarm: %w", err)
	}
	return nil
}

func checkCertificate(raw []byte, now time.Time) (crypt.Certificate, error) {
	cert, err := crypt.ParseCertificate(raw)
	if err != nil {
		return cert, fmt.Errorf("read a device's certificate: %w", err)
	}
	if err := cert.Verify(now); err != nil {
		return cert, fmt.Errorf("a device's certificate: %w", err)
	}
	return cert, nil
}

func (c *card) check() error {
	if c.Version != 1 {
		return fmt.Errorf("a device card of version %d, this program knows version 1", c.Version)
	}
	if c.Gives < 0 {
		return fmt.Errorf("a device card gives a negative space")
	}
	if len(c.Addrs) > maxAddrs {
		return fmt.Errorf("a device card with %d addresses, at most %d are allowed", len(c.Addrs), maxAddrs)
	}
	for _, a := range c.Addrs {
		if len(a) > maxAddr {
			return fmt.Errorf("a device card with an address of %d bytes", len(a))
		}
		if _, err := ma.NewMultiaddr(a); err != nil {
			return fmt.Errorf("a device card with an address that cannot be read: %w", err)
		}
	}
	for _, t := range []struct{ what, text string }{
		{"the machine in a device card", c.Machine}, {"the site in a device card", c.Site}, {"the name in a device card", c.Name},
	} {
		if err := checkText(t.what, t.text, maxName); err != nil {
			return err
		}
	}
	return nil
}

// says compares two cards but for their numbers.
func (c *card) says(o *card) bool {
	return slices.Equal(c.Certificate, o.Certificate) && c.Machine == o.Machine && c.Site == o.Site &&
		c.Name == o.Name && c.Gives == o.Gives && slices.Equal(c.Addrs, o.Addrs)
}

func (d *device) beats(old *device) bool {
	if d.Seq != old.Seq {
		return d.Seq > old.Seq
	}
	return bytes.Compare(d.raw, old.raw) > 0
}

func (d *device) addrInfo() peer.AddrInfo {
	info := peer.AddrInfo{ID: d.id}
	for _, a := range d.Addrs {
		if m, err := ma.NewMultiaddr(a); err == nil {
			info.Addrs = append(info.Addrs, m)
		}
	}
	return info
}

// book holds the newest card of each device. Not safe for concurrent use.
type book map[peer.ID]*device

// put stores a card unless a better one is there; of an owner with too many
// devices the one whose card is oldest is forgotten.
func (b book) put(d *device) bool {
	if old := b[d.id]; old != nil {
		if !d.beats(old) {
			return false
		}
		b[d.id] = d
		return true
	}
	var oldest *device
	n := 0
	for _, o := range b {
		if o.cert.Owner == d.cert.Owner {
			n++
			if oldest == nil || o.Seq < oldest.Seq {
				oldest = o
			}
		}
	}
	if n >= maxDevices {
		if d.Seq <= oldest.Seq {
			return false
		}
		delete(b, oldest.id)
	}
	b[d.id] = d
	return true
}

func (b book) list() [][]byte {
	raws := make([][]byte, 0, len(b))
	for _, d := range slices.SortedFunc(maps.Values(b), func(x, y *device) int { return bytes.Compare(x.hash[:], y.hash[:]) }) {
		raws = append(raws, d.raw)
	}
	return raws
}

// digest names everything that is gossiped: equal digests, equal knowledge.
func digest(r *roster, b book) crypt.ID {
	hashes := make([]crypt.ID, 0, len(r.edges)+len(b)+1)
	for _, e := range r.edges {
		hashes = append(hashes, e.hash)
	}
	for _, d := range b {
		hashes = append(hashes, d.hash)
	}
	slices.SortFunc(hashes, func(x, y crypt.ID) int { return bytes.Compare(x[:], y[:]) })
	all := make([]byte, 0, len(hashes)*len(crypt.ID{}))
	for _, h := range hashes {
		all = append(all, h[:]...)
	}
	return crypt.Sum(all)
}

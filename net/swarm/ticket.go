package swarm

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"strings"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/hammockfs/hammock/crypt"
)

const (
	ticketPrefix   = "hammock1:"
	maxTicket      = 2 << 10 // bytes of text
	maxTicketAddrs = 8
	ticketSum      = 4 // bytes of the checksum
	ticketValid    = 7 * 24 * time.Hour
)

// Token is the secret of a ticket: whoever shows it first is let in.
type Token [16]byte

// String says "redacted", so that no log shows a token.
func (Token) String() string { return "redacted" }

// GoString says "redacted".
func (Token) GoString() string { return "redacted" }

func newToken() (t Token) {
	rand.Read(t[:]) // never fails
	return t
}

// hash is what the issuer stores instead of the token.
func (t Token) hash() crypt.ID { return crypt.Sum(append([]byte("hammock ticket token"), t[:]...)) }

// Ticket lets one owner into a swarm, once.
type Ticket struct {
	Swarm  crypt.ID
	Peer   string   // libp2p peer ID of the issuer, the only one to redeem it
	Addrs  []string // multiaddrs of the issuer, without its ID
	Token  Token
	Expiry time.Time
}

type ticketBody struct {
	Version uint64   `cbor:"1,keyasint"`
	Swarm   crypt.ID `cbor:"2,keyasint"`
	Peer    []byte   `cbor:"3,keyasint"`
	Addrs   [][]byte `cbor:"4,keyasint"` // binary multiaddrs
	Token   Token    `cbor:"5,keyasint"`
	Expiry  int64    `cbor:"6,keyasint"` // unix seconds
}

// String is the text form: URL-safe, one word, with a checksum against slips of
// copying. It contains the secret.
func (t *Ticket) String() string {
	b := ticketBody{Version: 1, Swarm: t.Swarm, Token: t.Token, Expiry: t.Expiry.Unix()}
	if id, err := peer.Decode(t.Peer); err == nil {
		b.Peer = []byte(id)
	}
	for _, a := range t.Addrs[:min(len(t.Addrs), maxTicketAddrs)] {
		if m, err := ma.NewMultiaddr(a); err == nil {
			b.Addrs = append(b.Addrs, m.Bytes())
		}
	}
	body, err := crypt.EncodeCBOR(b)
	if err != nil {
		return "" // a struct of bytes and numbers always encodes
	}
	sum := crypt.Sum(body)
	return ticketPrefix + base64.RawURLEncoding.EncodeToString(append(body, sum[:ticketSum]...))
}

// ParseTicket reads the text form; spaces and line breaks that a mail program
// put in are ignored. The error is ErrTicket with the reason. It does not look
// at the clock, since the issuer decides.
func ParseTicket(text string) (*Ticket, error) {
	if len(text) > maxTicket {
		return nil, fmt.Errorf("%w: it has %d characters, at most %d are possible", ErrTicket, len(text), maxTicket)
	}
	text = strings.Join(strings.Fields(text), "")
	rest, ok := strings.CutPrefix(text, ticketPrefix)
	if !ok {
		return nil, fmt.Errorf("%w: it does not begin with %q", ErrTicket, ticketPrefix)
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(rest)
	if err != nil || len(raw) <= ticketSum {
		return nil, fmt.Errorf("%w: a character was lost or changed", ErrTicket)
	}
	body, sum := raw[:len(raw)-ticketSum], raw[len(raw)-ticketSum:]
	if want := crypt.Sum(body); string(want[:ticketSum]) != string(sum) {
		return nil, fmt.Errorf("%w: its checksum is wrong, so a character was lost or changed", ErrTicket)
	}
	return parseTicketBody(body)
}

func parseTicketBody(body []byte) (*Ticket, error) {
	var b ticketBody
	if err := crypt.DecodeCBOR(body, &b); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrTicket, err)
	}
	if b.Version != 1 {
		return nil, fmt.Errorf("%w: it has version %d, this program knows version 1", ErrTicket, b.Version)
	}
	id, err := peer.IDFromBytes(b.Peer)
	if err != nil {
		return nil, fmt.Errorf("%w: it names no peer", ErrTicket)
	}
	if _, err := deviceOf(id); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrTicket, err)
	}
	if len(b.Addrs) > maxTicketAddrs || b.Expiry < 0 {
		return nil, fmt.Errorf("%w: its content makes no sense", ErrTicket)
	}
	t := &Ticket{Swarm: b.Swarm, Peer: id.String(), Token: b.Token, Expiry: time.Unix(b.Expiry, 0)}
	for _, a := range b.Addrs {
		m, err := ma.NewMultiaddrBytes(a)
		if err != nil {
			return nil, fmt.Errorf("%w: an address in it cannot be read", ErrTicket)
		}
		t.Addrs = append(t.Addrs, m.String())
	}
	return t, nil
}

// Targets are the issuer's addresses as [Stranger.Open] takes them.
func (t *Ticket) Targets() []string {
	targets := make([]string, len(t.Addrs))
	for i, a := range t.Addrs {
		targets[i] = a + "/p2p/" + t.Peer
	}
	return targets
}

// CheckAddr says in a plain sentence why text cannot be the address of a peer.
func CheckAddr(text string) error {
	_, err := parseTarget(text)
	return err
}

func parseTarget(text string) (peer.AddrInfo, error) {
	if len(text) > 2*maxAddr {
		return peer.AddrInfo{}, fmt.Errorf("%w: %q is too long", ErrAddr, clip(text))
	}
	info, err := peer.AddrInfoFromString(text)
	if err != nil {
		return peer.AddrInfo{}, fmt.Errorf("%w: %q should look like /ip4/192.0.2.7/tcp/4100/p2p/12D3KooW... (hammock status on the peer prints it): %w", ErrAddr, clip(text), err)
	}
	if len(info.Addrs) == 0 {
		return peer.AddrInfo{}, fmt.Errorf("%w: %q says who it is, but not where", ErrAddr, clip(text))
	}
	if _, err := deviceOf(info.ID); err != nil {
		return peer.AddrInfo{}, fmt.Errorf("%w: %w", ErrAddr, err)
	}
	return *info, nil
}

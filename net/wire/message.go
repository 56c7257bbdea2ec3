package wire

import (
	"fmt"

	"github.com/hammockfs/hammock/crypt"
)

// Limits of the protocol, in bytes.
const (
	MaxHeader    = 64 << 10
	MaxShard     = 16 << 20 // body of a put
	MaxBody      = 16 << 20 // body of anything
	MaxRange     = 4 << 20  // one get
	MaxSmall     = 128 << 10
	MaxBundle    = 256 << 10
	MaxState     = 4 << 20 // what a swarm hands to a newcomer
	MaxBundles   = 16      // heads of one owner, forks included
	maxParts     = 64
	maxToken     = 64
	maxCert      = 4 << 10
	maxName      = 64
	maxSentence  = 512
	challengeLen = 32
)

// Codes of requests.
const (
	opPut       = 1
	opGet       = 2
	opHas       = 3
	opDelete    = 4
	opInfo      = 5
	opHeadPut   = 6
	opHeadGet   = 7
	opJoin      = 8
	opChallenge = 9
	opRecover   = 10
)

// request is the header of a request; the zero value of a field is left out.
// Byte strings of fixed length are slices, so that a wrong length is seen.
type request struct {
	Code        uint64 `cbor:"1,keyasint"`
	Body        uint64 `cbor:"2,keyasint,omitempty"`
	Shard       []byte `cbor:"3,keyasint,omitempty"`
	Stripe      uint64 `cbor:"4,keyasint,omitempty"`
	Generation  uint64 `cbor:"5,keyasint,omitempty"`
	Size        uint64 `cbor:"6,keyasint,omitempty"`
	Offset      uint64 `cbor:"7,keyasint,omitempty"`
	Length      uint64 `cbor:"8,keyasint,omitempty"`
	Owner       []byte `cbor:"9,keyasint,omitempty"`
	Signature   []byte `cbor:"10,keyasint,omitempty"`
	Token       []byte `cbor:"11,keyasint,omitempty"`
	Certificate []byte `cbor:"12,keyasint,omitempty"`
	Name        string `cbor:"13,keyasint,omitempty"`
	Unchecked   bool   `cbor:"14,keyasint,omitempty"`
}

// reply is the header of a reply.
type reply struct {
	Code      uint64 `cbor:"1,keyasint,omitempty"`
	Body      uint64 `cbor:"2,keyasint,omitempty"`
	Sentence  string `cbor:"3,keyasint,omitempty"`
	Size      uint64 `cbor:"4,keyasint,omitempty"`
	Free      uint64 `cbor:"5,keyasint,omitempty"`
	Machine   string `cbor:"6,keyasint,omitempty"`
	Name      string `cbor:"7,keyasint,omitempty"`
	Gives     bool   `cbor:"8,keyasint,omitempty"`
	Challenge []byte `cbor:"9,keyasint,omitempty"`
}

func parseRequest(b []byte) (request, error) {
	var q request
	if err := crypt.DecodeCBOR(b, &q); err != nil {
		return request{}, fmt.Errorf("%w: header of a request: %v", ErrMalformed, err)
	}
	return q, q.check()
}

// check compares each field with the rules that hold for every request; what a
// request needs and lacks is its handler's to find.
func (q *request) check() error {
	switch {
	case q.Code == 0:
		return fmt.Errorf("%w: no request code", ErrMalformed)
	case q.Body > MaxBody:
		return refuse(ErrTooLarge, "a body has at most %d bytes", MaxBody)
	case wrongLen(q.Shard, 32), wrongLen(q.Owner, 32), wrongLen(q.Signature, 64):
		return fmt.Errorf("%w: a key, ID or signature of the wrong length", ErrMalformed)
	case len(q.Token) > maxToken, len(q.Certificate) > maxCert, len(q.Name) > maxName:
		return fmt.Errorf("%w: token, certificate or name too long", ErrMalformed)
	}
	return nil
}

func wrongLen(b []byte, n int) bool { return len(b) != 0 && len(b) != n }

func parseReply(b []byte) (reply, error) {
	var r reply
	if err := crypt.DecodeCBOR(b, &r); err != nil {
		return reply{}, fmt.Errorf("%w: header of a reply: %v", ErrMalformed, err)
	}
	if r.Body > MaxBody || wrongLen(r.Challenge, challengeLen) || r.Size > 1<<62 || r.Free > 1<<62 {
		return reply{}, fmt.Errorf("%w: a field of a reply is out of bounds", ErrMalformed)
	}
	r.Sentence = clean(r.Sentence, maxSentence)
	r.Machine, r.Name = clean(r.Machine, maxName), clean(r.Name, maxName)
	return r, nil
}

// refusal returns the reply as an error, or nil when it is a yes or a go on.
func (r *reply) refusal() error {
	if r.Code == codeYes || r.Code == codeGoOn {
		return nil
	}
	return &Refusal{Code: r.Code, Sentence: r.Sentence}
}

// checkRange says whether a get names whole groups within the shard.
func checkRange(size, off, n uint64, max uint64) error {
	const group = crypt.GroupSize
	switch {
	case size == 0 || size > MaxShard || n == 0 || off >= size || n > size-off:
		return refuse(ErrMalformed, "the range is not within the shard")
	case off%group != 0 || (n%group != 0 && off+n != size):
		return refuse(ErrMalformed, "the range is not whole groups of 16 KiB")
	case n > max:
		return refuse(ErrTooLarge, "one request reads at most %d bytes here", max)
	}
	return nil
}

// appendParts writes byte strings one after another, each after its length.
func appendParts(dst []byte, parts ...[]byte) []byte {
	for _, p := range parts {
		dst = append(dst, byte(len(p)>>24), byte(len(p)>>16), byte(len(p)>>8), byte(len(p)))
		dst = append(dst, p...)
	}
	return dst
}

// parseParts is the inverse of appendParts; the parts are slices of b.
func parseParts(b []byte) ([][]byte, error) {
	var parts [][]byte
	for len(b) > 0 {
		if len(b) < 4 || len(parts) == maxParts {
			return nil, fmt.Errorf("%w: parts of a body", ErrMalformed)
		}
		n := uint64(b[0])<<24 | uint64(b[1])<<16 | uint64(b[2])<<8 | uint64(b[3])
		if n > uint64(len(b)-4) {
			return nil, fmt.Errorf("%w: a part longer than its body", ErrMalformed)
		}
		parts = append(parts, b[4:4+n:4+n])
		b = b[4+n:]
	}
	return parts, nil
}

// Contexts of the two signatures that the protocols carry; crypt puts "hammock 1 " before them.
const (
	deleteContext  = "delete"
	recoverContext = "recover"
)

// deleteBody is what the signature of a delete covers beside context and scope.
func deleteBody(owner crypt.OwnerKey, p Put) []byte {
	b := append(make([]byte, 0, 80), owner[:]...)
	b = append(b, p.Shard[:]...)
	for _, v := range [2]uint64{p.Stripe, p.Generation} {
		for s := 56; s >= 0; s -= 8 {
			b = append(b, byte(v>>s))
		}
	}
	return b
}

// A Put names one shard of one stripe as an owner hands it over: the same
// three name it when it is deleted.
type Put struct {
	Shard      crypt.ID // BLAKE3 of the bytes
	Stripe     uint64
	Generation uint64
}

// Info is what a node says about itself to one owner.
type Info struct {
	Free    int64  // bytes that this owner may still store there
	Machine string // the declared failure domain; at most 64 bytes
	Name    string // at most 64 bytes
	Gives   bool   // takes shards at all
}

package swarm

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"unicode"
	"unicode/utf8"

	"github.com/hammockfs/hammock/crypt"
)

// maxFrame bounds one message of the hello protocol, in bytes.
const maxFrame = 64 << 10

// signed is the outer form of records, cards and the genesis: the signature
// covers exactly these bytes, so nobody needs to encode them again to check it.
type signed struct {
	Body      []byte `cbor:"1,keyasint"`
	Signature []byte `cbor:"2,keyasint"`
}

// openSigned takes the outer form apart. There is one encoding of it, so that
// nobody can make a second record of one that he did not sign.
func openSigned(raw []byte, body any) (signed, error) {
	var s signed
	if err := crypt.DecodeCBOR(raw, &s); err != nil {
		return s, err
	}
	if again, err := crypt.EncodeCBOR(s); err != nil || !bytes.Equal(again, raw) {
		return s, errors.New("its encoding is not the shortest")
	}
	return s, crypt.DecodeCBOR(s.Body, body)
}

func writeFrame(w io.Writer, v any) error {
	body, err := crypt.EncodeCBOR(v)
	if err != nil {
		return err
	}
	if len(body) > maxFrame {
		return fmt.Errorf("a message of %d bytes is above the limit of %d", len(body), maxFrame)
	}
	frame := binary.BigEndian.AppendUint32(make([]byte, 0, 4+len(body)), uint32(len(body)))
	_, err = w.Write(append(frame, body...))
	return err
}

func readFrame(r io.Reader, v any) error {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return err
	}
	n := binary.BigEndian.Uint32(head[:])
	if n > maxFrame {
		return fmt.Errorf("a message of %d bytes is announced, the limit is %d", n, maxFrame)
	}
	body := make([]byte, n)
	if _, err := io.ReadFull(r, body); err != nil {
		return err
	}
	return crypt.DecodeCBOR(body, v)
}

// checkText says whether a declared name can be kept and shown: short, valid,
// and free of what would move a terminal's cursor.
func checkText(what, s string, limit int) error {
	if len(s) > limit {
		return fmt.Errorf("%s is %d bytes long, at most %d are allowed", what, len(s), limit)
	}
	if !utf8.ValidString(s) {
		return fmt.Errorf("%s is not valid UTF-8", what)
	}
	for _, r := range s {
		if !unicode.IsPrint(r) {
			return fmt.Errorf("%s contains a character that cannot be printed", what)
		}
	}
	return nil
}

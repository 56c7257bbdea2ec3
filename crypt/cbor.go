package crypt

import (
	"bytes"
	"fmt"
	"sync"

	"github.com/fxamacker/cbor/v2"
)

var encMode, decMode = cborModes()

func cborModes() (cbor.UserBufferEncMode, cbor.DecMode) {
	enc, err := cbor.CoreDetEncOptions().UserBufferEncMode()
	if err != nil {
		panic(err) // options are constants
	}
	dec, err := cbor.DecOptions{
		DupMapKey:         cbor.DupMapKeyEnforcedAPF,
		IndefLength:       cbor.IndefLengthForbidden,
		TagsMd:            cbor.TagsForbidden,
		UTF8:              cbor.UTF8RejectInvalid,
		FieldNameMatching: cbor.FieldNameMatchingCaseSensitive,
		MaxNestedLevels:   8,
		MaxArrayElements:  1 << 17,
		MaxMapPairs:       1 << 17,
	}.DecMode()
	if err != nil {
		panic(err)
	}
	return enc, dec
}

// EncodeCBOR gives the one deterministic encoding of v (RFC 8949, 4.2.1). Structs use integer keys.
func EncodeCBOR(v any) ([]byte, error) {
	b, err := encMode.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("encode %T: %w", v, err)
	}
	return b, nil
}

// AppendCBOR is EncodeCBOR behind what dst holds.
func AppendCBOR(dst []byte, v any) ([]byte, error) {
	buf := cborBuffers.Get().(*bytes.Buffer)
	*buf = *bytes.NewBuffer(dst)
	err := encMode.MarshalToBuffer(v, buf)
	b := buf.Bytes()
	*buf = bytes.Buffer{} // the bytes are the caller's
	cborBuffers.Put(buf)
	if err != nil {
		return dst, fmt.Errorf("encode %T: %w", v, err)
	}
	return b, nil
}

// cborBuffers spares an allocation for each record: what the library is handed escapes.
var cborBuffers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// DecodeCBOR reads foreign bytes into v. It refuses duplicate keys, tags, indefinite lengths, nesting deeper than 8,
// arrays and maps of more than 131,072 elements, and anything after the value; each is ErrMalformed. Unknown keys are
// skipped. The caller limits len(b): what is allocated is in proportion to it.
func DecodeCBOR(b []byte, v any) error {
	if err := decMode.Unmarshal(b, v); err != nil {
		return fmt.Errorf("%w: decode %T: %w", ErrMalformed, v, err)
	}
	return nil
}

// decodeCanonical is DecodeCBOR for records that are signed or hashed: b must be exactly what EncodeCBOR makes of the
// result, so that a record has one encoding and no unsigned corner, and at most limit bytes long.
func decodeCanonical(b []byte, limit int, v any) error {
	if len(b) > limit {
		return fmt.Errorf("%w: %d bytes where %d are allowed", ErrMalformed, len(b), limit)
	}
	if err := DecodeCBOR(b, v); err != nil {
		return err
	}
	again, err := EncodeCBOR(v)
	if err != nil {
		return err
	}
	if !bytes.Equal(again, b) {
		return fmt.Errorf("%w: not the canonical encoding of %T", ErrMalformed, v)
	}
	return nil
}

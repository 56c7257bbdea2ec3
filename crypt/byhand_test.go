package crypt

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ed25519"
	"encoding/binary"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/zeebo/blake3"
	"golang.org/x/crypto/chacha20poly1305"
)

// These tests do what KEYS.md says with nothing but standard primitives, so that page and code cannot part company and a
// mistake in this package's own hashing cannot hide behind vectors that it made.

func handDerive(context string, k []byte, n int) []byte {
	out := make([]byte, n)
	blake3.DeriveKey("hammock 1 "+context, k, out)
	return out
}

func handMAC(k []byte, parts ...[]byte) []byte {
	var all []byte
	for _, p := range parts {
		all = append(binary.LittleEndian.AppendUint64(all, uint64(len(p))), p...)
	}
	return slowKeyed(k, all)
}

func handGCM(key []byte) cipher.AEAD {
	b, err := aes.NewCipher(key)
	if err != nil {
		panic(err)
	}
	a, err := cipher.NewGCM(b)
	if err != nil {
		panic(err)
	}
	return a
}

func handX(key []byte) cipher.AEAD {
	a, err := chacha20poly1305.NewX(key)
	if err != nil {
		panic(err)
	}
	return a
}

func TestChunksAsThePageSays(t *testing.T) {
	content := keyOf("content")
	plain := mixed(2*BlockSize + 10)
	for _, suite := range suites {
		makeCipher, name := handGCM, "AES-256-GCM"
		if suite == SuiteXChaCha {
			makeCipher, name = handX, "XChaCha20-Poly1305"
		}
		sealed, ref := sealOf(t, NewSealer(content, suite), plain, EffortAuto)
		k := slowKeyed(content[:], plain)
		plainKey, packed := handDerive("chunk plain "+name, k, 32), handDerive("chunk packed "+name, k, 64)
		var got []byte
		for i, b := range ref.Blocks {
			nonce := make([]byte, makeCipher(plainKey).NonceSize())
			key := plainKey
			binary.LittleEndian.PutUint32(nonce, uint32(i))
			if b.Codec != CodecNone {
				key = packed[:32]
				copy(nonce, b.Salt[:])
			}
			aad := binary.LittleEndian.AppendUint32([]byte{byte(b.Codec)}, uint32(i))
			aad = binary.LittleEndian.AppendUint32(aad, uint32(len(plain)))
			payload, err := makeCipher(key).Open(nil, nonce, sealed[:b.Len], aad)
			if err != nil {
				t.Fatalf("%v block %d: %v", suite, i, err)
			}
			sealed = sealed[b.Len:]
			if b.Codec == CodecZstd {
				hash := blake3.Sum256(payload)
				index := binary.LittleEndian.AppendUint32([]byte{1}, uint32(i))
				if salt := slowKeyed(packed[32:], index, hash[:]); !bytes.Equal(salt[:SaltSize], b.Salt[:]) {
					t.Errorf("%v block %d: salt", suite, i)
				}
				d, _ := zstd.NewReader(nil)
				if payload, err = d.DecodeAll(payload, nil); err != nil {
					t.Fatal(err)
				}
			}
			got = append(got, payload...)
		}
		if !bytes.Equal(got, plain) || len(sealed) != 0 {
			t.Errorf("%v: another plain text", suite)
		}
	}
}

func TestSignaturesAsThePageSays(t *testing.T) {
	seed, scope := keyOf("device"), Sum([]byte("volume"))
	key := ed25519.NewKeyFromSeed(handDerive("device sign", seed[:], 32))
	d := DeviceFromSeed(seed)
	if !bytes.Equal(d.PrivateEd25519(), key) {
		t.Error("the device has another key")
	}
	signed := append(append([]byte("hammock 1 head\x00"), scope[:]...), "body"...)
	if !bytes.Equal(d.Sign("head", scope, []byte("body")), ed25519.Sign(key, signed)) {
		t.Error("signatures cover something else")
	}
}

func TestHeadsAsThePageSays(t *testing.T) {
	f := newFixture(t)
	h, err := ParseHead(f.head)
	if err != nil {
		t.Fatal(err)
	}
	outside := *h
	outside.Sealed, outside.Signature = []byte{}, []byte{}
	aad, _ := EncodeCBOR(&outside)
	secret := keyOf("epoch 2")
	body, err := handX(handDerive("epoch head", secret[:], 32)).Open(nil, h.Sealed[:24], h.Sealed[24:], aad)
	if err != nil || string(body) != "the body" {
		t.Errorf("%q, %v", body, err)
	}
}

func TestTheLocalDiskAsThePageSays(t *testing.T) {
	k := keyOf("at rest")
	header, s := NewFileStream(&k)
	if check := handMAC(handDerive("at rest file check", k[:], 32), header[:32]); !bytes.Equal(check[:16], header[32:]) {
		t.Error("the header's check")
	}
	block, _ := aes.NewCipher(handMAC(handDerive("at rest file", k[:], 32), header[:32]))
	const off = 1<<40 + 3
	var counter, stream [16]byte
	binary.BigEndian.PutUint64(counter[8:], off/16)
	block.Encrypt(stream[:], counter[:])
	got := make([]byte, 5)
	s.XORAt(got, got, off)
	if !bytes.Equal(got, stream[3:8]) {
		t.Error("the key stream")
	}
	tag := slowKeyed(handDerive("at rest tag", k[:], 32), binary.LittleEndian.AppendUint64(nil, 3), []byte("key"), []byte("value"))
	if tagged := NewTagger(&k).TagValue(nil, []byte("key"), []byte("value")); !bytes.Equal(tagged, append([]byte("value"), tag[:16]...)) {
		t.Error("the tag")
	}
	salt := [32]byte{1}
	segment := handGCM(handMAC(handDerive("at rest segment", k[:], 32), salt[:]))
	sealed := segment.Seal(nil, make([]byte, 12), []byte("record"), nil)
	if got, err := NewSegmentCipher(&k, salt).Open(nil, make([]byte, 12), sealed, nil); err != nil || string(got) != "record" {
		t.Errorf("the segment: %q, %v", got, err)
	}
}

func TestNamesAndPaddingAsThePageSays(t *testing.T) {
	k := keyOf("names")
	want := binary.LittleEndian.Uint64(slowKeyed(k[:], []byte("name"))) >> 1
	if got := NameHash(&k, "name"); got != want {
		t.Errorf("name hash %d, not %d", got, want)
	}
	block, _ := aes.NewCipher(k[:])
	var first, second [16]byte
	binary.LittleEndian.PutUint64(first[:], 77)
	second = first
	second[15] = 1
	want32 := make([]byte, 32)
	block.Encrypt(want32, first[:])
	block.Encrypt(want32[16:], second[:])
	got := make([]byte, 32)
	if Pad(got, &k, 77); !bytes.Equal(got, want32) {
		t.Error("padding")
	}
}

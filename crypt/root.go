package crypt

import (
	"crypto/rand"
	"errors"
	"fmt"
	"strings"

	"github.com/tyler-smith/go-bip39"
)

// PhraseWords is the number of words of a recovery phrase.
const PhraseWords = 24

const entropySize = 32

// Root is an owner's root key, as the recovery phrase gives it. It lives from typing to Wipe and is never stored.
type Root struct{ id identity }

// NewPhrase draws a recovery phrase: 24 English BIP-39 words, 256 random bits and a checksum of 8.
func NewPhrase() (string, error) {
	var entropy [entropySize]byte
	_, _ = rand.Read(entropy[:]) // never fails: the runtime ends the program instead
	return phraseOf(entropy)
}

func phraseOf(entropy [entropySize]byte) (string, error) {
	words, err := bip39.NewMnemonic(entropy[:])
	if err != nil {
		return "", fmt.Errorf("make a recovery phrase: %w", err)
	}
	return words, nil
}

// RootFromPhrase makes the root key from the words, in any case and with any white space between them. What is wrong
// with them is said in an ErrPhrase: the count, a word that is not in the list, or the checksum.
func RootFromPhrase(words string) (*Root, error) {
	entropy, err := entropyOf(words)
	if err != nil {
		return nil, err
	}
	return rootFrom(Key(entropy)), nil
}

func rootFrom(entropy Key) *Root {
	return &Root{newIdentity(entropy, "root sign", "root wrap")}
}

const maxPhrase = 4 << 10 // bytes typed; 24 words have 216 at most

func entropyOf(typed string) (entropy [entropySize]byte, err error) {
	if len(typed) > maxPhrase {
		return entropy, fmt.Errorf("%w: it is much too long", ErrPhrase)
	}
	words := strings.Fields(strings.ToLower(typed))
	if len(words) != PhraseWords {
		return entropy, fmt.Errorf("%w: it has %d words, not %d", ErrPhrase, len(words), PhraseWords)
	}
	for i, w := range words {
		if _, ok := bip39.GetWordIndex(w); !ok {
			return entropy, unknownWord(i, w)
		}
	}
	b, err := bip39.EntropyFromMnemonic(strings.Join(words, " "))
	if errors.Is(err, bip39.ErrChecksumIncorrect) {
		return entropy, fmt.Errorf("%w: each word exists, but the checksum is wrong: a word is in the wrong place or is not the one you were given", ErrPhrase)
	}
	if err != nil || len(b) != entropySize {
		return entropy, fmt.Errorf("%w: %v", ErrPhrase, err)
	}
	return [entropySize]byte(b), nil
}

// unknownWord names the word and, since four letters tell all words of the list apart, the one that was perhaps meant.
func unknownWord(i int, w string) error {
	if r := []rune(w); len(r) > 16 {
		w = string(r[:16]) + "..."
	}
	hint := ""
	if len(w) >= 4 {
		for _, known := range bip39.GetWordList() {
			if strings.HasPrefix(known, w[:4]) {
				hint = fmt.Sprintf("; did you mean %q", known)
			}
		}
	}
	return fmt.Errorf("%w: word %d, %q, is not in the list of words%s", ErrPhrase, i+1, w, hint)
}

// Owner is the public key of the root.
func (r *Root) Owner() OwnerKey { return r.id.public() }

// WrapKey is the X25519 public key that secrets for the owner's recovery are wrapped to.
func (r *Root) WrapKey() [32]byte { return r.id.wrapPublic() }

// Sign signs the body in the scope of a volume or swarm, for the purpose that context names.
func (r *Root) Sign(context string, scope ID, body []byte) []byte {
	return r.id.signBody(context, scope, body)
}

// Unwrap opens what WrapTo made for this root and context; anything else is ErrUnwrap.
func (r *Root) Unwrap(context string, sealed []byte) ([]byte, error) {
	return r.id.unwrap(context, sealed)
}

// Wipe overwrites the secret as far as Go permits. The root is of no use afterwards; do not sign with it.
func (r *Root) Wipe() { r.id.wipe() }

// Format prints no secret, under every verb.
func (r *Root) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte("root of an owner")) }

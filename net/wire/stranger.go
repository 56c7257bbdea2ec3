package wire

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hammockfs/hammock/crypt"
)

// A Stranger is a device that is not a member yet, talking to one member.
type Stranger struct {
	// Open opens a stream to that member, whose key was proven.
	Open  func(ctx context.Context, proto string) (Stream, error)
	Meter *Meter // may be nil
}

// Join redeems the token of a ticket at its issuer: the owner who certified
// this device becomes a member. It returns the state of the swarm, which the
// caller has to check. It is never repeated by itself: a token works once.
func (s *Stranger) Join(ctx context.Context, token, certificate []byte, name string) (state []byte, err error) {
	err = s.exchange(ctx, ProtoJoin, func(k *call) error {
		q := request{Code: opJoin, Token: token, Certificate: certificate, Name: clean(name, maxName)}
		if err := k.ask(&q, nil); err != nil {
			return err
		}
		parts, err := k.parts(MaxState + 4)
		if err == nil && len(parts) != 1 {
			err = fmt.Errorf("%w: no state of the swarm", ErrMalformed)
		}
		if err == nil {
			state = parts[0]
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("join the swarm: %w", err)
	}
	return state, nil
}

// Recover has this device, whose certificate root has just made, admitted to
// the swarm of which the owner is a member. It returns the state of the swarm,
// which the caller has to check, and the bundles of the owner that this member
// keeps, verified; there may be none.
func (s *Stranger) Recover(ctx context.Context, root *crypt.Root, certificate []byte) (state []byte, heads []crypt.Bundle, err error) {
	err = s.exchange(ctx, ProtoRecover, func(k *call) error {
		if err := k.ask(&request{Code: opChallenge}, nil); err != nil {
			return err
		}
		r, err := k.reply()
		if err != nil {
			return err
		}
		if len(r.Challenge) != challengeLen || r.Body != 0 {
			return fmt.Errorf("%w: no challenge", ErrMalformed)
		}
		q := request{Code: opRecover, Certificate: certificate}
		q.Signature = root.Sign(recoverContext, crypt.ID(r.Challenge), certificate)
		if err := k.ask(&q, nil); err != nil {
			return err
		}
		parts, err := k.parts(MaxState + 4 + MaxBundles*(MaxBundle+4))
		if err == nil && len(parts) == 0 {
			err = fmt.Errorf("%w: no state of the swarm", ErrMalformed)
		}
		if err == nil {
			state = parts[0]
			heads, err = verified(parts[1:], root.Owner())
		}
		return err
	})
	if err != nil {
		return nil, nil, fmt.Errorf("recover: %w", err)
	}
	return state, heads, nil
}

// exchange runs on a stream of its own.
func (s *Stranger) exchange(ctx context.Context, proto string, do func(*call) error) error {
	c := NewClient(ClientConfig{Dialer: opener(s.Open), Meter: s.Meter})
	defer c.Close()
	p := newPool(c, "", proto, 1)
	defer p.close()
	return p.do(ctx, do)
}

type opener func(ctx context.Context, proto string) (Stream, error)

func (o opener) Open(ctx context.Context, _, proto string) (Stream, error) { return o(ctx, proto) }

// parts reads a reply whose body is parts of at most max bytes together.
func (k *call) parts(max int) ([][]byte, error) {
	r, err := k.reply()
	if err != nil {
		return nil, err
	}
	if r.Code != codeYes {
		return nil, fmt.Errorf("%w: a go on where a yes belongs", ErrMalformed)
	}
	body, err := k.body(&r, nil, max)
	if err != nil {
		return nil, err
	}
	return parseParts(body)
}

// verified parses bundles of an owner and leaves out those that do not verify.
func verified(parts [][]byte, owner crypt.OwnerKey) ([]crypt.Bundle, error) {
	var good []crypt.Bundle
	var bad error
	for _, p := range parts {
		b, err := crypt.ParseBundle(p)
		if err == nil && b.Owner != owner {
			err = errors.New("it belongs to another owner")
		}
		if err == nil {
			err = b.Verify(time.Time{}) // a certificate that has expired since signed nothing wrong
		}
		if err != nil {
			bad = fmt.Errorf("%w: a head does not verify: %w", ErrWrongBytes, err)
			continue
		}
		good = append(good, b)
	}
	if len(good) == 0 {
		return nil, bad
	}
	return good, nil
}

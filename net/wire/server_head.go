package wire

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/hammockfs/hammock/crypt"
)

// headPut keeps the newest head of the asking device's owner.
func (c *session) headPut(ctx context.Context, q *request) error {
	switch {
	case q.Body == 0:
		return refuse(ErrMalformed, "a head put needs a body")
	case q.Body > MaxBundle:
		return refuse(ErrTooLarge, "a bundle has at most %d bytes", MaxBundle)
	case c.cfg.Keeper == nil:
		return refuse(ErrFull, "this node keeps no heads")
	}
	body, err := readGrowing(&pacedReader{c.link, time.Now().Add(c.pace.total(int(q.Body)))}, nil, int(q.Body))
	if err != nil {
		return broken{err}
	}
	c.unread = false
	b, err := crypt.ParseBundle(body)
	if err != nil {
		return refuse(ErrDenied, "the bundle cannot be read")
	}
	if b.Owner != c.from.Owner {
		return refuse(ErrDenied, "the head belongs to another owner")
	}
	if err := c.checking(ctx, func() error { return b.Verify(c.cfg.Now()) }); err != nil {
		if errors.Is(err, ErrBusy) {
			return err
		}
		return refuse(ErrDenied, "the bundle is not signed as it has to be")
	}
	// The keeper checks it once more.
	err = c.checking(ctx, func() error { return c.cfg.Keeper.PutHead(ctx, b) })
	if err != nil {
		return fmt.Errorf("keep a head: %w", err)
	}
	return c.yes(&reply{}, nil)
}

// pacedReader reads a body at no less than the pace.
type pacedReader struct {
	*link
	until time.Time
}

func (r *pacedReader) Read(p []byte) (int, error) {
	if err := r.readBody(p, r.until); err != nil {
		return 0, err
	}
	return len(p), nil
}

func (c *session) headGet(ctx context.Context, q *request) error {
	owner, err := c.ownerOf(q)
	if err != nil {
		return err
	}
	parts, err := c.bundles(ctx, owner)
	if err != nil {
		return err
	}
	return c.yes(&reply{}, appendParts(nil, parts...))
}

// bundles is what this node keeps of an owner, encoded, at most MaxBundles.
func (c *session) bundles(ctx context.Context, owner crypt.OwnerKey) ([][]byte, error) {
	if c.cfg.Keeper == nil {
		return nil, nil
	}
	var heads []crypt.Bundle
	err := c.working(ctx, costPut, func() (err error) {
		heads, err = c.cfg.Keeper.Heads(ctx, owner)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read the heads of an owner: %w", err)
	}
	var parts [][]byte
	for i := range heads[:min(len(heads), MaxBundles)] {
		b, err := heads[i].Marshal()
		if err != nil {
			return nil, fmt.Errorf("encode a head: %w", err)
		}
		parts = append(parts, b)
	}
	return parts, nil
}

// certificate checks that the certificate shown is valid and that of the device
// at the other end.
func (c *session) certificate(q *request) (crypt.Certificate, error) {
	cert, err := crypt.ParseCertificate(q.Certificate)
	if err != nil {
		return cert, refuse(ErrDenied, "the certificate cannot be read")
	}
	if cert.Device != c.from.Device {
		return cert, refuse(ErrDenied, "the certificate is of another device")
	}
	if err := cert.Verify(c.cfg.Now()); err != nil {
		return cert, refuse(ErrDenied, "the certificate is not valid; check the clocks of both machines")
	}
	return cert, nil
}

func (c *session) join(ctx context.Context, q *request) error {
	if len(q.Token) == 0 {
		return refuse(ErrMalformed, "a join needs a token")
	}
	err := c.checking(ctx, func() error {
		_, err := c.certificate(q)
		return err
	})
	if err != nil {
		return err
	}
	state, err := c.cfg.Door.Join(ctx, c.from, q.Token, q.Certificate, clean(q.Name, maxName))
	if err != nil {
		return fmt.Errorf("let somebody join: %w", err)
	}
	return c.yes(&reply{}, appendParts(nil, state))
}

// ask draws the challenge that the next request of the stream may answer.
func (c *session) ask() error {
	c.challenge = make([]byte, challengeLen)
	rand.Read(c.challenge)
	return c.yes(&reply{Challenge: c.challenge}, nil)
}

func (c *session) recover(ctx context.Context, q *request, challenge []byte) error {
	if challenge == nil || len(q.Signature) != 64 {
		return refuse(ErrMalformed, "a recover follows a challenge and carries a signature")
	}
	var cert crypt.Certificate
	err := c.checking(ctx, func() (err error) {
		if cert, err = c.certificate(q); err != nil {
			return err
		}
		if cert.Owner.Verify(recoverContext, crypt.ID(challenge), q.Certificate, q.Signature) != nil {
			return refuse(ErrDenied, "the owner's signature is wrong")
		}
		return nil
	})
	if err != nil {
		return err
	}
	state, err := c.cfg.Door.Recover(ctx, c.from, q.Certificate)
	if err != nil {
		return fmt.Errorf("admit a recovered device: %w", err)
	}
	parts, err := c.bundles(ctx, cert.Owner)
	if err != nil {
		return err
	}
	return c.yes(&reply{}, appendParts(nil, append([][]byte{state}, parts...)...))
}

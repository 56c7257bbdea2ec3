package swarm

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/hammockfs/hammock/crypt"
)

// Invitation is what a member decides about somebody before knowing the key.
type Invitation struct {
	Name      string        // suggested; the newcomer's own counts if this is empty
	Allowance int64         // bytes that each node keeps for the newcomer at most; 0: no limit
	Valid     time.Duration // of the ticket; 0: seven days
	Expiry    time.Time     // of the membership; zero: none
}

// Redemption is what a newcomer shows in the join protocol.
type Redemption struct {
	Token       Token
	Certificate []byte // of the newcomer's device
	Name        string
	Device      crypt.DeviceKey // that holds the other end of the stream
}

// Invite makes a ticket that one owner can redeem at this node, once. When it
// returns, a restart keeps the ticket. ErrNotAllowed if this device's certificate
// lacks the right.
func (s *Swarm) Invite(ctx context.Context, inv Invitation) (string, error) {
	if err := s.mayDecide(); err != nil {
		return "", fmt.Errorf("invite: %w", err)
	}
	if err := checkText("the name", inv.Name, maxName); err != nil {
		return "", fmt.Errorf("invite: %w", err)
	}
	if inv.Allowance < 0 || inv.Valid < 0 {
		return "", errors.New("invite: allowance and validity cannot be negative")
	}
	addrs := s.ownAddrs()
	if len(addrs) == 0 {
		return "", errors.New("invite: this node listens nowhere, so nobody could redeem the ticket")
	}
	if inv.Valid == 0 {
		inv.Valid = ticketValid
	}
	t := Ticket{Swarm: s.ID(), Peer: s.host.ID().String(), Addrs: addrs, Token: newToken(), Expiry: s.cfg.Now().Add(inv.Valid)}
	it := issuedTicket{Hash: t.Token.hash(), Expiry: t.Expiry.Unix(), Name: inv.Name, Allowance: inv.Allowance}
	if !inv.Expiry.IsZero() {
		it.Until = inv.Expiry.Unix()
	}
	if err := s.keepTicket(it); err != nil {
		return "", fmt.Errorf("invite: %w", err)
	}
	return t.String(), ctx.Err()
}

func (s *Swarm) keepTicket(it issuedTicket) error {
	s.mu.Lock()
	now := s.cfg.Now().Unix()
	s.tickets = slices.DeleteFunc(s.tickets, func(o issuedTicket) bool { return o.Expiry+int64(ticketValid/time.Second) < now })
	if len(s.tickets) >= maxTickets {
		s.mu.Unlock()
		return fmt.Errorf("%d tickets are still to be redeemed or have been lately; wait until some expire", maxTickets)
	}
	s.tickets = append(s.tickets, it)
	s.dirty = true
	s.mu.Unlock()
	return s.save()
}

// mayDecide says whether this device may sign member records now.
func (s *Swarm) mayDecide() error {
	if s.cert.Rights&crypt.RightInvite == 0 {
		return ErrNotAllowed
	}
	if err := s.cert.Verify(s.cfg.Now()); err != nil {
		return fmt.Errorf("%w: %w", ErrNotAllowed, err)
	}
	if !s.IsMember(s.cert.Owner) {
		return fmt.Errorf("%w: its owner is %w", ErrNotAllowed, ErrNotMember)
	}
	return nil
}

// Redeem lets in the owner who shows the token of a ticket of this node. The
// ticket is used up by it; only the same owner may ask again, in case the answer
// was lost. When it returns, a restart keeps the new member. ErrTicketUnknown,
// ErrTicketExpired and ErrTicketUsed say what they say.
func (s *Swarm) Redeem(ctx context.Context, r Redemption) (*Admission, error) {
	cert, err := s.newcomer(r.Certificate, r.Device)
	if err != nil {
		return nil, err
	}
	if err := checkText("the name", r.Name, maxName); err != nil {
		return nil, err
	}
	if err := s.mayDecide(); err != nil {
		return nil, err
	}
	if err := s.useTicket(r, cert.Owner); err != nil {
		return nil, err
	}
	if err := s.save(); err != nil {
		return nil, fmt.Errorf("note the new member: %w", err)
	}
	return s.Admission(), ctx.Err()
}

// newcomer checks that a certificate is good and belongs to who shows it.
func (s *Swarm) newcomer(raw []byte, device crypt.DeviceKey) (crypt.Certificate, error) {
	cert, err := checkCertificate(raw, s.cfg.Now())
	if err != nil {
		return cert, err
	}
	if cert.Device != device {
		return cert, errors.New("the certificate is for another device")
	}
	return cert, nil
}

func (s *Swarm) useTicket(r Redemption, owner crypt.OwnerKey) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	hash := r.Token.hash()
	i := slices.IndexFunc(s.tickets, func(it issuedTicket) bool { return it.Hash == hash })
	if i < 0 {
		return ErrTicketUnknown
	}
	it := &s.tickets[i]
	switch {
	case it.Used && it.By != owner:
		return ErrTicketUsed
	case it.Used && s.member(owner) != nil:
		return nil
	case it.Used:
		return ErrTicketUsed
	case s.cfg.Now().Unix() >= it.Expiry:
		return ErrTicketExpired
	}
	if s.member(owner) == nil {
		if err := s.issue(s.admits(it, r.Name, owner)); err != nil {
			return err
		}
	}
	it.Used, it.By = true, owner
	s.dirty = true
	return nil
}

// admits is the record that a ticket turns into.
func (s *Swarm) admits(it *issuedTicket, name string, owner crypt.OwnerKey) record {
	if it.Name != "" {
		name = it.Name
	}
	return record{Owner: owner, Name: name, Allowance: it.Allowance, Expiry: it.Until}
}

// issue signs a record with the next number and takes it in. It needs s.mu.
func (s *Swarm) issue(r record) error {
	r.Version, r.Certificate, r.Issued, r.Number = 1, s.cfg.Certificate, s.cfg.Now().Unix(), 1
	if old := s.roster.edges[edge{s.cert.Owner, r.Owner}]; old != nil {
		r.Number = old.Number + 1
	}
	e, err := signRecord(s.roster.id, s.cfg.Device, r)
	if err != nil {
		return err
	}
	if !s.roster.put(e) {
		return fmt.Errorf("the swarm has as many members as it can")
	}
	s.recount()
	if !r.Revoked && s.member(r.Owner) == nil {
		return fmt.Errorf("%w: somebody nearer to the founder has revoked this owner", ErrNotMember)
	}
	return nil
}

// AdmitDevice lets in a new device of an owner who is a member, because its
// certificate shows that the owner holds the root key (the recover protocol).
// ErrNotMember for other owners.
func (s *Swarm) AdmitDevice(ctx context.Context, certificate []byte, device crypt.DeviceKey) (*Admission, error) {
	cert, err := s.newcomer(certificate, device)
	if err != nil {
		return nil, err
	}
	if !s.IsMember(cert.Owner) {
		return nil, fmt.Errorf("the owner %s is %w", cert.Owner, ErrNotMember)
	}
	return s.Admission(), ctx.Err()
}

// Admission is all that a newcomer needs to know, the devices at hand first.
func (s *Swarm) Admission() *Admission {
	s.mu.RLock()
	defer s.mu.RUnlock()
	a := &Admission{Genesis: s.roster.raw, Records: s.roster.list(), Cards: [][]byte{s.mine.raw}}
	var away [][]byte
	for id, d := range s.cards {
		if c := s.contacts[id]; c != nil && c.greeted {
			a.Cards = append(a.Cards, d.raw)
		} else if id != s.host.ID() {
			away = append(away, d.raw)
		}
	}
	a.Cards = append(a.Cards, away...)
	return a
}

// Revoke ends an owner's membership, and that of whom only he invited. Whoever is
// on the way from the founder to the owner may do it, and the owner himself. Both
// sides' connections are closed as the news spreads. When it returns, a restart
// keeps it.
func (s *Swarm) Revoke(ctx context.Context, owner crypt.OwnerKey) error {
	if err := s.mayDecide(); err != nil {
		return fmt.Errorf("revoke: %w", err)
	}
	if err := s.revoke(owner); err != nil {
		return fmt.Errorf("revoke: %w", err)
	}
	if err := s.save(); err != nil {
		return fmt.Errorf("revoke: %w", err)
	}
	return ctx.Err()
}

func (s *Swarm) revoke(owner crypt.OwnerKey) error {
	s.mu.Lock()
	m := s.member(owner)
	switch {
	case m == nil:
		s.mu.Unlock()
		return fmt.Errorf("the owner %s is %w", owner, ErrNotMember)
	case m.Founder:
		s.mu.Unlock()
		return fmt.Errorf("%w: the founder cannot be revoked", ErrNotAllowed)
	case owner != s.cert.Owner && !m.above(s.cert.Owner):
		s.mu.Unlock()
		return fmt.Errorf("%w: only the founder and those who invited %s can revoke it", ErrNotAllowed, m.Name)
	}
	r := record{Version: 1, Certificate: s.cfg.Certificate, Issued: s.cfg.Now().Unix(), Number: 1, Owner: owner, Revoked: true, Name: m.Name}
	if old := s.roster.edges[edge{s.cert.Owner, owner}]; old != nil {
		r.Number = old.Number + 1
	}
	e, err := signRecord(s.roster.id, s.cfg.Device, r)
	s.mu.Unlock()
	if err != nil {
		return err
	}
	return s.learn([][]byte{e.raw}, nil)
}

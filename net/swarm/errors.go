package swarm

import "errors"

// What goes wrong here, to be asked for with errors.Is. The sentences are meant
// for people.
var (
	ErrNotMember   = errors.New("not a member of this swarm")
	ErrNotAllowed  = errors.New("this device may not decide about members")
	ErrUnreachable = errors.New("the peer cannot be reached")
	ErrRefused     = errors.New("the other side refused")
	ErrClosed      = errors.New("the node is stopping")

	ErrNoSwarm = errors.New("there is no swarm in this state folder")
	ErrExists  = errors.New("this state folder belongs to a swarm already")
	ErrDamaged = errors.New("the swarm file is damaged")

	ErrTicket        = errors.New("this is not a ticket, or part of it is missing")
	ErrTicketUsed    = errors.New("this ticket has been used already; ask for a new one")
	ErrTicketExpired = errors.New("this ticket has expired; ask for a new one")
	ErrTicketUnknown = errors.New("this node has not issued that ticket")
	ErrTicketSwarm   = errors.New("this ticket is for another swarm")

	ErrAddr = errors.New("this is not the address of a peer")
)

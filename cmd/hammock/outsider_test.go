//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/hammockfs/hammock/crypt"
	"github.com/hammockfs/hammock/net/swarm"
	"github.com/hammockfs/hammock/net/wire"
)

// forge changes a ticket as somebody might who wants in: forge KIND FROM TO.
func forge(ts *testscript.TestScript, _ bool, args []string) {
	ticket, err := swarm.ParseTicket(ts.ReadFile(args[1]))
	ts.Check(err)
	switch args[0] {
	case "token":
		ticket.Token[0] ^= 1
	case "expiry":
		ticket.Expiry = ticket.Expiry.Add(1000 * time.Hour)
	case "swarm":
		ticket.Swarm[0] ^= 1
	case "none":
	default:
		ts.Fatalf("forge: no %s", args[0])
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[2]), []byte(ticket.String()), 0o600))
}

// outsider is a program that is no member: it dials the issuer of a ticket, as
// one who knows its address, and asks for what only members get. It ends with 0
// when it got nothing.
func outsider() {
	if err := tryOutside(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println("was given nothing")
}

func tryOutside(text string) error {
	ticket, err := swarm.ParseTicket(text)
	if err != nil {
		return err
	}
	device := crypt.NewDevice()
	s, err := swarm.NewStranger(device)
	if err != nil {
		return err
	}
	defer s.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	client := wire.NewClient(wire.ClientConfig{Device: device, Dialer: outside{s, ticket.Targets()}})
	defer client.Close()
	p := client.Peer(ticket.Peer)
	data := []byte("a shard of somebody who is no member")
	put := wire.Put{Shard: crypt.Sum(data), Stripe: 1 << 40, Generation: 1}
	if err := p.Put(ctx, put, data); err == nil {
		return errors.New("a stranger could put a shard")
	}
	if _, err := p.Heads(ctx, crypt.OwnerKey{}); err == nil {
		return errors.New("a stranger got heads")
	}
	if _, err := p.Info(ctx); err == nil {
		return errors.New("a stranger was told about the node")
	}
	return nil
}

// outside opens streams without being a member.
type outside struct {
	s       *swarm.Stranger
	targets []string
}

func (o outside) Open(ctx context.Context, _, proto string) (wire.Stream, error) {
	return o.s.Open(ctx, o.targets, proto)
}

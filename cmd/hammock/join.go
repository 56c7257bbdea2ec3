package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/hammockfs/hammock/crypt"
	"github.com/hammockfs/hammock/net/swarm"
	"github.com/hammockfs/hammock/net/wire"
)

// joinTimeout is how long entering a swarm may take.
const joinTimeout = 60 * time.Second

func joinCommand(at func() state) *cobra.Command {
	var f ownerFlags
	cmd := &cobra.Command{
		Use:   "join TICKET",
		Short: "Enter a swarm with a ticket; makes an owner here and prints its 24 words",
		Long: "Enters the swarm of the node that issued TICKET, with an owner and a volume that are made for this state; prints\n" +
			"the owner's 24 words, once. A state is a member of one swarm: to enter another one, give it a --state of its own.",
		Args: exactly(1, "TICKET"),
		RunE: func(cmd *cobra.Command, args []string) error {
			ticket, err := swarm.ParseTicket(args[0])
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), joinTimeout)
			defer cancel()
			st := at()
			set, err := f.settings()
			if err != nil {
				return err
			}
			words, err := f.create(st, set, func(_ *crypt.Root, k *crypt.Keyring) error { return enterSwarm(ctx, st, k, ticket, f.name) })
			if err != nil {
				return err
			}
			if err := f.announce(words); err != nil {
				return err
			}
			fmt.Println("This machine is a member now. Next: `hammock serve --give SIZE` to keep shards for the others,")
			fmt.Println("or `hammock mount DIR --give SIZE` to have a folder of your own as well.")
			return nil
		},
	}
	f.add(cmd)
	return cmd
}

// enterSwarm redeems a ticket and makes the state's swarm of what it gets.
func enterSwarm(ctx context.Context, st state, k *crypt.Keyring, ticket *swarm.Ticket, name string) error {
	s, err := swarm.NewStranger(crypt.DeviceFromSeed(k.DeviceSeed))
	if err != nil {
		return err
	}
	defer s.Close()
	w := wire.Stranger{Open: func(ctx context.Context, proto string) (wire.Stream, error) {
		return s.Open(ctx, ticket.Targets(), proto)
	}}
	b, err := w.Join(ctx, ticket.Token[:], k.Certificate, name)
	if err != nil {
		return err
	}
	a, err := swarm.ParseAdmission(b)
	if err != nil {
		return fmt.Errorf("what the swarm answered: %w", err)
	}
	if a.ID() != ticket.Swarm {
		return fmt.Errorf("the ticket is for another swarm than the one that answered; nothing was joined")
	}
	k.Swarm = a.Genesis
	return swarm.Create(st.fs, st.dir, a)
}

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/hammockfs/hammock/crypt"
	"github.com/hammockfs/hammock/fs/meta"
	"github.com/hammockfs/hammock/net/swarm"
	"github.com/hammockfs/hammock/net/wire"
)

func recoverCommand(at func() state) *cobra.Command {
	var r recovery
	var ticket string
	cmd := &cobra.Command{
		Use:   "recover",
		Short: "Bring a volume back on a bare machine, from its 24 words and the address of one member",
		Long: "Makes a state from the 24 words: asks a member to let this machine in, finds the newest head of the volume among\n" +
			"its keepers, and stops there; `hammock mount` then shows everything at once and fetches what is read. A member's\n" +
			"address is in its `hammock status --json`. The device that had the volume before must not be used any more.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := r.targetsFrom(ticket); err != nil {
				return err
			}
			return r.run(cmd.Context(), at())
		},
	}
	cmd.Flags().StringArrayVar(&r.targets, "peer", nil, "address of a member, like /ip4/192.0.2.7/tcp/4001/p2p/12D3Koo... (may be repeated)")
	cmd.Flags().StringVar(&ticket, "ticket", "", "a ticket of the swarm, whose issuer is then asked; it may be used or expired")
	cmd.Flags().StringVar(&r.phrase, "phrase-file", "", "file with the 24 words; without it they are asked for on the terminal")
	cmd.Flags().BoolVar(&r.anyway, "newest-found", false, "accept the newest head found even if few keepers answered")
	r.owner.add(cmd)
	return cmd
}

// recovery is one run of `hammock recover`.
type recovery struct {
	targets []string
	phrase  string
	anyway  bool
	owner   ownerFlags
}

func (r *recovery) targetsFrom(ticket string) error {
	if ticket != "" {
		t, err := swarm.ParseTicket(ticket)
		if err != nil {
			return err
		}
		r.targets = append(r.targets, t.Targets()...)
	}
	if len(r.targets) == 0 {
		return errors.New("give the address of one member with --peer, or a ticket with --ticket: the volume is found through the members")
	}
	for _, t := range r.targets {
		if err := swarm.CheckAddr(t); err != nil {
			return err
		}
	}
	return nil
}

func (r *recovery) run(ctx context.Context, st state) error {
	if err := st.vacant("Recover into another --state"); err != nil {
		return err
	}
	set, err := r.owner.settings()
	if err != nil {
		return err
	}
	root, err := readPhrase(r.phrase)
	if err != nil {
		return err
	}
	defer root.Wipe()
	pass, err := r.owner.pass.fresh()
	if err != nil {
		return err
	}
	if err := st.create(); err != nil {
		return err
	}
	lock, err := st.lock()
	if err != nil {
		return err
	}
	defer lock.Close()
	found, err := r.find(ctx, st, root)
	if err != nil {
		return err
	}
	if err := r.settle(ctx, st, set, pass, root, found); err != nil {
		return err
	}
	fmt.Printf("Recovered: head %d of the volume. Next: `hammock mount DIR`.\n", found.head.Counter)
	return nil
}

// found is what the swarm gave back.
type found struct {
	device    *crypt.Device
	admission *swarm.Admission
	best      crypt.Bundle
	head      *crypt.Head
	cert      []byte
	epoch     uint64
}

// find has a new device admitted to the swarm and gets the newest head.
func (r *recovery) find(ctx context.Context, st state, root *crypt.Root) (*found, error) {
	f := &found{device: crypt.NewDevice(), epoch: uint64(time.Now().Unix())}
	bundles, err := r.admit(ctx, root, f)
	if err != nil {
		return nil, err
	}
	more, err := r.askKeepers(ctx, st, root, f)
	if err != nil {
		return nil, err
	}
	if err := f.choose(append(bundles, more...)); err != nil {
		return nil, err
	}
	if f.head.WriterEpoch < f.epoch {
		return f, nil
	}
	f.epoch = f.head.WriterEpoch + 1 // this clock is behind: stay the newest device all the same
	_, err = r.admit(ctx, root, f)
	return f, err
}

// admit asks a member to let the device in and to hand over what it keeps.
func (r *recovery) admit(ctx context.Context, root *crypt.Root, f *found) ([]crypt.Bundle, error) {
	ctx, cancel := context.WithTimeout(ctx, joinTimeout)
	defer cancel()
	var err error
	if f.cert, err = certify(root, f.device, f.epoch); err != nil {
		return nil, err
	}
	s, err := swarm.NewStranger(f.device)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	w := wire.Stranger{Open: func(ctx context.Context, proto string) (wire.Stream, error) { return s.Open(ctx, r.targets, proto) }}
	b, bundles, err := w.Recover(ctx, root, f.cert)
	if err != nil {
		return nil, fmt.Errorf("ask a member to let this machine in: %w", err)
	}
	f.admission, err = swarm.ParseAdmission(b)
	return bundles, err
}

// askKeepers enters the swarm and asks all keepers for heads.
func (r *recovery) askKeepers(ctx context.Context, st state, root *crypt.Root, f *found) ([]crypt.Bundle, error) {
	if err := st.dropSwarm(); err != nil {
		return nil, err
	}
	if err := swarm.Create(st.fs, st.dir, f.admission); err != nil {
		return nil, err
	}
	s, err := swarm.Open(ctx, swarm.Config{State: st.dir, Device: f.device, Certificate: f.cert, Name: r.owner.name, Machine: "recovering", Log: quietLog()})
	if err != nil {
		return nil, fmt.Errorf("enter the swarm: %w", err)
	}
	defer s.Close()
	client := wire.NewClient(wire.ClientConfig{Dialer: wire.OverSwarm(s), Device: f.device, Owner: root.Owner(), Swarm: s.ID()})
	defer client.Close()
	return r.collect(ctx, client, keepersOf(root.Owner(), s.Peers()), root.Owner())
}

// collect asks the keepers at once and returns what they keep, once more than a
// third have answered and the others had a moment.
func (r *recovery) collect(ctx context.Context, client *wire.Client, list []swarm.Peer, owner crypt.OwnerKey) ([]crypt.Bundle, error) {
	type reply struct {
		bundles []crypt.Bundle
		err     error
	}
	ctx, cancel := context.WithTimeout(ctx, waitTimeout)
	defer cancel()
	replies := make(chan reply, len(list))
	for _, p := range list {
		go func() {
			b, err := client.Peer(p.ID).Heads(ctx, owner)
			replies <- reply{b, err}
		}()
	}
	var all []crypt.Bundle
	var failed []error
	answered := 0
	grace := time.NewTimer(waitTimeout)
	defer grace.Stop()
	for range list {
		select {
		case a := <-replies:
			if a.err != nil {
				failed = append(failed, a.err)
				continue
			}
			all = append(all, a.bundles...)
			if answered++; answered*3 > len(list) {
				grace.Reset(3 * time.Second)
			}
		case <-grace.C:
			cancel() // the rest end; their replies fit into the channel
		}
	}
	if len(list) > 0 && answered*3 <= len(list) && !r.anyway {
		return nil, fmt.Errorf("only %d of %d keepers of this volume's heads answered, so a newer state might be missed; nothing was changed. "+
			"Try again when more are online, or say --newest-found to take the newest head found: %w", answered, len(list), errors.Join(failed...))
	}
	return all, nil
}

// choose takes the newest head whose signatures are right.
func (f *found) choose(bundles []crypt.Bundle) error {
	for _, b := range bundles {
		v, err := b.Parse(time.Now())
		if err != nil || v.Head == nil {
			continue
		}
		h := v.Head
		if f.head == nil || h.WriterEpoch > f.head.WriterEpoch || h.WriterEpoch == f.head.WriterEpoch && h.Counter > f.head.Counter {
			f.head, f.best = h, b
		}
	}
	if f.head == nil {
		return errors.New("the words are right and the swarm let this machine in, but no member keeps a head of this volume: it was never synced to peers (`hammock sync`), or its keepers are away")
	}
	return nil
}

// settle makes the state of what was found.
func (r *recovery) settle(ctx context.Context, st state, set settings, pass []byte, root *crypt.Root, f *found) error {
	g, err := crypt.ParseGenesis(f.best.Genesis)
	if err != nil {
		return err
	}
	secrets, err := crypt.UnwrapSecrets(root, g.ID(), f.best.Secrets)
	if err != nil {
		return fmt.Errorf("unwrap the volume's secrets: %w", err)
	}
	k, err := newDeviceOf(root, f, secrets)
	if err != nil {
		return err
	}
	if k.Domain, err = r.domain(&g); err != nil {
		return err
	}
	n := &node{state: st, set: set, log: quietLog(), keys: k, device: f.device, genesis: g}
	if n.cert, err = crypt.ParseCertificate(k.Certificate); err != nil {
		return err
	}
	if err := st.restore(ctx, metaConfig(n, nil), f.best.Head); err != nil {
		return err
	}
	if set.Policy == "default" {
		if set.Policy, err = meta.HeadPolicy(metaConfig(n, nil), f.best.Head); err != nil {
			return err
		}
	}
	if err := st.finish(set, pass, k); err != nil {
		return err
	}
	return st.takeRestored()
}

// domain is the secret of the volume's convergence domain. Without that of its
// group a volume can be read all the same, for its refs carry their keys.
func (r *recovery) domain(g *crypt.Genesis) (crypt.Key, error) {
	if g.Convergence == convergencePublic {
		return crypt.PublicDomain, nil
	}
	kind, domain, err := parseConvergence(r.owner.convergence)
	switch {
	case err != nil || g.Convergence == convergencePrivate:
		return crypt.Key{}, err
	case kind != convergenceGroup:
		fmt.Fprintln(os.Stderr, "This volume shares equal data with a group, whose secret was not given: what is written from now on is private. "+
			"To go on sharing, recover into a new --state with --convergence group:FILE.")
		return crypt.Key{}, nil
	case (crypt.Domain{Secret: domain}).ID() != g.Domain:
		return crypt.Key{}, errors.New("the group's secret is not that of this volume; nothing was recovered. Give the right file, or none")
	}
	return domain, nil
}

// newDeviceOf makes the keyring of the device that was admitted.
func newDeviceOf(root *crypt.Root, f *found, secrets *crypt.VolumeSecrets) (*crypt.Keyring, error) {
	k, err := newDevice(root, f.best.Genesis, secrets, f.epoch)
	if err != nil {
		return nil, err
	}
	k.DeviceSeed, k.Certificate, k.Swarm = f.device.Seed(), f.cert, f.admission.Genesis
	g, err := crypt.ParseGenesis(f.best.Genesis)
	if err != nil {
		return nil, err
	}
	k.Secrets = nil
	for _, pub := range [][32]byte{root.WrapKey(), f.device.Wrap()} {
		w, err := secrets.Wrap(pub, g.ID())
		if err != nil {
			return nil, err
		}
		k.Secrets = append(k.Secrets, w)
	}
	return k, nil
}

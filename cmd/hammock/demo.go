package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/hammockfs/hammock/crypt"
	"github.com/hammockfs/hammock/net/swarm"
	"github.com/hammockfs/hammock/placement"
)

func demoCommand(at func() state) *cobra.Command {
	var d demo
	cmd := &cobra.Command{
		Use:   "demo DIR",
		Short: "A swarm of local peers, a volume, and DIR mounted on it",
		Long: "Starts a swarm of peers on this machine, each a process of its own, makes a volume and mounts it on DIR.\n" +
			"Each peer declares a machine of its own, so that shards are spread as they would be over real ones; on one\n" +
			"disk that protects nothing, so keep nothing in a demo. `hammock unmount DIR` ends it, peers included.",
		Args: exactly(1, "DIR"),
		RunE: func(cmd *cobra.Command, args []string) error {
			d.state = at()
			if !cmd.Flags().Changed("state") {
				d.state.dir += "-demo"
			}
			var err error
			if d.dir, err = mountPath(args[0]); err != nil {
				return err
			}
			if old, err := demoPeers(d.state); err != nil {
				return err
			} else if len(old) > 0 && !cmd.Flags().Changed("peers") {
				d.peers = len(old)
			}
			return d.run(cmd.Context())
		},
	}
	cmd.Flags().IntVar(&d.peers, "peers", 6, "how many peers; a demo that exists keeps those it has")
	cmd.Flags().StringVar(&d.policy, "policy", "4+2", "how much redundancy: 2+1, 4+2, 10+6, 20+20")
	cmd.Flags().StringVar(&d.give, "give", "20G", "space that each peer gives")
	return cmd
}

// demo is one run of `hammock demo`.
type demo struct {
	state  state
	dir    string
	peers  int
	policy string
	give   string
}

// demoPeers is where the peers' states lie in a demo's state.
func demoPeers(st state) ([]state, error) {
	var list []state
	for i := 1; ; i++ {
		p := state{dir: st.path("peer-" + strconv.Itoa(i))}
		_, err := os.Stat(p.keyring())
		if errors.Is(err, fs.ErrNotExist) {
			return list, nil
		}
		if err != nil {
			return nil, err
		}
		list = append(list, p)
	}
}

func (d *demo) run(ctx context.Context) error {
	if d.peers < 1 || d.peers > 100 {
		return errors.New("--peers is from 1 to 100")
	}
	running, err := d.running(ctx)
	if err != nil {
		return err
	}
	words := ""
	if !running {
		if words, err = d.mount(ctx); err != nil {
			return err
		}
	}
	if err := d.startPeers(ctx); err != nil {
		if running {
			return err
		}
		if words != "" {
			printPhrase(words) // the next demo goes on with this volume
		}
		return errors.Join(err, d.state.ask(ctx, "/unmount", url.Values{"dir": {d.dir}, "timeout": {"0s"}}, nil, nil), endDemo(ctx, d.state))
	}
	d.explain(words)
	return nil
}

// running says whether this demo is mounted already: then only peers that ended
// are started again.
func (d *demo) running(ctx context.Context) (bool, error) {
	var s nodeStatus
	err := d.state.ask(ctx, "/status", nil, nil, &s)
	if errors.Is(err, errNoNode) {
		return false, nil
	}
	if err == nil && s.Volume != nil && s.Volume.Mount != d.dir {
		err = fmt.Errorf("this demo is mounted on %s already: end it with `hammock unmount`, or give another --state", s.Volume.Mount)
	}
	return err == nil, err
}

// mount mounts the demo's volume, which it makes the first time; words are
// those of a new one.
func (d *demo) mount(ctx context.Context) (words string, err error) {
	if err := os.MkdirAll(d.dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) { // it exists and does not answer: a dead mount
		return "", fmt.Errorf("make the mount point: %w", err)
	}
	exists, err := d.state.exists()
	if err != nil {
		return "", err
	}
	if !exists {
		if err := d.enough(); err != nil {
			return "", err
		}
		enter := func(root *crypt.Root, k *crypt.Keyring) error { return newSwarm(d.state, root, k, "demo") }
		if words, err = d.owner(d.state, "demo", enter); err != nil {
			return "", err
		}
	}
	return words, runBackground(ctx, d.state, []string{"mount", d.dir, "--state", d.state.dir, "--foreground"}, nil)
}

// enough refuses a policy that the peers could not fulfil.
func (d *demo) enough() error {
	policy, err := placement.ParsePolicy(d.policy)
	if err != nil {
		return err
	}
	if policy.Needs() > d.peers {
		return fmt.Errorf("the policy %s needs %d peers: give --peers %d, or a smaller --policy", policy, policy.Needs(), policy.Needs())
	}
	return nil
}

// owner makes an owner without a passphrase whose node talks to this machine
// only.
func (d *demo) owner(st state, name string, enter func(*crypt.Root, *crypt.Keyring) error) (string, error) {
	f := ownerFlags{policy: d.policy, convergence: "private", name: name, cache: "20G", loopback: true, pass: passphraseFlags{none: true, quiet: true}}
	set, err := f.settings()
	if err != nil {
		return "", err
	}
	return f.create(st, set, enter)
}

func (d *demo) startPeers(ctx context.Context) error {
	old, err := demoPeers(d.state)
	if err != nil {
		return err
	}
	for _, p := range old {
		if err := p.ask(ctx, "/status", nil, nil, nil); err == nil {
			continue // it runs
		}
		if err := d.startPeer(ctx, p); err != nil {
			return fmt.Errorf("start the peer in %s again: %w", p.dir, err)
		}
	}
	for i := len(old) + 1; i <= d.peers; i++ {
		p := state{dir: d.state.path("peer-" + strconv.Itoa(i))}
		if err := d.addPeer(ctx, p, "peer-"+strconv.Itoa(i)); err != nil {
			return fmt.Errorf("start peer %d: %w", i, err)
		}
		fmt.Fprintf(os.Stderr, "peer %d of %d has joined\n", i, d.peers)
	}
	return d.awaitPeers(ctx, max(d.peers, len(old)))
}

// addPeer lets a new peer in, with a ticket as on any other machine.
func (d *demo) addPeer(ctx context.Context, p state, name string) error {
	var text string
	args := url.Values{"name": {name}, "allowance": {"0"}, "valid": {"1h"}}
	if err := d.state.ask(ctx, "/invite", args, nil, &text); err != nil {
		return err
	}
	ticket, err := swarm.ParseTicket(text)
	if err != nil {
		return err
	}
	jctx, cancel := context.WithTimeout(ctx, joinTimeout)
	defer cancel()
	if _, err := d.owner(p, name, func(_ *crypt.Root, k *crypt.Keyring) error { return enterSwarm(jctx, p, k, ticket, name) }); err != nil {
		return err
	}
	return d.startPeer(ctx, p)
}

func (d *demo) startPeer(ctx context.Context, p state) error {
	return runBackground(ctx, p, []string{"serve", "--give", d.give, "--state", p.dir, "--foreground"}, nil)
}

// awaitPeers waits until the mounting node sees all peers.
func (d *demo) awaitPeers(ctx context.Context, want int) error {
	ctx, cancel := context.WithTimeout(ctx, joinTimeout)
	defer cancel()
	for {
		var s nodeStatus
		if err := d.state.ask(ctx, "/status", nil, nil, &s); err != nil {
			return err
		}
		n := 0
		for _, p := range s.Peers {
			if p.Connected && p.Gives > 0 {
				n++
			}
		}
		if n >= want {
			return nil
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("only %d of %d peers are connected", n, want)
		}
	}
}

func (d *demo) explain(words string) {
	if words != "" {
		printPhrase(words)
		fmt.Println()
	}
	at := " --state " + d.state.dir
	fmt.Printf("%s is mounted, with %d peers on this machine (states in %s/peer-*). Each declares a machine of its own;\n", d.dir, d.peers, d.state.dir)
	fmt.Println("as they share one disk, keep nothing here that you need. Try:")
	fmt.Println()
	self := os.Args[0] // as the user called it: it may not be in the path
	fmt.Printf("    cp -a /usr/share/doc %s/ && %s sync%s\n", d.dir, self, at)
	fmt.Printf("    %s status%s\n", self, at)
	fmt.Printf("    kill -9 $(cat %s/peer-1/pid) $(cat %s/peer-2/pid); %s cache drop%s; du -sh %s\n", d.state.dir, d.state.dir, self, at, d.dir)
	fmt.Printf("    %s unmount %s%s\n", self, d.dir, at)
}

// endDemo stops the peers of a demo that still run.
func endDemo(ctx context.Context, st state) error {
	peers, err := demoPeers(st)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, closeLimit)
	defer cancel()
	errs := make([]error, len(peers))
	var stopping sync.WaitGroup
	for i, p := range peers {
		stopping.Go(func() {
			if err := p.ask(ctx, "/stop", nil, nil, nil); err != nil && !errors.Is(err, errNoNode) {
				errs[i] = fmt.Errorf("stop the demo's peer in %s (process %s): %w", p.dir, readPID(p), err)
			}
		})
	}
	stopping.Wait()
	return errors.Join(errs...)
}

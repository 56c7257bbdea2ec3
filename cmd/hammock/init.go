package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/hammockfs/hammock/crypt"
	"github.com/hammockfs/hammock/net/swarm"
	"github.com/hammockfs/hammock/placement"
)

// ownerFlags are what init and join ask about a new owner.
type ownerFlags struct {
	policy, convergence, name, site string
	cache                           string
	noMDNS, loopback                bool
	pass                            passphraseFlags
}

func (f *ownerFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.policy, "policy", "default", "how much redundancy: solo, 2+1, 4+2, 10+6, 20+20, or default (4+2 from six stores, 2+1 from three)")
	cmd.Flags().StringVar(&f.convergence, "convergence", "private", "with whom equal data is stored once: private, group:FILE, public")
	cmd.Flags().StringVar(&f.name, "name", hostName(), "name of this machine, as members see it")
	cmd.Flags().StringVar(&f.site, "site", "", "where this machine stands; shards are spread over sites")
	cmd.Flags().StringVar(&f.cache, "cache", "20G", "space for the local encrypted cache")
	cmd.Flags().BoolVar(&f.noMDNS, "no-mdns", false, "do not look for members on the local network")
	cmd.Flags().BoolVar(&f.loopback, "loopback", false, "talk to nodes on this machine only")
	_ = cmd.Flags().MarkHidden("loopback") // for demos and tests
	f.pass.addNew(cmd)
}

func hostName() string {
	h, err := os.Hostname()
	if err != nil {
		return "unnamed"
	}
	return h
}

func (f *ownerFlags) settings() (settings, error) {
	if _, err := placement.ParsePolicy(f.policy); err != nil {
		return settings{}, err
	}
	size, err := parseSize(f.cache)
	if err != nil {
		return settings{}, fmt.Errorf("--cache: %w", err)
	}
	kind, _, _ := strings.Cut(f.convergence, ":")
	policy := f.policy
	if kind != "private" {
		// Equal chunks of two owners become equal shards only under one code.
		if policy != "default" && policy != sharedCode.String() {
			return settings{}, fmt.Errorf("with --convergence %s the policy is %s, so that equal data of several owners is stored once; leave --policy out, or keep the volume private", kind, sharedCode)
		}
		policy = sharedCode.String()
	}
	return settings{Policy: policy, Convergence: kind, Name: f.name, Site: f.site, Cache: size, Distinct: "machine",
		NoMDNS: f.noMDNS, Loopback: f.loopback}, nil
}

// create makes an owner in an empty state and returns the words. enter makes
// the state's swarm, given the owner's root; it runs before anything is final.
func (f *ownerFlags) create(st state, set settings, enter func(*crypt.Root, *crypt.Keyring) error) (words string, err error) {
	if err := st.vacant("Give another --state for another one"); err != nil {
		return "", err
	}
	words, root, k, err := newOwner(f.convergence)
	if err != nil {
		return "", err
	}
	defer root.Wipe()
	pass, err := f.pass.fresh()
	if err != nil {
		return "", err
	}
	if err := st.create(); err != nil {
		return "", err
	}
	l, err := st.lock()
	if err != nil {
		return "", err
	}
	defer l.Close()
	return words, st.begin(set, pass, k, func() error { return enter(root, k) })
}

// begin fills an empty state: its swarm, by enter, its settings and its keyring.
func (st state) begin(set settings, pass []byte, k *crypt.Keyring, enter func() error) error {
	if err := errors.Join(st.dropSwarm(), st.dropRestored()); err != nil {
		return err
	}
	if err := enter(); err != nil {
		return err
	}
	return st.finish(set, pass, k)
}

// finish writes settings and keyring: the state exists from then on.
func (st state) finish(set settings, pass []byte, k *crypt.Keyring) error {
	if err := st.saveSettings(set); err != nil {
		return fmt.Errorf("save the settings: %w", err)
	}
	return crypt.SaveKeyring(st.fs, st.keyring(), pass, k)
}

// announce prints what a new owner must know.
func (f *ownerFlags) announce(words string) error {
	kind, _, err := parseConvergence(f.convergence)
	if err != nil {
		return err
	}
	printPhrase(words)
	fmt.Println()
	name, _, _ := strings.Cut(f.convergence, ":")
	fmt.Println("Convergence is " + name + ": " + explainConvergence(kind))
	return nil
}

func initCommand(at func() state) *cobra.Command {
	var f ownerFlags
	cmd := &cobra.Command{
		Use:   "init",
		Short: "Make a volume, and a swarm of one; prints the 24 words once",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			st := at()
			set, err := f.settings()
			if err != nil {
				return err
			}
			words, err := f.create(st, set, func(root *crypt.Root, k *crypt.Keyring) error { return newSwarm(st, root, k, f.name) })
			if err != nil {
				return err
			}
			if err := f.announce(words); err != nil {
				return err
			}
			fmt.Println("Next: `hammock mount DIR`, then `hammock invite` for each machine that should hold shards.")
			return nil
		},
	}
	f.add(cmd)
	return cmd
}

// newSwarm makes a swarm of one.
func newSwarm(st state, root *crypt.Root, k *crypt.Keyring, name string) error {
	genesis, err := swarm.NewGenesis(root, name, time.Now())
	if err != nil {
		return fmt.Errorf("make a swarm: %w", err)
	}
	k.Swarm = genesis
	return swarm.Create(st.fs, st.dir, &swarm.Admission{Genesis: genesis})
}

// dropSwarm removes the swarm of a command that was cut off before its keyring
// was written.
func (st state) dropSwarm() error {
	err := st.disk().Remove(st.path("swarm"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

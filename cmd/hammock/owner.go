package main

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/hammockfs/hammock/crypt"
)

// certificateLife is how long a device may act for its owner before the words
// are needed again.
const certificateLife = 10 * 365 * 24 * time.Hour

// newOwner makes an owner with a volume: everything that init and join put into
// a keyring, and the words that stand for it.
func newOwner(convergence string) (words string, root *crypt.Root, k *crypt.Keyring, err error) {
	if words, err = crypt.NewPhrase(); err != nil {
		return "", nil, nil, err
	}
	if root, err = crypt.RootFromPhrase(words); err != nil {
		return "", nil, nil, err
	}
	kind, domain, err := parseConvergence(convergence)
	if err != nil {
		return "", nil, nil, err
	}
	g := crypt.Genesis{Version: 1, Time: time.Now().Unix(), Convergence: kind, Suite: crypt.PreferredSuite()}
	if kind != convergencePrivate {
		g.Domain = crypt.Domain{Secret: domain}.ID()
	}
	if g, err = root.NewGenesis(g); err != nil {
		return "", nil, nil, err
	}
	genesis, err := g.Marshal()
	if err != nil {
		return "", nil, nil, err
	}
	k, err = newDevice(root, genesis, crypt.NewVolumeSecrets(), uint64(time.Now().Unix()))
	if err != nil {
		return "", nil, nil, err
	}
	k.Domain = domain
	return words, root, k, nil
}

// newDevice makes a device of an owner for the volume of a genesis record.
func newDevice(root *crypt.Root, genesis []byte, secrets *crypt.VolumeSecrets, epoch uint64) (*crypt.Keyring, error) {
	g, err := crypt.ParseGenesis(genesis)
	if err != nil {
		return nil, err
	}
	d := crypt.NewDevice()
	cert, err := certify(root, d, epoch)
	if err != nil {
		return nil, err
	}
	k := &crypt.Keyring{DeviceSeed: d.Seed(), AtRest: crypt.NewKey(), Certificate: cert, Genesis: genesis,
		Volume: secrets.Volume, Epochs: secrets.Epochs, Machine: crypt.ID(crypt.NewKey())}
	for _, pub := range [][32]byte{root.WrapKey(), d.Wrap()} {
		w, err := secrets.Wrap(pub, g.ID())
		if err != nil {
			return nil, fmt.Errorf("wrap the volume's secrets: %w", err)
		}
		k.Secrets = append(k.Secrets, w)
	}
	return k, nil
}

// certify makes a device's certificate. Writer epochs only grow, so that the
// newest device of a volume is the one that may publish.
func certify(root *crypt.Root, d *crypt.Device, epoch uint64) ([]byte, error) {
	now := time.Now()
	c, err := root.Certify(crypt.Certificate{Owner: root.Owner(), Device: d.Key(), Wrap: d.Wrap(), WriterEpoch: epoch,
		Rights: crypt.RightWrite | crypt.RightInvite, NotBefore: now.Add(-24 * time.Hour).Unix(), NotAfter: now.Add(certificateLife).Unix()})
	if err != nil {
		return nil, fmt.Errorf("certify this device: %w", err)
	}
	return c.Marshal()
}

const (
	convergencePrivate = 0
	convergenceGroup   = 1
	convergencePublic  = 2
)

// parseConvergence reads --convergence: with whom equal chunks are shared.
func parseConvergence(s string) (kind uint8, domain crypt.Key, err error) {
	file, group := strings.CutPrefix(s, "group:")
	switch {
	case s == "private":
		return convergencePrivate, crypt.Key{}, nil
	case s == "public":
		return convergencePublic, crypt.PublicDomain, nil
	case group:
		b, err := os.ReadFile(file)
		if err != nil {
			return 0, crypt.Key{}, fmt.Errorf("read the group's secret: %w", err)
		}
		secret, err := crypt.GroupSecret(b)
		return convergenceGroup, secret, err
	}
	return 0, crypt.Key{}, errors.New("--convergence is private, group:FILE or public")
}

// explainConvergence says what a domain gives and what it costs.
func explainConvergence(kind uint8) string {
	switch kind {
	case convergenceGroup:
		return "Equal files of the group's members are stored once. Any of them who guesses a file can confirm that you hold it."
	case convergencePublic:
		return "Equal files of everybody who chose this are stored once. Anybody who guesses a file can confirm that you hold it."
	}
	return "Equal chunks are stored once within this volume. Nobody can confirm that you hold a file that they know."
}

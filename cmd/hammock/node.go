package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/hammockfs/hammock/crypt"
	"github.com/hammockfs/hammock/net/swarm"
	"github.com/hammockfs/hammock/net/wire"
	"github.com/hammockfs/hammock/placement/depot"
)

// Budgets of memory, in bytes, all in one place. Together with what the Go
// runtime and libp2p need they stay below 512 MiB.
const (
	memoryLimit   = 440<<20 - outsideHeap // for the runtime's collector to respect
	dirtyBudget   = 48 << 20              // written, not yet sealed
	blockBudget   = 64 << 20              // opened blocks
	metaBudget    = 96 << 20              // index, tree nodes
	placeBudget   = 96 << 20              // shards in flight
	flightBudget  = 48 << 20              // others' shards in flight, either way
	depotReserve  = 16 << 20              // on disk, for the index of the depot
	journalBudget = 64 << 20              // on disk, not in memory
)

// nodeOptions say how a node runs.
type nodeOptions struct {
	listen []string
	give   int64
	log    *slog.Logger
}

// node is a running member of the swarm: it keeps shards and heads for others
// and talks to their nodes.
type node struct {
	state   state
	set     settings
	log     *slog.Logger
	keys    *crypt.Keyring
	device  *crypt.Device
	cert    crypt.Certificate
	genesis crypt.Genesis
	swarm   *swarm.Swarm
	client  *wire.Client
	server  *wire.Server
	depot   *depot.Depot
	stop    context.CancelFunc
	done    sync.WaitGroup
	lock    io.Closer
}

// startNode opens a state and takes its place in the swarm. The caller closes
// it.
func startNode(ctx context.Context, st state, k *crypt.Keyring, o nodeOptions) (_ *node, err error) {
	set, err := st.settings()
	if err != nil {
		return nil, err
	}
	lock, err := st.lockSoon(ctx)
	if err != nil {
		return nil, err
	}
	n := &node{state: st, set: set, log: o.log, keys: k, device: crypt.DeviceFromSeed(k.DeviceSeed), lock: lock}
	defer func() {
		if err != nil {
			err = errors.Join(err, within(closeLimit, n.close))
		}
	}()
	if n.cert, err = crypt.ParseCertificate(k.Certificate); err != nil {
		return nil, fmt.Errorf("this device's certificate: %w", err)
	}
	if n.genesis, err = crypt.ParseGenesis(k.Genesis); err != nil {
		return nil, fmt.Errorf("the volume's genesis record: %w", err)
	}
	if o.give > 0 {
		n.set.Give = o.give
	}
	_, reserve := st.shares("depot")
	n.depot, err = depot.Open(depot.Config{FS: vfs.Default, Dir: st.path("depot"), Capacity: max(n.set.Give, 1<<20),
		Log: o.log, Reserve: min(reserve, depotReserve), Files: shareOfFiles(4, 500),
		Memory: flightBudget + 1<<20}) // what the server lets in never waits here, where turns go by arrival
	if err != nil {
		return nil, fmt.Errorf("open what is kept for others: %w", err)
	}
	return n, n.connect(ctx, o)
}

// connect opens the swarm and starts answering.
func (n *node) connect(ctx context.Context, o nodeOptions) error {
	var err error
	n.swarm, err = swarm.Open(ctx, swarm.Config{
		State: n.state.dir, Device: n.device, Certificate: n.keys.Certificate,
		Name: n.set.Name, Machine: n.keys.Machine.String()[:32], Site: n.set.Site,
		Gives: n.set.Give, Free: func() int64 { return n.free() },
		Listen: listenAddrs(o.listen, n.set.Port, n.set.Loopback), MDNS: !n.set.NoMDNS && !n.set.Loopback, DHT: !n.set.Loopback, NAT: !n.set.Loopback,
		Log: o.log,
	})
	if err != nil {
		return fmt.Errorf("enter the swarm: %w", err)
	}
	meter := new(wire.Meter)
	n.client = wire.NewClient(wire.ClientConfig{Dialer: wire.OverSwarm(n.swarm), Device: n.device,
		Certificate: n.keys.Certificate, Owner: n.cert.Owner, Swarm: n.swarm.ID(), Meter: meter})
	limits := wire.DefaultLimits()
	limits.TotalBytes = flightBudget
	n.server = wire.NewServer(wire.ServerConfig{
		Swarm: n.swarm.ID(), Depot: depotServer{n.depot, n.set.Give > 0}, Keeper: n.depot, Door: wire.OverSwarm(n.swarm),
		Info: n.info, Errors: wireError, Limits: limits, Meter: meter, Log: o.log,
	})
	n.applyAllowances() // before the first put
	bg, stop := context.WithCancel(context.WithoutCancel(ctx))
	n.stop = stop
	n.done.Go(func() { n.keepAllowances(bg) })
	n.server.Register(wire.OverSwarm(n.swarm))
	return nil
}

// free is what others may still store here.
func (n *node) free() int64 {
	if n.set.Give == 0 {
		return 0
	}
	return n.depot.Usage().Free()
}

func (n *node) info(context.Context, crypt.OwnerKey) (wire.Info, error) {
	return wire.Info{Free: n.free(), Machine: n.swarm.Self().Machine, Name: n.set.Name, Gives: n.set.Give > 0}, nil
}

// close ends everything that was opened, in the reverse order.
func (n *node) close() error {
	var errs []error
	if n.stop != nil {
		n.stop()
		n.done.Wait()
	}
	if n.client != nil {
		errs = append(errs, n.client.Close())
	}
	if n.server != nil {
		errs = append(errs, n.server.Close())
	}
	if n.swarm != nil {
		errs = append(errs, n.swarm.Close())
	}
	if n.depot != nil {
		errs = append(errs, n.depot.Close())
	}
	if n.lock != nil {
		errs = append(errs, removed(n.state.path("pid")), n.lock.Close()) // a stale process ID may be another's one day
	}
	return errors.Join(errs...)
}

// bundle is a head with all that a bare machine needs to open it.
func (n *node) bundle(head []byte) crypt.Bundle {
	return crypt.Bundle{Owner: n.cert.Owner, Genesis: n.keys.Genesis, Certificate: n.keys.Certificate, Secrets: n.keys.Secrets, Head: head}
}

// waitTimeout is how long one request to peers takes at most, and a read waits
// for them unless the settings say otherwise.
const waitTimeout = 30 * time.Second

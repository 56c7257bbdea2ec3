// Package swarmsim lets a swarm of simulated nodes live through years in minutes: the real placement.Placer of each of many
// owners, stores in memory, and the time of testing/synctest. Nodes go away for hours and weeks, are wiped, burn with their
// whole site, lie, grow slow or full; owners' processes are killed at any put and at any call of their journal. Meanwhile
// the simulation holds the promises of placement against what really lies in the stores, which it alone sees.
//
// The model. A World has nodes (stores) and owners. An owner is a journal, of which only what was synced survives, closed
// stripes that lie on its machine until they are placed, and now and then a process: a session of an hour or less in which
// a Placer runs, as on a computer that is switched on once a day. Every hour fate is asked for each node and each site;
// once a day check compares records with stores.
//
// One seed gives one history: every answer of a store and every sync of a journal takes a time of its own, to the
// nanosecond, that depends on nothing but the seed and what is done when. So no two things that could disturb one another
// ever happen at once, and Report.Hash, over all that was done, is the same in each run. What follows from one such event may
// be done by several goroutines at the same instant, in any order: Config.Jog shuffles them, and the hash must not change.
//
// What it does not simulate: the loss of an owner's own machine (that is recovery, tested elsewhere), and protocols
// between nodes: net/wire over net/memnet has tests and floods of its own, and libp2p's timers and goroutines at each node would
// make hours out of minutes.
package swarmsim

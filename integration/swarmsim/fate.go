package swarmsim

import (
	"math"
	"time"
)

const hoursOfYear = 365 * 24

// pass is one hour of fate; World.mu is held. In calm times it only mends.
func (w *World) pass(calm bool) {
	now := time.Now()
	w.recoverSites(now)
	for _, n := range w.nodes {
		if n.gone {
			continue
		}
		w.mendNode(n, now, calm)
		if !calm {
			w.strike(n, now)
		}
	}
	if !calm {
		w.strikeSites(now)
	}
}

// yearly is true so many times a year, asked once an hour.
func (w *World) yearly(times float64) bool { return w.rng.Float64() < times/hoursOfYear }

// long is a random duration around a mean.
func (w *World) long(mean time.Duration) time.Duration {
	return time.Duration(-math.Log(1-w.rng.Float64()) * float64(mean))
}

func (w *World) happened(what string) {
	w.report.Fates[what]++
	w.epoch++
}

func (w *World) mendNode(n *node, now time.Time, calm bool) {
	if !n.well.IsZero() && (calm || !now.Before(n.well)) {
		n.slow, n.full, n.well, n.healed = 0, false, time.Time{}, now
		w.epoch++
	}
	if _, dark := w.dark[n.site]; !n.online && !dark && (calm || !now.Before(n.back)) {
		n.online, n.since = true, now
		w.happened("comes back")
		w.moved = true
	}
}

// strike asks what happens to a node in this hour.
func (w *World) strike(n *node, now time.Time) {
	away, mean := 12.0, 6*time.Hour // a machine that is on day and night
	if !n.steady {
		away, mean = 150, 8*time.Hour
	}
	switch {
	case n.online && w.yearly(away):
		w.leave(n, now.Add(w.long(mean)), "goes away")
	case n.online && w.yearly(1):
		w.leave(n, now.Add(w.long(6*24*time.Hour)), "goes away for days")
	case n.lies == honest && w.yearly(0.02):
		n.lies = rotting
		n.rot(n.half)
		w.happened("begins to rot")
	case n.lies == honest && w.yearly(0.02):
		n.lies = dropping
		n.lose(n.half)
		w.happened("begins to drop")
	case n.online && w.yearly(0.04):
		n.lose(all)
		w.happened("is wiped")
	case n.well.IsZero() && w.yearly(0.3):
		n.slow, n.well = 25*time.Second, now.Add(w.long(3*24*time.Hour))
		w.happened("grows slow")
	case n.well.IsZero() && w.yearly(0.3):
		n.full, n.well = true, now.Add(w.long(5*24*time.Hour))
		w.happened("is full")
	case w.yearly(0.1):
		w.end(n, "leaves for good")
	}
}

// leave takes a node off until back.
func (w *World) leave(n *node, back time.Time, what string) {
	if n.online {
		n.online, n.since = false, time.Now()
	}
	if back.After(n.back) {
		n.back = back
	}
	w.happened(what)
}

// end takes a node away for good; another joins.
func (w *World) end(n *node, what string) {
	if n.online {
		n.online, n.since = false, time.Now()
	}
	n.gone = true
	n.lose(all)
	w.happened(what)
	w.join()
	w.moved = true
}

// strikeSites is the fate of whole sites: some days without power, or a fire.
func (w *World) strikeSites(now time.Time) {
	for s := range w.sites {
		if _, dark := w.dark[s]; !dark && w.yearly(0.5) {
			w.dark[s] = now.Add(w.long(2 * 24 * time.Hour))
			w.each(s, func(n *node) { w.leave(n, w.dark[s], "is in the dark") })
		}
		if w.yearly(0.5 / float64(w.sites)) {
			w.happened("fire")
			w.each(s, func(n *node) { w.end(n, "burns") })
		}
	}
}

func (w *World) each(site int, do func(n *node)) {
	for _, n := range w.nodes { // newcomers of the loop are not in it
		if n.site == site && !n.gone {
			do(n)
		}
	}
}

func (w *World) recoverSites(now time.Time) {
	for s, until := range w.dark {
		if !now.Before(until) || w.day >= w.cfg.Days {
			delete(w.dark, s)
		}
	}
}

package main

import "context"

// keepAllowances bounds what each member may store here by what his membership
// allows, now and whenever the members change, until ctx ends.
func (n *node) keepAllowances(ctx context.Context) {
	for {
		watch := n.swarm.Watch()
		n.applyAllowances()
		select {
		case <-ctx.Done():
			return
		case <-watch:
		}
	}
}

func (n *node) applyAllowances() {
	for _, m := range n.swarm.Members() {
		bytes := m.Allowance
		if bytes == 0 {
			bytes = -1 // none was set
		}
		n.depot.SetAllowance(m.Owner, bytes)
	}
}

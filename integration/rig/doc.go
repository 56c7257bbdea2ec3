// Package rig runs nodes of hammock as what they are, processes of the real
// binary on states of their own, for tests of the whole. It starts them, asks
// them, stops and kills them, and never touches a process that is not one of
// them. It knows nothing of what a test wants: what it does returns errors.
package rig

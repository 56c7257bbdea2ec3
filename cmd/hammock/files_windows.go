package main

// descriptors is how many files this process may have open; Windows has no limit of its own.
func descriptors() int { return 1 << 20 }

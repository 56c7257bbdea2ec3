package main

// harden does nothing: files get the rights of their folder, which in a user's
// profile are the user's.
func harden() {}

func ownedHere(string) error { return nil }

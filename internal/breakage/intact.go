//go:build !breakage

// Package breakage tells whether a test breaks this bottle on purpose, to see that
// podbottle verify finds it out. Programs that are built without the tag breakage,
// as all released ones are, cannot be told to: here the answer is always no, and the
// compiler leaves out what hangs on it.
package breakage

// Has tells whether a thing is to be broken.
func Has(string) bool { return false }

// All is everything that is to be broken, separated by commas.
func All() string { return "" }

//go:build !breakage

package handover

// unproven tells whether the proofs are left out, which only the tests of podbottle
// verify do, in a program that is built for them.
func unproven() bool { return false }

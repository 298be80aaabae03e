//go:build !faults

package failpoint

// Hit does nothing in this build.
func Hit(string) {}

package fakehost

import (
	"path/filepath"
	"testing"

	"devserver-agent/test/support/programs"
)

// Binary is the path of the fakehost command, for Options.Binary. It works in every
// package of this module; a build that fails ends the test.
func Binary(t testing.TB) string {
	t.Helper()
	return programs.FakeHost.Path(t)
}

// ForTest gives a test a host of its own until it ends, with the command that Binary
// builds. It is built in a folder of the test, or may be one that was used before: see Main.
func ForTest(t testing.TB, m Model, o Options) *Host {
	t.Helper()
	o.Binary = Binary(t)
	if pool != nil {
		return reuse(t, kind{m, o})
	}
	h, err := New(filepath.Join(t.TempDir(), "host"), m, o)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

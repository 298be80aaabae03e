package e2e

import (
	"fmt"
	"os"
	"testing"

	"devserver-agent/test/support/parallel"
)

// shared is a folder for what several tests need and one makes.
var shared string

func TestMain(m *testing.M) {
	parallel.Default("8")
	var err error
	if shared, err = os.MkdirTemp("", "e2e-shared-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	if err := atEnd(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	_ = os.RemoveAll(shared) // it is in the temporary folder
	os.Exit(code)
}

// atEnd is done after all tests.
var atEnd = func() error { return nil }

// made is the path of something that is made once a run.
func made(t testing.TB, make func() (string, error)) string {
	t.Helper()
	path, err := make()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

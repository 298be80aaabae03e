package attack

import (
	"os"
	"testing"

	"devserver-agent/test/support/parallel"
)

func TestMain(m *testing.M) {
	parallel.Default("8")
	os.Exit(m.Run())
}

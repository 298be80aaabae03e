package builtin_test

import (
	"testing"

	"devserver-agent/executors/builtin"
	"devserver-agent/protocol"
)

func TestEveryBuiltinExecutorIsInTheCatalogue(t *testing.T) {
	types := builtin.All(builtin.Options{}).Types()
	if len(types) == 0 {
		t.Fatal("there is none")
	}
	for _, described := range types {
		if known, ok := protocol.LookupType(described.Type); !ok || known.Template != described.Template {
			t.Errorf("%s is described as %+v, in the catalogue as %+v", described.Type, described, known)
		}
	}
}

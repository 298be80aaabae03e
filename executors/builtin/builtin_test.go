package builtin_test

import (
	"testing"

	"devserver-agent/executors"
	"devserver-agent/executors/builtin"
	"devserver-agent/executors/diagnosis"
	"devserver-agent/executors/hdk"
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

func TestWhatAsksCardsIsToldHowManyAtATime(t *testing.T) {
	types := builtin.All(builtin.Options{CardsAtOnce: 7})
	for name, atOnce := range map[string]func(executors.Executor) int{
		"HDK_QUERY":   func(e executors.Executor) int { return e.(hdk.Query).AtOnce },
		"HDK_UPGRADE": func(e executors.Executor) int { return e.(hdk.Upgrade).AtOnce },
		"DIAGNOSIS":   func(e executors.Executor) int { return e.(diagnosis.Diagnosis).AtOnce },
	} {
		if e, _, _ := types.Lookup(name); atOnce(e) != 7 {
			t.Errorf("%s asks %d cards at a time, not 7", name, atOnce(e))
		}
	}
}

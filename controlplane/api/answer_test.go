package api

import (
	"testing"

	"devserver-agent/controlplane/view"
	"devserver-agent/protocol"
)

func TestARemedyIsWhatTheMessageSaysToDo(t *testing.T) {
	general := protocol.Explain(protocol.RebootNotAllowed).Remedy
	for name, c := range map[string]struct {
		code          protocol.Code
		message, want string
	}{
		"it says nothing":          {protocol.RebootNotAllowed, "The work needs a restart.", general},
		"it has the code's remedy": {protocol.RebootNotAllowed, "The work needs a restart. " + general, general},
		"it has its own":           {protocol.RebootNotAllowed, "The work needs a restart. Restart the host by hand.", "Restart the host by hand."},
		"there is no code":         {"", "It is done. See the output.", ""},
	} {
		task := view.Task{}
		task.Code, task.Message = c.code, c.message
		if got := (&api{}).taskAnswer(task).Remedy; got != c.want {
			t.Errorf("%s: the remedy is %q, want %q", name, got, c.want)
		}
	}
}

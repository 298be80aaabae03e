package controlplane

import (
	"testing"

	"devserver-agent/protocol"
	"devserver-agent/test/support/wait"
)

func TestAJobGoesFromPostToFinished(t *testing.T) {
	t.Parallel()
	p := startPlane(t, testOptions(t))
	hosts := []string{"server-a", "server-b", "server-c"}
	for _, id := range hosts {
		p.host(id, succeed).facts("lite-" + id)
	}
	j := p.finished(p.create(hosts...).ID)
	if j.Type != "ASCEND_SOFTWARE_QUERY" || j.Abnormal != 0 {
		t.Errorf("job is %+v", j)
	}
	for _, id := range hosts {
		got := j.task(id)
		if got.Status != "SUCCESS" || got.Message != "Driver: 24.1.0.3 | Firmware: 7.5.0.5.220" || got.Name != "lite-"+id {
			t.Errorf("task is %+v", got)
		}
		p.mailboxEmpties(id)
	}
}

func TestAHostThatComesLaterFindsItsTask(t *testing.T) {
	t.Parallel()
	p := startPlane(t, testOptions(t))
	created := p.create("server-late")
	if got := created.task("server-late"); got.Status != "PROCESSING" || got.Message == "" {
		t.Errorf("task is %+v, it should say that the server was never seen", got)
	}
	p.host("server-late", succeed)
	p.finished(created.ID)
}

func TestAnAcceptedTaskNamesItsInstallationInTheMailbox(t *testing.T) {
	t.Parallel()
	p := startPlane(t, testOptions(t))
	h := p.host("server-a", hold)
	created := p.create("server-a").task("server-a")
	wait.Until(t, "the mailbox names who accepted", func() error {
		if got := h.see().AcceptedBy[created.ID]; got != h.installation {
			return errorf("it names %q", got)
		}
		return nil
	})
}

func TestAFailedTaskIsCountedAndItsJobFinished(t *testing.T) {
	t.Parallel()
	p := startPlane(t, testOptions(t))
	p.host("server-a", succeed)
	p.host("server-b", func(h *host, task protocol.Task) {
		h.say(task, protocol.Status{Status: protocol.Failed, Phase: protocol.Done, Code: protocol.HDKUnreadable, Message: "nothing answers"})
	})
	j := p.finished(p.create("server-a", "server-b").ID)
	if j.Abnormal != 1 || j.task("server-b").Code != "HDK_UNREADABLE" {
		t.Errorf("job is %+v", j)
	}
}

package outbox_test

import (
	"errors"
	"os"
	"testing"

	"devserver-agent/agent/broker"
	"devserver-agent/agent/journal"
	"devserver-agent/protocol"
	"devserver-agent/test/support/wait"
)

func TestAnotherEpochIsToldEverythingAgain(t *testing.T) {
	t.Parallel()
	h := newHub(t)
	b := newBed(t, h.conn).run()
	b.out.SawEpoch(broker.NoMailbox) // nothing to say yet, so nothing to note
	b.out.SawEpoch("")
	b.out.SawEpoch("e1")
	wait.For(t, "the epoch is noted", func() bool { e, err := b.store.Epoch(); return err == nil && e == "e1" })
	done, open := b.admit("done", false), b.admit("open", false)
	b.print(done, 0, []byte("output of done"))
	b.say(done, protocol.Success, protocol.Done)
	b.say(open, protocol.Processing, protocol.Running)
	b.closed("done")
	wait.For(t, "all is there", func() bool { return len(h.statuses()) == 4 })
	for _, epoch := range []string{"e1", "", "e1"} {
		b.out.SawEpoch(epoch)
	}
	for round, epoch := range []string{broker.NoMailbox, "e2"} {
		b.out.SawEpoch(epoch)
		wait.For(t, "all is said again to "+epoch, func() bool { return len(h.statuses()) == 4*(round+2) && b.store.Open("done") == nil })
		wait.For(t, epoch+" is noted", func() bool { e, err := b.store.Epoch(); return err == nil && e == epoch })
	}
	// The stream still has the first ones and their ids: it took all again.
	count := map[string]int{}
	for _, s := range h.statuses() {
		count[s]++
	}
	want(t, "statuses", count, map[string]int{"done 1 ACCEPTED": 3, "done 2 DONE": 3, "open 1 ACCEPTED": 3, "open 2 RUNNING": 3})
	chunks := 0
	for _, c := range all[protocol.Chunk](h, protocol.OutputStream) {
		if c.TaskID == "done" && c.Offset == 0 && string(c.Data) == "output of done" {
			chunks++
		}
	}
	if chunks != 3 {
		t.Errorf("its output was sent %d times", chunks)
	}
}

func TestAResendBringsOutputAgainFromItsOffset(t *testing.T) {
	t.Parallel()
	h := newHub(t)
	b := newBed(t, h.conn).run()
	task := b.admit("t1", false)
	b.print(task, 0, []byte("0123456789"))
	b.say(task, protocol.Success, protocol.Done)
	b.closed("t1")
	if err := b.store.Rewind("t1", 0, 4); err != nil {
		t.Fatal(err)
	}
	b.closed("t1")
	chunks := all[protocol.Chunk](h, protocol.OutputStream)
	if last := chunks[len(chunks)-1]; last.Offset != 4 || string(last.Data) != "456789" {
		t.Errorf("the last chunk is %+v", last)
	}
	want(t, "statuses", h.statuses(), []string{"t1 1 ACCEPTED", "t1 2 DONE"})
	if err := b.store.Repeat("t1"); err != nil {
		t.Fatal(err)
	}
	b.closed("t1")
	want(t, "statuses", h.statuses(), []string{"t1 1 ACCEPTED", "t1 2 DONE", "t1 1 ACCEPTED", "t1 2 DONE"})
	if n := len(all[protocol.Chunk](h, protocol.OutputStream)); n != len(chunks) {
		t.Errorf("output was sent again: %d chunks", n)
	}
}

func TestOutputThatTheDiskLostKeepsNoTaskOpen(t *testing.T) {
	t.Parallel()
	h := newHub(t)
	b := newBed(t, h.conn)
	task := b.admit("t1", false)
	b.print(task, 0, []byte("0123456789"))
	b.say(task, protocol.Success, protocol.Done)
	if err := os.Truncate(task.OutputPath(0), 4); err != nil {
		t.Fatal(err)
	}
	b.run()
	b.closed("t1")
	if got := string(h.received("t1", 0)); got != "0123" {
		t.Errorf("received %q", got)
	}
}

func TestWhatAProgramWritesAfterTheVerdictIsSentToo(t *testing.T) {
	t.Parallel()
	h := newHub(t)
	b := newBed(t, h.conn).run()
	task := b.admit("t1", false)
	start := journal.StartRecord{Step: "flash", Attempt: 1, Dir: "steps/0/01-flash"}
	end := journal.EndRecord{Step: "flash", Attempt: 1, Outcome: journal.Stuck}
	if err := errors.Join(task.PutStart(start), task.PutEnd(end)); err != nil {
		t.Fatal(err)
	}
	b.print(task, 0, []byte("before "))
	b.say(task, protocol.Failed, protocol.Done)
	wait.For(t, "the verdict is there", func() bool { return len(h.statuses()) == 2 })
	b.print(task, 0, []byte("after"))
	wait.For(t, "the output is there", func() bool { return string(h.received("t1", 0)) == "before after" })
	if b.store.Open("t1") == nil {
		t.Error("the task is closed while its program runs")
	}
	end.Outcome = journal.Exited
	if err := task.PutEnd(end); err != nil {
		t.Fatal(err)
	}
	b.store.Touch(task)
	b.closed("t1")
}

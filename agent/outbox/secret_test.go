package outbox_test

import (
	"bytes"
	"os"
	"slices"
	"strings"
	"testing"

	"devserver-agent/protocol"
	"devserver-agent/test/support/wait"
)

// TestSecretsStayOnTheHost wherever output is cut into chunks: between what was written
// at different times, and inside what was written at once. All else arrives where it was.
func TestSecretsStayOnTheHost(t *testing.T) {
	t.Parallel()
	h := newHub(t)
	b := newBed(t, h.conn).run()
	task := b.admit("t1", false)
	filler := strings.Repeat("the driver is being installed\n", protocol.MaxChunk/30)
	filler = filler[:len(filler)-10]
	pieces := []string{
		filler + "password=", "hun", "ter2 user=me\n",
		"-----BEGIN PRIVATE KEY-----\n", "MC4CAQAwBQYDK2VwBCIEIAAB\n", "Ag==\n-----END PRIVATE KEY-----\n",
		strings.Repeat("x\n", protocol.MaxChunk/2-40) + "https://me:pa55@mirror.example.com/packages/a/long/way/to/the/driver.run\n",
		"Authorization: ", "Bearer abc\n", "done\n",
	}
	size := 0
	for _, piece := range pieces {
		b.print(task, 0, []byte(piece))
		size += len(piece)
		wait.For(t, "the piece has arrived", func() bool { return len(h.received(task.ID(), 0)) == size })
	}
	b.say(task, protocol.Success, protocol.Done)
	b.closed("t1")
	got := string(h.received(task.ID(), 0))
	for _, hidden := range []string{"hun", "ter2", "MC4C", "Ag==", "pa55", "Bearer", "abc"} {
		if strings.Contains(got, hidden) {
			t.Errorf("%q has left the host", hidden)
		}
	}
	for _, kept := range []string{"password=******* user=me\n", "-----END PRIVATE KEY-----\n", "@mirror.example.com/packages/a/long/way/to/the/driver.run\n", "Authorization:", "done\n"} {
		if !strings.Contains(got, kept) {
			t.Errorf("%q did not arrive", kept)
		}
	}
	raw, err := os.ReadFile(task.OutputPath(0))
	if err != nil || !bytes.Contains(raw, []byte("hunter2")) || len(raw) != len(got) {
		t.Errorf("the host has %d bytes, %v; %d arrived", len(raw), err, len(got))
	}
}

// TestASecretAcrossChunksStaysOnTheHost: a kind that is known only by its end, at the end
// of every chunk of an output that is there as a whole.
func TestASecretAcrossChunksStaysOnTheHost(t *testing.T) {
	t.Parallel()
	h := newHub(t)
	b := newBed(t, h.conn)
	task := b.admit("t1", false)
	const seed = "SUAIBDPBAUTWCWBKIO6XHQNINK5FWJW4OHLXC3HQ2KFE4PEJUA44CNHTC4"
	output := bytes.Repeat([]byte("."), 4*protocol.MaxChunk)
	for n := 1; n < 4; n++ {
		copy(output[n*protocol.MaxChunk-30:], " "+seed+" ")
	}
	b.print(task, 0, output)
	b.say(task, protocol.Success, protocol.Done)
	b.run().closed("t1")
	got := h.received(task.ID(), 0)
	if len(got) != len(output) || bytes.Contains(got, []byte(seed[:20])) || bytes.Contains(got, []byte(seed[len(seed)-20:])) {
		t.Errorf("%d bytes have arrived, and of the seed too much", len(got))
	}
}

// TestSecretsInMessagesStayOnTheHost: a message quotes what a program wrote, be it of a
// verdict or of progress. The journal keeps it as it is.
func TestSecretsInMessagesStayOnTheHost(t *testing.T) {
	t.Parallel()
	h := newHub(t)
	b := newBed(t, h.conn).run()
	task := b.admit("t1", false)
	const said, sent = "it wrote: password=hunter2 user=me", "it wrote: password=*** user=me"
	wait.For(t, "the progress has arrived", func() bool {
		// Again, because a transition that is sent meanwhile, as ACCEPTED, drops it.
		b.out.Progress(task.Sign(protocol.Status{Progress: true, Message: said}))
		return slices.ContainsFunc(all[protocol.Status](h, protocol.StatusStream), func(s protocol.Status) bool { return s.Progress })
	})
	if _, err := task.Say(protocol.Status{Status: protocol.Failed, Phase: protocol.Done, Message: said}); err != nil {
		t.Fatal(err)
	}
	b.store.Touch(task)
	b.closed("t1")
	for _, s := range all[protocol.Status](h, protocol.StatusStream) {
		if s.Message != "" && s.Message != sent {
			t.Errorf("sent: %q", s.Message)
		}
	}
	if kept := task.Latest().Message; kept != said {
		t.Errorf("kept: %q", kept)
	}
}

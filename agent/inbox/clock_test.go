package inbox_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"devserver-agent/protocol"
)

// TestATaskOfTheFutureWaits: a task that was issued later than it is, by the clocks of
// host and broker, stays in the mailbox and is taken when its time has come.
func TestATaskOfTheFutureWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, nil)
		ahead := func(d time.Duration) func(*protocol.Task) {
			return func(t *protocol.Task) { t.IssuedAt = protocol.Millis(time.Now().Add(d)) }
		}
		raw := box(t, task("now"), task("skewed", ahead(protocol.ClockSkew)), task("later", ahead(20*time.Minute)))
		b.merge(raw)
		want(t, "accepted", b.accepted, []string{"now", "skewed"})
		want(t, "notices", b.said(), []string{"NOT_YET_VALID later 1"})
		sleep(16 * time.Minute)
		b.merge(raw)
		want(t, "accepted", b.accepted, []string{"now", "skewed", "later"})
		want(t, "notices", b.said(), []string(nil))
		b.close()
	})
}

// TestAHostWhoseClockIsBehind goes by the broker's and says so.
func TestAHostWhoseClockIsBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, nil)
		year := 365 * 24 * time.Hour
		raw := box(t, task("t1", func(t *protocol.Task) {
			t.IssuedAt, t.ExpiresAt = protocol.Millis(time.Now().Add(year)), protocol.Millis(time.Now().Add(year+time.Hour))
		}))
		for range 3 {
			if err := b.in.Receive(raw, time.Now().Add(year)); err != nil {
				t.Fatal(err)
			}
		}
		want(t, "accepted", b.accepted, []string{"t1"})
		if len(b.notices) != 1 || b.notices[0].Code != protocol.NoticeClock || !strings.Contains(b.notices[0].Message, fmt.Sprint(year)) {
			t.Errorf("said: %+v", b.notices)
		}
		b.close()
	})
}

// TestAKeyEndsByTheBrokersTimeToo: setting a host's clock back brings no key back.
func TestAKeyEndsByTheBrokersTimeToo(t *testing.T) {
	t.Parallel()
	ended := protocol.Trusted{Key: protocol.KeyOf(trusted), Until: time.Now().Add(time.Hour)}
	narrow := protocol.Trusted{Key: protocol.KeyOf(foreign), Only: []string{"OTHER"}}
	b := &bed{t: t, dir: t.TempDir(), keyring: protocol.Keyring{Keys: []protocol.Trusted{ended, narrow}}}
	b.open(nil)
	b.receive(task("before"))
	if err := b.in.Receive(box(t, task("after")), time.Now().Add(2*time.Hour)); err != nil {
		t.Fatal(err)
	}
	e, err := protocol.Seal(foreign, task("narrow"))
	if err != nil {
		t.Fatal(err)
	}
	b.receive(e)
	want(t, "accepted", b.accepted, []string{"before"})
	want(t, "known", b.known(), []string{"before"})
	want(t, "notices", b.said(), []string{"CLOCK_WRONG  1", "KEY_NOT_VALID_NOW  1", "KEY_NOT_PERMITTED  1"})
}

// TestAKeyThatEndsWhileAMailboxIsMerged: one task of it tells a time at which the key of
// both has ended. A mailbox has one time for all its keys.
func TestAKeyThatEndsWhileAMailboxIsMerged(t *testing.T) {
	t.Parallel()
	b := &bed{t: t, dir: t.TempDir(), keyring: protocol.Keyring{Keys: []protocol.Trusted{{Key: protocol.KeyOf(trusted), Until: time.Now().Add(time.Minute)}}}}
	b.open(nil)
	later := task("b", func(t *protocol.Task) { t.IssuedAt = protocol.Millis(time.Now().Add(2 * time.Minute)) })
	b.receive(task("a"), later)
	want(t, "accepted", b.accepted, []string{"a", "b"})
	b.receive(task("c"))
	want(t, "accepted", b.accepted, []string{"a", "b"})
	want(t, "notices", b.said(), []string{"KEY_NOT_VALID_NOW  1"})
}

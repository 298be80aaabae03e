package outbox_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"devserver-agent/agent/broker"
	"devserver-agent/agent/journal"
	"devserver-agent/agent/outbox"
	"devserver-agent/protocol"
)

// stub is a broker's side that a test decides, message by message; a real one
// has no place in time that is made up.
type stub struct {
	mu     sync.Mutex
	away   bool // not connected
	answer func(subject string, data []byte) error
	took   []message
	tries  int
}

type message struct {
	at      time.Time
	subject string
	data    []byte
}

func (s *stub) Publish(_ context.Context, subject, _ string, data []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tries++
	if s.away {
		return broker.ErrAway
	}
	if s.answer != nil {
		if err := s.answer(subject, data); err != nil {
			return err
		}
	}
	s.took = append(s.took, message{time.Now(), subject, data})
	return nil
}

func (s *stub) Send(subject string, data []byte) error {
	return s.Publish(context.Background(), subject, "", data)
}

func (s *stub) Connected() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.away
}

func (s *stub) become(away bool, answer func(string, []byte) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.away, s.answer, s.tries = away, answer, 0
}

func (s *stub) tried() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tries
}

// got empties what was taken of one subject.
func got[T any](t *testing.T, s *stub, subject string) (values []T, at []time.Time) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	var rest []message
	for _, m := range s.took {
		if m.subject != subject {
			rest = append(rest, m)
			continue
		}
		var v T
		if err := json.Unmarshal(m.data, &v); err != nil {
			t.Fatal(err)
		}
		values, at = append(values, v), append(at, m.at)
	}
	s.took = rest
	return values, at
}

func paced(t *testing.T, test func(t *testing.T, b *bed, s *stub)) {
	synctest.Test(t, func(t *testing.T) {
		s := &stub{}
		b := newBed(t, s).run()
		synctest.Wait()
		test(t, b, s)
		b.stop()
	})
}

func sleep(d time.Duration) {
	<-time.After(d) // made-up time
	synctest.Wait()
}

func TestProgressIsTheLatestAtMostOnceASecond(t *testing.T) {
	paced(t, func(t *testing.T, b *bed, s *stub) {
		task := b.admit("t1", false)
		sleep(time.Second)
		subject := protocol.StatusSubject(server)
		got[protocol.Status](t, s, subject)
		for n := range 100 {
			b.out.Progress(task.Sign(protocol.Status{Progress: true, Percent: n}))
			sleep(100 * time.Millisecond)
		}
		values, at := got[protocol.Status](t, s, subject)
		if len(values) < 9 || len(values) > 11 {
			t.Errorf("in ten seconds there were %d messages of progress", len(values))
		}
		for n := 1; n < len(at); n++ {
			if at[n].Sub(at[n-1]) < time.Second || values[n].Percent <= values[n-1].Percent {
				t.Errorf("%d %% after %s", values[n].Percent, at[n].Sub(at[n-1]))
			}
		}
		if last := values[len(values)-1]; last.Percent != 99 && last.Percent < 90 || last.Seq != 1 {
			t.Errorf("the last is %+v", last)
		}
		// What nobody could be told is told when somebody is there, unless there is
		// something newer.
		s.become(true, nil)
		for _, percent := range []int{10, 20} {
			b.out.Progress(task.Sign(protocol.Status{Progress: true, Percent: percent}))
			sleep(time.Minute)
		}
		if n := s.tried(); n > 4 {
			t.Errorf("a broker that is away was tried %d times", n)
		}
		s.become(false, nil)
		b.out.Wake()
		sleep(time.Second)
		if values, _ := got[protocol.Status](t, s, subject); len(values) != 1 || values[0].Percent != 20 {
			t.Errorf("after the broker is back there are %+v", values)
		}
		b.out.Progress(protocol.Status{TaskID: "nobody-knows-it"})
		sleep(2 * time.Second)
		if values, _ := got[protocol.Status](t, s, subject); len(values) > 0 {
			t.Errorf("progress of no task: %+v", values)
		}
	})
}

func TestABrokerThatIsAwayIsNotTriedForEveryLineOfOutput(t *testing.T) {
	paced(t, func(t *testing.T, b *bed, s *stub) {
		task := b.admit("t1", false)
		sleep(time.Second)
		s.become(true, nil)
		for range 1000 {
			b.store.Touch(task)
			b.print(task, 0, []byte("line\n"))
			sleep(10 * time.Millisecond)
		}
		if n := s.tried(); n > 5 {
			t.Errorf("it was tried %d times", n)
		}
		s.become(false, func(string, []byte) error { return broker.ErrAway }) // connected, JetStream is not ready
		b.out.Wake()
		for range 1000 {
			b.store.Touch(task)
			sleep(100 * time.Millisecond)
		}
		if n := s.tried(); n < 8 || n > 40 {
			t.Errorf("in 100 seconds it was tried %d times", n)
		}
		s.become(false, nil)
		sleep(31 * time.Second)
		if chunks, _ := got[protocol.Chunk](t, s, protocol.OutputSubject(server, "t1")); len(chunks) != 1 || len(chunks[0].Data) != 5000 {
			t.Errorf("there are %d chunks", len(chunks))
		}
	})
}

func TestARefusalDelaysNoNews(t *testing.T) {
	paced(t, func(t *testing.T, b *bed, s *stub) {
		s.become(false, func(_ string, data []byte) error {
			if strings.Contains(string(data), `"poison"`) {
				return broker.ErrRefused
			}
			return nil
		})
		b.admit("poison", false)
		sleep(time.Hour)
		s.become(false, s.answer)
		sleep(time.Hour)
		if n := s.tried(); n < 100 || n > 150 {
			t.Errorf("in an hour the refused one was tried %d times", n)
		}
		news := b.admit("news", false)
		sleep(500 * time.Millisecond)
		if c := news.Cursor(); c.Seq != 1 {
			t.Error("half a second later the news is not told")
		}
	})
}

func TestEverythingIsSaidAgainSpreadOverTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &stub{}
		b := newBed(t, s)
		b.out = outbox.New(outbox.Options{Store: b.store, Publisher: s, ServerID: server, Spread: 2 * time.Minute})
		b.run()
		b.out.SawEpoch("e1")
		for n := range 30 {
			task := b.admit(fmt.Sprintf("t%d", n), false)
			b.say(task, protocol.Success, protocol.Done)
		}
		sleep(time.Second)
		got[protocol.Status](t, s, protocol.StatusSubject(server))
		for _, epoch := range []string{"", "e1", ""} { // nothing new
			b.out.SawEpoch(epoch)
			sleep(10 * time.Minute)
		}
		if statuses, _ := got[protocol.Status](t, s, protocol.StatusSubject(server)); len(statuses) > 0 {
			t.Errorf("%d statuses were said again to the same broker", len(statuses))
		}
		began := time.Now()
		b.out.SawEpoch("e2")
		sleep(10 * time.Second)
		if epoch, _ := b.store.Epoch(); epoch != "e1" {
			t.Errorf("before the end the epoch is %s", epoch)
		}
		sleep(10 * time.Minute)
		statuses, at := got[protocol.Status](t, s, protocol.StatusSubject(server))
		if len(statuses) != 60 {
			t.Fatalf("%d statuses were said again", len(statuses))
		}
		if took := at[len(at)-1].Sub(began); took < 30*time.Second || took > 4*time.Minute {
			t.Errorf("it was spread over %s", took)
		}
		if epoch, err := b.store.Epoch(); err != nil || epoch != "e2" {
			t.Errorf("the epoch is %s, %v", epoch, err)
		}
		b.stop()
	})
}

// All is to be said again while it is being said: nothing may be left out, and
// the order stays.
func TestARoundThatBeginsInTheMiddleOfAnotherIsWhole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &stub{}
		b := newBed(t, s)
		task := b.admit("t1", false)
		for range 4 {
			b.say(task, protocol.Processing, protocol.Running)
		}
		b.say(task, protocol.Success, protocol.Done)
		var third, last sync.Once
		s.answer = func(_ string, data []byte) error {
			for seq, once := range map[string]*sync.Once{`"seq":3,`: &third, `"seq":6,`: &last} {
				if strings.Contains(string(data), seq) {
					once.Do(func() {
						if err := b.store.Repeat("t1"); err != nil {
							t.Error(err)
						}
					})
				}
			}
			return nil
		}
		b.run()
		sleep(time.Minute)
		var order []int
		statuses, _ := got[protocol.Status](t, s, protocol.StatusSubject(server))
		for _, s := range statuses {
			order = append(order, s.Seq)
		}
		want(t, "statuses", order, []int{1, 2, 3, 1, 2, 3, 4, 5, 6, 1, 2, 3, 4, 5, 6})
		if b.store.Open("t1") != nil {
			t.Error("the task is still open")
		}
		b.stop()
	})
}

func TestAResendInTheMiddleOfSendingIsObeyed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &stub{}
		b := newBed(t, s)
		task := b.admit("t1", false)
		b.print(task, 0, make([]byte, 20*protocol.MaxChunk))
		b.say(task, protocol.Success, protocol.Done)
		chunks := 0
		s.answer = func(subject string, _ []byte) error {
			if subject != protocol.OutputSubject(server, "t1") {
				return nil
			}
			if chunks++; chunks == 10 {
				return b.store.Rewind("t1", 0, protocol.MaxChunk)
			}
			return nil
		}
		b.run()
		sleep(time.Minute)
		var offsets, wanted []int64
		sent, _ := got[protocol.Chunk](t, s, protocol.OutputSubject(server, "t1"))
		for _, c := range sent {
			offsets = append(offsets, c.Offset/protocol.MaxChunk)
		}
		for n := range int64(10) {
			wanted = append(wanted, n)
		}
		for n := int64(1); n < 20; n++ {
			wanted = append(wanted, n)
		}
		want(t, "chunks", offsets, wanted)
		if b.store.Open("t1") != nil {
			t.Error("the task is still open")
		}
		b.stop()
	})
}

func TestALongOutputIsSentToItsLimitAndItsEndAtTheEnd(t *testing.T) {
	paced(t, func(t *testing.T, b *bed, s *stub) {
		const size = 200 << 20
		task := b.admit("t1", false)
		sent := func() (offsets []int64) {
			sleep(time.Second)
			chunks, _ := got[protocol.Chunk](t, s, protocol.OutputSubject(server, "t1"))
			for _, c := range chunks {
				offsets = append(offsets, c.Offset)
			}
			return offsets
		}
		grow := func(to int64) {
			b.print(task, 0, nil)
			if err := os.Truncate(task.OutputPath(0), to); err != nil {
				t.Fatal(err)
			}
			b.store.Touch(task)
		}
		begun := int64(62 << 20)
		if err := task.SetCursor(func(c *journal.Cursor) { c.SetSent(0, begun) }); err != nil {
			t.Fatal(err)
		}
		grow(begun + protocol.MaxChunk)
		want(t, "while it is short", sent(), []int64{begun})
		grow(size)
		want(t, "what may be released at any moment", sent(), []int64(nil))
		room := 3
		s.become(false, func(subject string, _ []byte) error {
			if subject == protocol.OutputSubject(server, "t1") {
				if room--; room < 0 {
					return broker.ErrAway
				}
			}
			return nil
		})
		b.say(task, protocol.Success, protocol.Done)
		const tail = size - protocol.OutputTail
		want(t, "at the end", sent(), []int64{tail, tail + protocol.MaxChunk, tail + 2*protocol.MaxChunk})
		if verdict := task.Latest().Items[0]; verdict.Bytes != size || verdict.Dropped != tail-protocol.OutputHead {
			t.Errorf("the verdict says %+v", verdict)
		}
		if b.store.Open("t1") == nil {
			t.Error("the task is closed while its output is missing")
		}
	})
}

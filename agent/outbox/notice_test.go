package outbox_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"devserver-agent/agent/broker"
	"devserver-agent/protocol"
)

func TestNoticesAlikeAreCountedWithinAMinute(t *testing.T) {
	paced(t, func(t *testing.T, b *bed, s *stub) {
		subject := protocol.NoticeSubject(server)
		for range 1000 {
			b.out.Notice(protocol.Notice{Code: protocol.NoticeUnsigned, Digest: "d1", Message: "m"})
		}
		b.out.Notice(protocol.Notice{Code: protocol.NoticeTooManyTasks, TaskID: "t1", Count: 40})
		sleep(time.Second)
		first, _ := got[protocol.Notice](t, s, subject)
		if len(first) != 2 {
			t.Fatalf("at first there are %d notices", len(first))
		}
		for _, n := range first {
			if n.ServerID != server || n.InstallationID == "" || n.At == 0 {
				t.Errorf("notice is %+v", n)
			}
		}
		sleep(time.Minute)
		rest, _ := got[protocol.Notice](t, s, subject)
		if len(rest) != 1 || rest[0].Count != 999 || rest[0].Digest != "d1" {
			t.Errorf("a minute later there are %+v", rest)
		}
		sleep(time.Hour)
		b.out.Notice(protocol.Notice{Code: protocol.NoticeUnsigned, Digest: "d1"})
		sleep(time.Second)
		if again, _ := got[protocol.Notice](t, s, subject); len(again) != 1 || again[0].Count != 1 {
			t.Errorf("much later there are %+v", again)
		}
	})
}

func TestAFloodOfNoticesIsBoundedAndNoneIsUncounted(t *testing.T) {
	paced(t, func(t *testing.T, b *bed, s *stub) {
		s.become(true, nil)
		const all = 5000
		for n := range all {
			b.out.Notice(protocol.Notice{Code: protocol.NoticeSignature, Digest: fmt.Sprint(n), Message: strings.Repeat("x", 5000)})
		}
		sleep(time.Hour)
		s.become(false, nil)
		b.out.Wake()
		sleep(time.Hour)
		notices, _ := got[protocol.Notice](t, s, protocol.NoticeSubject(server))
		sum := 0
		for _, n := range notices {
			sum += n.Count
			if len(n.Message) > protocol.MaxMessage {
				t.Errorf("a message has %d bytes", len(n.Message))
			}
		}
		if sum != all || len(notices) > 200 {
			t.Errorf("%d notices stand for %d of %d", len(notices), sum, all)
		}
	})
}

func TestARefusedNoticeKeepsNoOtherBack(t *testing.T) {
	paced(t, func(t *testing.T, b *bed, s *stub) {
		s.become(false, func(_ string, data []byte) error {
			if strings.Contains(string(data), "poison") {
				return broker.ErrRefused
			}
			return nil
		})
		b.out.Notice(protocol.Notice{Code: protocol.NoticeUnsigned, Message: "poison"})
		b.out.Notice(protocol.Notice{Code: protocol.NoticeTooLarge, Message: "good"})
		sleep(time.Second)
		if notices, _ := got[protocol.Notice](t, s, protocol.NoticeSubject(server)); len(notices) != 1 || notices[0].Message != "good" {
			t.Errorf("notices are %+v", notices)
		}
	})
}

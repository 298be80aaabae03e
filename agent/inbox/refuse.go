package inbox

import (
	"fmt"

	"go.uber.org/zap"

	"devserver-agent/protocol"
)

// maxRefusals is how much of one mailbox is refused one by one. Whatever bad
// comes beyond is only counted.
const maxRefusals = 64

// refusals are what was refused of one mailbox, and what waits in it.
type refusals struct {
	inbox *Inbox
	said  int
	more  map[protocol.Code]int
	// waiting tasks stay in the mailbox, by why, with the first one's id.
	waiting map[protocol.Code]int
	first   map[protocol.Code]string
}

func (r *refusals) add(code protocol.Code, task, digest string, err error) {
	if r.said++; r.said > maxRefusals {
		if r.more == nil {
			r.more = map[protocol.Code]int{}
		}
		r.more[code]++
		return
	}
	r.inbox.opts.Log.Warn("refused", zap.String("code", string(code)), zap.String("task", task), zap.String("digest", digest), zap.Error(err))
	r.inbox.opts.Notice(protocol.Notice{Code: code, TaskID: task, Digest: digest, Message: err.Error(), Count: 1})
}

// wait leaves a task in the mailbox.
func (r *refusals) wait(code protocol.Code, task string) {
	if r.waiting == nil {
		r.waiting, r.first = map[protocol.Code]int{}, map[protocol.Code]string{}
	}
	if r.waiting[code]++; r.waiting[code] == 1 {
		r.first[code] = task
	}
}

// report says what was only counted.
func (r *refusals) report() {
	for code, n := range r.more {
		message := fmt.Sprintf("%d more statements of the same mailbox were refused for this", n)
		r.inbox.opts.Log.Warn("refused", zap.String("code", string(code)), zap.String("error", message))
		r.inbox.opts.Notice(protocol.Notice{Code: code, Message: message, Count: n})
	}
	for code, n := range r.waiting {
		var why string
		switch code {
		case protocol.NoticeDiskFull:
			why = "the disk of the state directory is full"
		case protocol.NoticeNotYetValid:
			why = "by the clocks of this host and of the broker they are not issued yet"
		default:
			why = fmt.Sprintf("at most %d tasks may be open", protocol.MaxOpenTasks)
		}
		message := fmt.Sprintf("%s; %d tasks wait in the mailbox", why, n)
		r.inbox.opts.Log.Warn("not accepted yet", zap.String("code", string(code)), zap.String("why", message))
		r.inbox.opts.Notice(protocol.Notice{Code: code, TaskID: r.first[code], Message: message, Count: n})
	}
	if r.waiting[protocol.NoticeDiskFull]+r.waiting[protocol.NoticeTooManyTasks] > 0 {
		r.inbox.wait() // for room; the others' time comes with the next sweep
	}
}

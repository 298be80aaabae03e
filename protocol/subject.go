package protocol

import "strings"

// Root is the first tokens of every subject of this contract.
const Root = "devserver.v1."

// Names of the broker's streams and of the bucket of jobs.
const (
	MailboxStream = "DEVSERVER_MAILBOX"
	StatusStream  = "DEVSERVER_STATUS"
	OutputStream  = "DEVSERVER_OUTPUT"
	FactsStream   = "DEVSERVER_FACTS"
	NoticeStream  = "DEVSERVER_NOTICE"
	AuditStream   = "DEVSERVER_AUDIT"
	JobsBucket    = "DEVSERVER_JOBS"
)

// The families of subjects. After each comes a server id, and for output a task
// id; see docs/asyncapi.yaml for who may use which.
const (
	mailboxes = Root + "mailbox."
	pushes    = Root + "push."
	fetches   = Root + "fetch."
	statuses  = Root + "status."
	outputs   = Root + "output."
	facts     = Root + "facts."
	presences = Root + "presence."
	notices   = Root + "notice."
	audits    = Root + "audit."
)

// MailboxSubject is where the statements for a server are stored. Only the
// control plane writes it.
func MailboxSubject(server string) string { return mailboxes + server }

// PushSubject carries the live copy of a mailbox, republished by the broker
// after it was stored.
func PushSubject(server string) string { return pushes + server }

// FetchSubject answers a request with the stored mailbox. The broker maps it to
// the direct get of MailboxSubject, so an agent needs no JetStream API.
func FetchSubject(server string) string { return fetches + server }

// StatusSubject takes transitions and verdicts of one server's tasks.
func StatusSubject(server string) string { return statuses + server }

// OutputSubject takes the output of one task.
func OutputSubject(server, task string) string { return outputs + server + "." + task }

// FactsSubject takes what a host says of itself; the last one is kept.
func FactsSubject(server string) string { return facts + server }

// PresenceSubject takes heartbeats. Nothing stores them.
func PresenceSubject(server string) string { return presences + server }

// NoticeSubject takes what an agent refused and why.
func NoticeSubject(server string) string { return notices + server }

// AuditSubject takes the lines of a host's audit log.
func AuditSubject(server string) string { return audits + server }

// InboxPrefix is the prefix of a server's reply subjects. The id is a token of
// its own so that a permission can name one server's inboxes.
func InboxPrefix(server string) string { return "_INBOX." + server }

// FetchMapping is the subject mapping a broker needs for FetchSubject.
func FetchMapping() (from, to string) {
	return fetches + "*", "$JS.API.DIRECT.GET." + MailboxStream + "." + mailboxes + "{{wildcard(1)}}"
}

// RepublishMapping is the republish rule of MailboxStream.
func RepublishMapping() (from, to string) {
	return mailboxes + "*", pushes + "{{wildcard(1)}}"
}

// families are all of them, with the number of ids that follow.
var families = map[string]int{
	mailboxes: 1, pushes: 1, fetches: 1, statuses: 1, outputs: 2, facts: 1, presences: 1, notices: 1, audits: 1,
}

// ServerOf is the server id in a subject of this contract, or "" when the
// subject is none of them.
func ServerOf(subject string) string {
	rest, ok := strings.CutPrefix(subject, Root)
	if !ok {
		return ""
	}
	end := strings.IndexByte(rest, '.') + 1
	ids := strings.Split(rest[end:], ".")
	if len(ids) != families[Root+rest[:end]] {
		return ""
	}
	for _, id := range ids {
		if !ValidID(id) {
			return ""
		}
	}
	return ids[0]
}

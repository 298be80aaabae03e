package protocol

import "strings"

// AgentSubjects are all subjects that the agent of a server may use on the broker,
// and no others: a broker must hold it to them. "*" as server stands for all of them,
// for what connects a site's agents as one.
//
// They are not enough alone: a reply subject is not held against permissions, and
// JetStream answers it, so an agent in the account of the streams could write
// another's mailbox by naming it as the reply. Agents belong into an account of their
// own that imports AgentServices and AgentStreams.
func AgentSubjects(server string) (publish, subscribe []string) {
	return []string{
			StatusSubject(server), OutputSubject(server, "*"), FactsSubject(server),
			PresenceSubject(server), NoticeSubject(server), AuditSubject(server), FetchSubject(server),
		}, []string{
			PushSubject(server), InboxPrefix(server) + ".>",
		}
}

// Service is a subject on which the account of the streams answers that of the
// agents.
type Service struct {
	Subject string // in the account of the streams
	Local   string // in the account of the agents; wildcards are $1, $2
}

// AgentServices are what the account of the streams exports to that of the agents.
func AgentServices() []Service {
	var all []Service
	for _, subject := range []string{StatusSubject("*"), OutputSubject("*", "*"), FactsSubject("*"), PresenceSubject("*"), NoticeSubject("*"), AuditSubject("*")} {
		all = append(all, Service{Subject: subject})
	}
	from, to := FetchMapping()
	return append(all, Service{
		Subject: strings.ReplaceAll(to, "{{wildcard(1)}}", "*"),
		Local:   strings.ReplaceAll(from, "*", "$1"),
	})
}

// AgentStreams are the subjects that the account of the streams exports to that of
// the agents, to be heard.
func AgentStreams() []string { return []string{PushSubject("*")} }

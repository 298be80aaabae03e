package gen

import "devserver-agent/protocol"

const server = "{server_id}"

// channel is one family of subjects.
func channel(name, address, message, description string) Entry[Channel] {
	c := Channel{
		Address: address, Description: description,
		Parameters: Named[Description]{{"server_id", Description{"The server's id."}}},
		Messages:   Named[Ref]{{message, Ref{"#/components/messages/" + message}}},
	}
	switch name {
	case "output":
		c.Parameters = append(c.Parameters, Entry[Description]{"task_id", Description{"The task's id."}})
	case "inbox":
		c.Parameters = append(c.Parameters, Entry[Description]{"token", Description{"Chosen by the client for one request."}})
	}
	return Entry[Channel]{name, c}
}

func channels() Named[Channel] {
	return Named[Channel]{
		channel("mailbox", protocol.MailboxSubject(server), "mailbox",
			"Where the statements for a server are stored: stream "+protocol.MailboxStream+", one message a subject. Only the control plane writes it, by compare-and-set; no agent may use it."),
		channel("push", protocol.PushSubject(server), "mailbox",
			"The live copy of a mailbox, republished by the broker once it is stored. It may be older than what a fetch brought: the order of mailboxes means nothing."),
		channel("fetch", protocol.FetchSubject(server), "fetch",
			"Asks for the stored mailbox. The broker maps it to the direct get of the stream."),
		channel("inbox", protocol.InboxPrefix(server)+".{token}", "mailbox",
			"Answers to a server's requests. Header Status 404 instead of data: there is no mailbox; 503 or none that answers: ask again. Neither means an empty mailbox."),
		channel("status", protocol.StatusSubject(server), "status",
			"Stream "+protocol.StatusStream+". The first terminal status of a task in stream order is its verdict. The control plane gives it only as TASK_EXPIRED, as DELETE of a task never accepted, and as HOST_LOST, with the expected last sequence of the subject."),
		channel("output", protocol.OutputSubject(server, "{task_id}"), "chunk",
			"Stream "+protocol.OutputStream+". Chunks may come twice and in any order."),
		channel("facts", protocol.FactsSubject(server), "facts",
			"Stream "+protocol.FactsStream+", the last one a subject. Sent on every connect and on change."),
		channel("presence", protocol.PresenceSubject(server), "presence",
			"Heartbeats. Nothing stores them."),
		channel("notice", protocol.NoticeSubject(server), "notice",
			"Stream "+protocol.NoticeStream+". Rate-limited: alike refusals are counted."),
		channel("audit", protocol.AuditSubject(server), "audit",
			"Stream "+protocol.AuditStream+". Lines of the host's audit log in their order, maybe twice."),
	}
}

func operations() Named[Operation] {
	send := func(to, summary string) Operation {
		return Operation{Action: "send", Channel: Ref{"#/channels/" + to}, Summary: summary}
	}
	fetch := send("fetch", "Read the stored mailbox: on every connect after the subscription to push, once more half a minute later, then now and again.")
	fetch.Reply = &Reply{Ref{"#/channels/inbox"}}
	return Named[Operation]{
		{"receiveMailbox", Operation{Action: "receive", Channel: Ref{"#/channels/push"}, Summary: "Merge the statements of a mailbox into the journal."}},
		{"fetchMailbox", fetch},
		{"sendStatus", send("status", "Say a transition, the verdict or progress of a task; said again until the stream has it (progress once).")},
		{"sendOutput", send("output", "Send output that is on disk; sent again until the stream has it.")},
		{"sendFacts", send("facts", "Say what this host is.")},
		{"sendPresence", send("presence", "Say that this host is there.")},
		{"sendNotice", send("notice", "Report what was refused without a verdict.")},
		{"sendAudit", send("audit", "Send what was added to the audit log.")},
	}
}

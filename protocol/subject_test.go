package protocol

import (
	"strings"
	"testing"
)

func TestIDs(t *testing.T) {
	for _, c := range []struct {
		name, id string
		valid    bool
	}{
		{"letters, digits and hyphens", "a3-Pod-7", true},
		{"one character", "7", true},
		{"64 characters", strings.Repeat("a", 64), true},
		{"65 characters", strings.Repeat("a", 65), false},
		{"nothing", "", false},
		{"a wildcard for one token", "*", false},
		{"a wildcard for the rest", ">", false},
		{"two tokens", "a.b", false},
		{"a path upwards", "../x", false},
		{"a slash", "a/b", false},
		{"a space", "a b", false},
		{"a line end after it", "a\n", false},
		{"a zero byte", "a\x00", false},
		{"an underscore", "a_b", false},
		{"a letter that is not ASCII", "ä", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := ValidID(c.id); got != c.valid {
				t.Errorf("ValidID(%q) = %t", c.id, got)
			}
		})
	}
}

func TestSubjectsAreThoseOfTheContract(t *testing.T) {
	for got, want := range map[string]string{
		MailboxSubject("s1"):      "devserver.v1.mailbox.s1",
		PushSubject("s1"):         "devserver.v1.push.s1",
		FetchSubject("s1"):        "devserver.v1.fetch.s1",
		StatusSubject("s1"):       "devserver.v1.status.s1",
		OutputSubject("s1", "t1"): "devserver.v1.output.s1.t1",
		FactsSubject("s1"):        "devserver.v1.facts.s1",
		PresenceSubject("s1"):     "devserver.v1.presence.s1",
		NoticeSubject("s1"):       "devserver.v1.notice.s1",
	} {
		if got != want {
			t.Errorf("subject is %s, want %s", got, want)
		}
		if server := ServerOf(got); server != "s1" {
			t.Errorf("ServerOf(%s) = %q", got, server)
		}
	}
	if got := InboxPrefix("s1"); got != "_INBOX.s1" {
		t.Errorf("inbox prefix is %s", got)
	}
}

func TestOtherSubjectsAreOfNoServer(t *testing.T) {
	for name, subject := range map[string]string{
		"nothing":                       "",
		"the root":                      Root,
		"a family without a server":     "devserver.v1.status",
		"an empty server":               "devserver.v1.status.",
		"a wildcard":                    "devserver.v1.status.*",
		"a wildcard for the rest":       "devserver.v1.status.>",
		"another version":               "devserver.v2.status.s1",
		"an unknown family":             "devserver.v1.orders.s1",
		"one token too many":            "devserver.v1.status.s1.t1",
		"output without a task":         "devserver.v1.output.s1",
		"output with an empty task":     "devserver.v1.output.s1.",
		"output with one token more":    "devserver.v1.output.s1.t1.x",
		"a subject inside another":      "x.devserver.v1.status.s1",
		"an inbox":                      "_INBOX.s1.abc",
		"a server that is not an id":    "devserver.v1.status.s_1",
		"a family with a token between": "devserver.v1..status.s1",
	} {
		t.Run(name, func(t *testing.T) {
			if got := ServerOf(subject); got != "" {
				t.Errorf("ServerOf(%q) = %q", subject, got)
			}
		})
	}
}

func TestMappingsLeadFromAndToTheMailbox(t *testing.T) {
	fill := func(template, server string) string {
		return strings.NewReplacer("{{wildcard(1)}}", server, "*", server).Replace(template)
	}
	from, to := FetchMapping()
	if got := fill(from, "s1"); got != FetchSubject("s1") {
		t.Errorf("fetch is mapped from %s", got)
	}
	if got, want := fill(to, "s1"), "$JS.API.DIRECT.GET.DEVSERVER_MAILBOX.devserver.v1.mailbox.s1"; got != want {
		t.Errorf("fetch is mapped to %s, want %s", got, want)
	}
	from, to = RepublishMapping()
	if got := fill(from, "s1"); got != MailboxSubject("s1") {
		t.Errorf("mailboxes are republished from %s", got)
	}
	if got := fill(to, "s1"); got != PushSubject("s1") {
		t.Errorf("mailboxes are republished to %s", got)
	}
}

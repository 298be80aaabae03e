package inbox_test

import (
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"devserver-agent/protocol"
)

func TestWhatIsRefusedCausesNoRecordAndHarmsNoOther(t *testing.T) {
	t.Parallel()
	big := task("big")
	for n := range protocol.MaxSpecKeys {
		big.Items[0].Spec[fmt.Sprintf("p%d", n)] = strings.Repeat("x", 1000)
	}
	payload := func(v any) []byte {
		raw, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	unsigned := seal(t, task("unsigned"))
	unsigned.Signatures = nil
	changed := seal(t, task("changed"))
	changed.Payload = seal(t, task("changed2")).Payload
	for name, test := range map[string]struct {
		statement any
		code      protocol.Code
		id        string // in the notice
	}{
		"not signed":                {unsigned, protocol.NoticeUnsigned, ""},
		"signed by a stranger":      {signed(foreign, protocol.TaskPayload, payload(task("x"))), protocol.NoticeUnknownKey, ""},
		"changed on its way":        {changed, protocol.NoticeSignature, ""},
		"for another server":        {seal(t, task("x", func(t *protocol.Task) { t.ServerID = "srv-2" })), protocol.NoticeWrongServer, "x"},
		"a cancel for another":      {seal(t, protocol.Cancel{TaskID: "x", ServerID: "srv-2"}), protocol.NoticeWrongServer, "x"},
		"of another version":        {signed(trusted, "application/vnd.devserver.task.v2+json", payload(task("x"))), protocol.NoticePayloadType, ""},
		"no JSON inside":            {signed(trusted, protocol.TaskPayload, []byte("task_id: x")), protocol.NoticeUnparsable, ""},
		"no base64":                 {protocol.Envelope{PayloadType: protocol.TaskPayload, Payload: "!", Signatures: unsigned.Signatures}, protocol.NoticeUnparsable, ""},
		"too large":                 {signed(trusted, protocol.TaskPayload, payload(big)), protocol.NoticeTooLarge, ""},
		"no envelope":               {"surprise", protocol.NoticeUnparsable, ""},
		"nothing":                   {nil, protocol.NoticeUnsigned, ""},
		"an id that is a wildcard":  {signed(trusted, protocol.TaskPayload, payload(task(">"))), protocol.NoticeUnparsable, ""},
		"an id that is a path":      {signed(trusted, protocol.TaskPayload, payload(task("../../x"))), protocol.NoticeUnparsable, ""},
		"a cancel of a path":        {signed(trusted, protocol.CancelPayload, payload(cancel("../x"))), protocol.NoticeUnparsable, ""},
		"a resend of a path":        {signed(trusted, protocol.ResendPayload, payload(protocol.Resend{TaskID: "../x", ServerID: server})), protocol.NoticeUnparsable, ""},
		"an id that is empty":       {signed(trusted, protocol.TaskPayload, payload(task(""))), protocol.NoticeUnparsable, ""},
		"an id that is too long":    {signed(trusted, protocol.TaskPayload, payload(task(strings.Repeat("x", 65)))), protocol.NoticeUnparsable, ""},
		"a resend of what is not":   {seal(t, protocol.Resend{TaskID: "x", ServerID: server}), protocol.NoticeUnparsable, "x"},
		"other content of known id": {seal(t, task("known", func(t *protocol.Task) { t.JobID = "job-2" })), protocol.NoticeContentChanged, "known"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBed(t, nil)
			b.receive(task("known"))
			b.receive(test.statement, task("good"), test.statement)
			want(t, "known", b.known(), []string{"good", "known"})
			want(t, "accepted", b.accepted, []string{"known", "good"})
			line := fmt.Sprintf("%s %s 1", test.code, test.id)
			wanted := []string{line, line}
			if test.id == "x" && name == "a resend of what is not" {
				wanted = wanted[:1] // obeyed once a minute
			}
			want(t, "notices", b.said(), wanted)
			if s := b.latest("known"); s.Seq != 1 || s.JobID != "job-1" {
				t.Errorf("the known task became %+v", s)
			}
		})
	}
}

// An agent without keys that runs what nobody signed cannot tell a control plane's
// signature from another, and refusing it would help nobody: without it the same task runs.
func TestAnAgentThatAllowsUnsignedTakesWhatIsSigned(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		keys              []protocol.Trusted
		accepted, notices []string
	}{
		"without keys":  {nil, []string{"signed", "unsigned"}, nil},
		"with a key":    {[]protocol.Trusted{{Key: protocol.KeyOf(trusted)}}, []string{"unsigned"}, []string{"KEY_UNKNOWN  1", "KEY_UNKNOWN  1"}},
		"with that key": {[]protocol.Trusted{{Key: protocol.KeyOf(foreign)}}, []string{"signed", "unsigned"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := &bed{t: t, dir: t.TempDir(), keyring: protocol.Keyring{Keys: c.keys, AllowUnsigned: true}}
			b.open(nil)
			by := func(key ed25519.PrivateKey, statement any) protocol.Envelope {
				e, err := protocol.Seal(key, statement)
				if err != nil {
					t.Fatal(err)
				}
				return e
			}
			b.receive(by(foreign, task("signed")), by(nil, task("unsigned")))
			want(t, "accepted", b.accepted, c.accepted)
			b.receive(by(foreign, cancel("unsigned")))
			want(t, "notices", b.said(), c.notices)
			if cancelled := len(b.cancels) > 0; cancelled != (c.notices == nil) {
				t.Errorf("cancelled: %q", b.cancels)
			}
		})
	}
}

func TestAMailboxThatCannotBeReadIsRefusedAsAWhole(t *testing.T) {
	t.Parallel()
	good := box(t, task("good"))
	for name, test := range map[string]struct {
		raw   []byte
		codes []string
		known []string
	}{
		"no JSON":                 {good[:len(good)-1], []string{"UNPARSABLE  1"}, nil},
		"empty":                   {nil, []string{"UNPARSABLE  1"}, nil},
		"a list":                  {[]byte("[]"), []string{"UNPARSABLE  1"}, nil},
		"for another server":      {[]byte(strings.Replace(string(good), `"server_id":"srv-1"`, `"server_id":"srv-2"`, 1)), []string{"SERVER_WRONG  1"}, nil},
		"too large":               {append(good, make([]byte, protocol.MaxMailboxRead)...), []string{"TOO_LARGE  1"}, nil},
		"statements of no list":   {[]byte(`{"server_id":"srv-1","statements":{"a":1}}`), []string{"UNPARSABLE  1"}, nil},
		"statements of null":      {[]byte(`{"server_id":"srv-1","statements":null}`), nil, nil},
		"null":                    {[]byte(`null`), []string{"SERVER_WRONG  1"}, nil},
		"no statements":           {[]byte(`{"server_id":"srv-1"}`), nil, nil},
		"what is new around them": {[]byte(`{"hello":[{"statements":[1]}],` + string(good[1:])), nil, []string{"good"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBed(t, nil)
			b.merge(test.raw)
			want(t, "notices", b.said(), test.codes)
			want(t, "known", b.known(), test.known)
		})
	}
}

func TestASignedTaskThatCannotRunHasAVerdict(t *testing.T) {
	t.Parallel()
	item := func(change func(*protocol.Item)) func(*protocol.Task) {
		return func(t *protocol.Task) { change(&t.Items[0]) }
	}
	spec := func(name, value string) func(*protocol.Task) {
		return item(func(i *protocol.Item) { i.Spec[name] = value })
	}
	for name, test := range map[string]struct {
		change func(*protocol.Task)
		code   protocol.Code
		says   string
	}{
		"a parameter is missing":      {item(func(i *protocol.Item) { i.Spec = nil }), protocol.SpecInvalid, "spec.version is missing"},
		"a parameter does not fit":    {spec("version", "24.1 "), protocol.SpecInvalid, "does not match"},
		"a parameter climbs":          {spec("version", "../24.1"), protocol.SpecInvalid, "does not match"},
		"a parameter is unknown":      {spec("surprise", "1"), protocol.SpecInvalid, "spec.surprise is not a parameter of ONE"},
		"a parameter has controls":    {spec("note", "a\x1b[2J"), protocol.SpecInvalid, "control characters"},
		"a parameter is long":         {spec("note", strings.Repeat("x", protocol.MaxSpecValue+1)), protocol.SpecInvalid, "2049 bytes long"},
		"there are no items":          {func(t *protocol.Task) { t.Items = nil }, protocol.SpecInvalid, "0 items"},
		"there are too many items":    {func(t *protocol.Task) { t.Items = slices.Repeat(t.Items, 17) }, protocol.SpecInvalid, "17 items"},
		"its job is no id":            {func(t *protocol.Task) { t.JobID = "../job" }, protocol.SpecInvalid, "job_id"},
		"its timeout is negative":     {func(t *protocol.Task) { t.TimeoutSeconds = -1 }, protocol.SpecInvalid, "timeout_seconds"},
		"it is valid for too long":    {func(t *protocol.Task) { t.ExpiresAt += protocol.MaxValidity.Milliseconds() }, protocol.SpecInvalid, "expires_at"},
		"it expired":                  {func(t *protocol.Task) { t.IssuedAt -= 2 * 3600_000; t.ExpiresAt -= 3600_000 + 1 }, protocol.TaskExpired, "had expired at"},
		"its type is unknown":         {item(func(i *protocol.Item) { i.Type = "TWO" }), protocol.TypeUnknown, "no executor for TWO (item 0)"},
		"its type is no type":         {item(func(i *protocol.Item) { i.Type = "a b" }), protocol.SpecInvalid, "is not a type name"},
		"it wants the host restarted": {func(t *protocol.Task) { t.IsReboot = true }, protocol.RebootUnavailable, "restart"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBed(t, nil)
			bad := task("bad", test.change)
			b.receive(bad, task("good"))
			want(t, "accepted", b.accepted, []string{"good"})
			s := b.latest("bad")
			if s.Status != protocol.Failed || s.Code != test.code || s.Phase != protocol.Done || s.Seq != 1 ||
				!strings.Contains(s.Message, test.says) || !strings.HasSuffix(s.Message, "Nothing was started on this host.") {
				t.Errorf("verdict is %+v", s)
			}
			want(t, "notices", b.said(), []string(nil))
			b.receive(bad)
			if s := b.latest("bad"); s.Seq != 1 {
				t.Errorf("it got another verdict: %+v", s)
			}
		})
	}
}

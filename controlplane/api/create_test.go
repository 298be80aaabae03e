package api

import (
	"crypto/ed25519"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"devserver-agent/controlplane/jobs"
	"devserver-agent/controlplane/view"
	"devserver-agent/protocol"
)

// FuzzCreate checks that whatever POST accepts is a job whose tasks agents can
// read.
func FuzzCreate(f *testing.F) {
	f.Add(`{"name":"q","type":"HDK_QUERY","server_ids":["a"],"items":[{"type":"HDK_QUERY"}]}`)
	f.Add(`{"name":"u","description":"d","type":"HDK_UPGRADE","is_reboot":true,"server_ids":["a","b"],"items":[{"type":"HDK_UPGRADE","spec":{"version":"24.1.rc3.10"}}]}`)
	f.Add(`{"name":"q","type":"COMMON","server_ids":["../x"],"items":[{"type":"HDK_QUERY","spec":{"a":"` + "\\u0000" + `"}}]}`)
	f.Add(`[]`)
	f.Add(`{"server_ids":null,"items":{}}`)
	v := view.New(view.Options{})
	key := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	trust := protocol.Keyring{Keys: []protocol.Trusted{{Key: protocol.KeyOf(key)}}}
	f.Fuzz(func(t *testing.T, body string) {
		var req createRequest
		if readBody(httptest.NewRequest("POST", "/", strings.NewReader(body)), &req) != nil {
			return
		}
		template, work, err := new(api).checkCreate(req, v)
		if err != nil {
			return
		}
		r, err := jobs.New(jobs.Request{
			ProjectID: "p", Name: req.Name, Description: req.Description, Type: template, TemplateID: "t",
			UserName: localUser, IsReboot: req.IsReboot, Items: req.Items, Work: work.items, TimeoutSeconds: work.seconds, Servers: req.ServerIDs,
		}, time.Now(), time.Hour)
		if err != nil {
			return
		}
		for _, server := range r.Servers {
			envelope, err := protocol.SealPayload(key, protocol.TaskPayload, r.Payload(server))
			if err != nil {
				t.Fatalf("%q: %v", body, err)
			}
			s, err := trust.Open(envelope, time.Now())
			if err != nil || s.Task == nil || s.Task.Check() != nil || s.Task.ServerID != server {
				t.Fatalf("%q: %+v %v", body, s.Task, err)
			}
		}
	})
}

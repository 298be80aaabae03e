package hdk_test

import (
	"context"
	"io/fs"
	"testing"

	"devserver-agent/executors"
	"devserver-agent/protocol"
	"devserver-agent/test/fakehost"
	"devserver-agent/test/hosttest"
)

// bootless is a host whose root folder holds no boot id, as where host.root is a part of
// the host's file system. Its boot id is known all the same, from host.boot_id_file.
type bootless struct{ *hosttest.Host }

func (h bootless) Files() fs.FS { return withoutBootID{h.Host.Files()} }

type withoutBootID struct{ fs.FS }

func (f withoutBootID) Open(name string) (fs.File, error) {
	if name == "proc/sys/kernel/random/boot_id" {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return f.FS.Open(name)
}

func TestAnUpgradeWithoutARestartTakesTheBootFromTheHost(t *testing.T) {
	for name, c := range map[string]struct {
		known   bool // the agent knows the boot id
		restart bool // somebody restarts the host before the upgrade is verified
		code    protocol.Code
	}{
		"in the boot of the installation":    {known: true, code: protocol.RebootRequired},
		"in the boot after it":               {known: true, restart: true},
		"nobody knows which boot it is":      {code: protocol.RebootRequired},
		"the next boot, and nobody knows it": {restart: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, fakehost.A2, fakehost.Options{})
			r.spec = executors.Spec{"version": "24.1.0.3"}
			host, ctx := bootless{r.host}, context.Background()
			tell := func() {
				if !c.known {
					r.host.BootID = ""
				}
			}
			tell()
			if _, err := r.upgrade.Execute(ctx, host, r.spec); err != nil {
				t.Fatal(err)
			}
			if c.restart {
				r.restart("by hand")
				tell()
			}
			r.host.Replay()
			result, err := r.upgrade.Verify(ctx, host, r.spec)
			code, message := verdictOf(result, err)
			if code != c.code || result.RebootRequired != (code == protocol.RebootRequired) {
				t.Errorf("[%s] %s, restart required: %v; want [%s]", code, message, result.RebootRequired, c.code)
			}
		})
	}
}

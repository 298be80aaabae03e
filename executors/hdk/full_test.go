package hdk_test

import (
	"context"
	"io"
	"io/fs"
	"strings"
	"syscall"
	"testing"
	"testing/iotest"

	"devserver-agent/executors"
	"devserver-agent/executors/hdk/repository"
	"devserver-agent/protocol"
	"devserver-agent/test/fakehost"
)

// fillsTheDisk is a repository whose packages fill the host's disk with their first bytes.
type fillsTheDisk struct{ repository.Source }

func (f fillsTheDisk) Open(ctx context.Context, name string, offset int64) (io.ReadCloser, error) {
	file, err := f.Source.Open(ctx, name, offset)
	if err != nil || name == repository.IndexFile {
		return file, err
	}
	full := iotest.ErrReader(&fs.PathError{Op: "write", Path: "packages/x.part", Err: syscall.ENOSPC})
	return struct {
		io.Reader
		io.Closer
	}{io.MultiReader(io.LimitReader(file, 100), full), file}, nil
}

// That is no fault of the repository's, and not tried again and again.
func TestADiskThatFillsUpWhileAPackageIsFetched(t *testing.T) {
	t.Parallel()
	r := newRig(t, fakehost.A2, fakehost.Options{})
	r.spec = executors.Spec{"version": "24.1.0.3"}
	r.upgrade.Source = fillsTheDisk{r.upgrade.Source}
	code, message := verdictOf(r.run(context.Background()))
	if code != protocol.HDKDiskSpace || !strings.Contains(message, "after 100 of ") || !strings.Contains(message, "no space left on device. The host: ") || strings.Contains(message, "tried") || len(r.started()) > 0 {
		t.Errorf("got [%s] %s", code, message)
	}
}

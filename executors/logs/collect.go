// Package logs holds DEVICE_LOG_COLLECT: it gathers what an engineer asks for first
// when something is wrong with a host's NPUs, and sends it where it can be read.
//
// The work has three parts. msnpureport is a step, made again if it was cut. The
// bundle is packed by a memo into the item's scratch folder: dying before the memo is
// recorded leaves a file that the replay overwrites. Sending changes nothing on the
// host and may be done again: parts that are in the store already are not sent twice,
// and a presigned URL is put to as a whole.
package logs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"devserver-agent/executors"
	"devserver-agent/protocol"
)

// Store takes bundles. It keeps what it has of one whose sending was cut.
type Store interface {
	Upload(ctx context.Context, name string, content io.ReaderAt, size int64, told func(sent int64)) error
}

// Collect is the executor of DEVICE_LOG_COLLECT. The zero value collects from the host
// at / and can only put to URLs.
type Collect struct {
	Root     string // folder that is the host's /, as host.root says; "" is /
	StateDir string // the agent's, for the reports of diagnoses; "": there are none
	ServerID string // begins the names of bundles
	Bucket   string // of the store, for the message
	Store    Store  // where bundles go that no URL is given for; nil: nowhere

	SendPause time.Duration // before a bundle is sent again, doubled with each try; 0: 2 s
}

const (
	reportStep    = "msnpureport"
	reportTimeout = 15 * time.Minute
	bundleFile    = "bundle.tar.zst"
)

// Execute collects and sends. It fails with LOGS_NOT_SENT when the bundle cannot be
// brought to its place; parts that cannot be read are left out, and the bundle says
// which.
func (c Collect) Execute(ctx context.Context, host executors.Host, spec executors.Spec) (executors.Result, error) {
	o, err := readOrder(spec)
	if err != nil {
		return executors.Result{}, err
	}
	if o.url == "" && c.Store == nil {
		return executors.Result{}, executors.Fail(protocol.LogsNotSent, "Nothing was collected: the job gives no url and the agent's configuration no logs.bucket.")
	}
	scratch, err := host.Scratch()
	if err != nil {
		return executors.Result{}, err
	}
	host.Progress(1, "msnpureport")
	note, err := c.report(ctx, host, scratch)
	if err != nil {
		return executors.Result{}, err
	}
	host.Progress(30, "packing")
	made, err := executors.Memo(ctx, host, "bundle", func(ctx context.Context) (bundle, error) {
		return c.pack(ctx, host, o, scratch, note)
	})
	if err != nil {
		return executors.Result{}, err
	}
	host.Printf("%s", made)
	where, err := c.send(ctx, host, o, scratch, made)
	if ctx.Err() != nil {
		return executors.Result{}, context.Cause(ctx)
	}
	if err != nil {
		return executors.Result{}, executors.Fail(protocol.LogsNotSent, "%d files were collected (%s) and could not be sent: %w. They are gone when the task is closed; create the job again.", made.Files, size(made.Size), err)
	}
	return executors.Result{Message: protocol.Clip(fmt.Sprintf("%d files, %s, sha256 %.12s, are %s%s", made.Files, size(made.Size), made.SHA256, where, made.omitted()))}, nil
}

// report has msnpureport write what it knows below scratch. note says why it did not,
// for the bundle.
func (c Collect) report(ctx context.Context, host executors.Host, scratch string) (note string, err error) {
	dir := filepath.Join(scratch, reportStep)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("make a folder for msnpureport: %w", err)
	}
	for range 2 {
		exit, err := host.Command(ctx, executors.Command{
			Step: reportStep, Argv: []string{"msnpureport"}, Dir: dir, Timeout: reportTimeout, Kill: executors.KillTree,
		})
		switch {
		case errors.Is(err, executors.ErrInterrupted):
			continue // what it wrote until then is packed too
		case errors.Is(err, executors.ErrNotFound):
			return "msnpureport is not installed", nil
		case errors.Is(err, executors.ErrTimeout):
			return fmt.Sprintf("msnpureport did not end within %v", reportTimeout), nil
		case err != nil:
			return "", err
		case exit.Code != 0:
			return fmt.Sprintf("msnpureport ended with exit code %d", exit.Code), nil
		}
		return "", nil
	}
	return "msnpureport was cut twice", nil
}

// order is what a job asks for.
type order struct {
	url   string
	hours int
	limit int64 // bytes, before they are packed
}

func readOrder(spec executors.Spec) (order, error) {
	hours, err := strconv.Atoi(cmp.Or(spec["hours"], "24"))
	mb, mbErr := strconv.Atoi(cmp.Or(spec["max_mb"], "512"))
	if err := errors.Join(err, mbErr); err != nil {
		return order{}, executors.Fail(protocol.SpecInvalid, "Hours or max_mb is not a number: %w. Nothing was started.", err)
	}
	return order{url: spec["url"], hours: hours, limit: int64(mb) << 20}, nil
}

// size is a number of bytes for people.
func size(n int64) string {
	switch {
	case n >= 1<<30:
		return fmt.Sprintf("%.1f GB", float64(n)/(1<<30))
	case n >= 1<<20:
		return fmt.Sprintf("%.1f MB", float64(n)/(1<<20))
	}
	return fmt.Sprintf("%.1f kB", float64(n)/(1<<10))
}

// name is the bundle's in the store: what is sent again has the same.
func (c Collect) name(made bundle) string {
	return fmt.Sprintf("%s/%s-%.12s.tar.zst", cmp.Or(c.ServerID, "host"), strings.TrimSuffix(time.UnixMilli(made.At).UTC().Format("20060102T150405Z"), "Z"), made.SHA256)
}

package engine

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"

	"devserver-agent/agent/step"
	"devserver-agent/executors"
)

// readonly is a host that can only be queried. It records nothing.
type readonly struct {
	tools step.Tools
	boot  string
}

func (r readonly) Query(ctx context.Context, argv ...string) (executors.Reply, error) {
	return r.tools.Query(ctx, argv...)
}

func (r readonly) Memo(ctx context.Context, _ string, fn func(context.Context) (json.RawMessage, error)) (json.RawMessage, error) {
	return fn(ctx)
}

func (r readonly) Command(context.Context, executors.Command) (executors.Exit, error) {
	return executors.Exit{}, errors.New("a state query starts no command")
}

func (r readonly) Restart(context.Context, string) error {
	return errors.New("a state query restarts no host")
}

func (r readonly) Scratch() (string, error) {
	return "", errors.New("a state query writes nothing")
}

func (r readonly) Progress(int, string)  {}
func (r readonly) Printf(string, ...any) {}

func (r readonly) Files() fs.FS { return r.tools.Files() }

func (r readonly) Boot() string { return r.boot }

// readonly is the host as a state query sees it.
func (e *Engine) readonly() readonly { return readonly{e.opts.Tools, e.opts.Boot} }

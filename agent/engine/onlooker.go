package engine

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"

	"devserver-agent/agent/step"
	"devserver-agent/executors"
)

// onlooker is a host that can only be looked at. It records nothing.
type onlooker struct{ tools step.Tools }

func (o onlooker) Query(ctx context.Context, argv ...string) (executors.Reply, error) {
	return o.tools.Query(ctx, argv...)
}

func (o onlooker) Memo(ctx context.Context, _ string, fn func(context.Context) (json.RawMessage, error)) (json.RawMessage, error) {
	return fn(ctx)
}

func (o onlooker) Command(context.Context, executors.Command) (executors.Exit, error) {
	return executors.Exit{}, errors.New("a survey starts no command")
}

func (o onlooker) Restart(context.Context, string) error {
	return errors.New("a survey restarts no host")
}

func (o onlooker) Scratch() (string, error) {
	return "", errors.New("a survey writes nothing")
}

func (o onlooker) Progress(int, string)  {}
func (o onlooker) Printf(string, ...any) {}

func (o onlooker) Files() fs.FS { return o.tools.Files() }

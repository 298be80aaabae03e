package local

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"syscall"
)

// Client asks the agent behind a socket.
type Client struct{ Path string }

// ErrNotRunning says that no agent answers on the socket.
var ErrNotRunning = errors.New("no agent runs here")

// Status asks the agent about itself.
func (c Client) Status(ctx context.Context) (s Status, err error) {
	return s, c.call(ctx, http.MethodGet, "/status", nil, &s)
}

// Exec has the agent run an item; the task's id is returned.
func (c Client) Exec(ctx context.Context, work Work) (string, error) {
	var accepted struct {
		TaskID string `json:"task_id"`
	}
	err := c.call(ctx, http.MethodPost, "/exec", work, &accepted)
	return accepted.TaskID, err
}

// Hold stops exclusive work, or lets it go on.
func (c Client) Hold(ctx context.Context, on bool) error {
	return c.call(ctx, http.MethodPost, "/hold", Switch{on}, nil)
}

// Drain stops all that has not begun, or lets it go on.
func (c Client) Drain(ctx context.Context, on bool) error {
	return c.call(ctx, http.MethodPost, "/drain", Switch{on}, nil)
}

// call asks the agent. ErrNotRunning when nobody listens.
func (c Client) call(ctx context.Context, method, path string, ask, answer any) error {
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", c.Path)
	}}
	defer transport.CloseIdleConnections()
	body, err := json.Marshal(ask)
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, method, "http://agent"+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	response, err := (&http.Client{Transport: transport}).Do(request)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("%w (%s)", ErrNotRunning, c.Path)
	}
	if err != nil {
		return fmt.Errorf("ask the agent at %s: %w", c.Path, err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		var f failure
		if err := json.NewDecoder(response.Body).Decode(&f); err != nil || f.Error == "" {
			return fmt.Errorf("the agent answered %s", response.Status)
		}
		return errors.New(f.Error)
	}
	if answer == nil {
		return nil
	}
	if err := json.NewDecoder(response.Body).Decode(answer); err != nil {
		return fmt.Errorf("the agent's answer: %w", err)
	}
	return nil
}

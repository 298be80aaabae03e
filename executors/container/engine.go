package container

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"
)

// usualSockets are where Docker and Podman listen.
var usualSockets = []string{"/run/docker.sock", "/var/run/docker.sock", "/run/podman/podman.sock"}

// engine is a container engine behind a socket. It speaks the part of Docker's Engine
// API 1.40 that Podman serves too.
type engine struct{ client *http.Client }

const apiVersion = "/v1.40"

// maxAnswer bounds an answer that is read whole, in bytes.
const maxAnswer = 4 << 20

var errNoEngine = errors.New("no container engine is on this host: no socket of Docker or Podman is there")

func find(sockets []string) (engine, error) {
	if len(sockets) == 0 {
		sockets = usualSockets
	}
	for _, path := range sockets {
		if info, err := os.Stat(path); err == nil && info.Mode()&os.ModeSocket != 0 {
			dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
				return (&net.Dialer{}).DialContext(ctx, "unix", path)
			}
			return engine{&http.Client{Transport: &http.Transport{DialContext: dial}}}, nil
		}
	}
	return engine{}, errNoEngine
}

// refusal is what the engine answers instead.
type refusal struct {
	status  int
	message string
}

func (r refusal) Error() string {
	return fmt.Sprintf("the container engine answers %d: %s", r.status, r.message)
}

// answers reports whether err is the engine's answer with this status.
func answers(err error, status int) bool {
	var r refusal
	return errors.As(err, &r) && r.status == status
}

// call asks the engine and gives its answer to read.
func (e engine) call(ctx context.Context, method, path string, query url.Values, body any) (io.ReadCloser, error) {
	var text io.Reader
	if body != nil {
		raw, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		text = bytes.NewReader(raw)
	}
	request, err := http.NewRequestWithContext(ctx, method, "http://engine"+apiVersion+path+"?"+query.Encode(), text)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := e.client.Do(request)
	if err != nil {
		return nil, err
	}
	if response.StatusCode < 300 || response.StatusCode == http.StatusNotModified {
		return response.Body, nil
	}
	defer response.Body.Close()
	var said struct{ Message, Cause string }
	raw, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		return nil, err
	}
	if json.Unmarshal(raw, &said) != nil || said.Message == "" {
		said.Message = strings.TrimSpace(string(raw[:min(len(raw), 400)]))
	}
	return nil, refusal{response.StatusCode, said.Message}
}

// ask reads an answer whole; into nil, its end is waited for.
func (e engine) ask(ctx context.Context, method, path string, query url.Values, body, into any) error {
	answer, err := e.call(ctx, method, path, query, body)
	if err != nil {
		return err
	}
	defer answer.Close()
	raw, err := io.ReadAll(io.LimitReader(answer, maxAnswer))
	if err != nil || into == nil {
		return err
	}
	return json.Unmarshal(raw, into)
}

// state is how a container is.
type state struct {
	ID           string `json:"Id"`
	Name         string
	RestartCount int // by the engine
	State        struct {
		Status   string // created, running, exited and others
		Running  bool
		ExitCode int
		// StartedAt is another time after the engine has started it again.
		StartedAt string
		Error     string
	}
	Config struct{ Labels map[string]string }
}

// started reports whether it was ever started: the engine's word for one that was not
// is created, Podman has configured and initialized before it.
func (s state) started() bool {
	return s.State.Status != "created" && s.State.Status != "configured" && s.State.Status != "initialized"
}

// ended reports whether it ran and does not run any more. One that is being stopped
// runs, which Podman's word for Running does not say.
func (s state) ended() bool {
	return s.State.Status == "exited" || s.State.Status == "stopped" || s.State.Status == "dead"
}

func (e engine) inspect(ctx context.Context, name string) (s state, err error) {
	return s, e.ask(ctx, http.MethodGet, "/containers/"+url.PathEscape(name)+"/json", nil, nil, &s)
}

// ascendRuntime reports whether Ascend-docker-runtime is registered.
func (e engine) ascendRuntime(ctx context.Context) bool {
	var info struct{ Runtimes map[string]any }
	if err := e.ask(ctx, http.MethodGet, "/info", nil, nil, &info); err != nil {
		return false
	}
	_, has := info.Runtimes["ascend"]
	return has
}

// create makes the container, and fetches its image if it is not there. One of its
// name that is there already is as good.
func (e engine) create(ctx context.Context, name string, config any, image string, told io.Writer) error {
	make := func() error {
		return e.ask(ctx, http.MethodPost, "/containers/create", url.Values{"name": {name}}, config, nil)
	}
	err := make()
	if answers(err, http.StatusNotFound) {
		fmt.Fprintf(told, "fetch %s\n", image)
		if err := e.pull(ctx, image); err != nil {
			return fmt.Errorf("fetch %s: %w", image, err)
		}
		err = make()
	}
	if answers(err, http.StatusConflict) {
		return nil
	}
	return err
}

// pull fetches an image. The engine answers 200 first and tells errors in the stream.
func (e engine) pull(ctx context.Context, image string) error {
	answer, err := e.call(ctx, http.MethodPost, "/images/create", url.Values{"fromImage": {image}}, nil)
	if err != nil {
		return err
	}
	defer answer.Close()
	for in := json.NewDecoder(answer); ; {
		var line struct{ Error string }
		err := in.Decode(&line)
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		case line.Error != "":
			return errors.New(line.Error)
		}
	}
}

func (e engine) start(ctx context.Context, name string) error {
	return e.ask(ctx, http.MethodPost, "/containers/"+url.PathEscape(name)+"/start", nil, nil, nil)
}

// stop has the container end, and killed when that takes longer. One that ends by itself
// meanwhile is stopped too: Podman 4.3.1 answers 500 then (oci_conmon_common.go).
func (e engine) stop(ctx context.Context, name string, timeout time.Duration) error {
	err := e.ask(ctx, http.MethodPost, "/containers/"+url.PathEscape(name)+"/stop", url.Values{"t": {fmt.Sprint(int(timeout / time.Second))}}, nil, nil)
	if answers(err, http.StatusInternalServerError) {
		if s, failed := e.inspect(ctx, name); failed == nil && s.ended() {
			return nil
		}
	}
	return err
}

// removals is how often the engine is asked to remove a container, with a pause between.
const (
	removals     = 10
	removalPause = 500 * time.Millisecond
)

// remove returns when the container is not there. It is asked for again while the engine
// refuses it for a reason that passes: the container ends in that moment (Podman 500), or
// somebody else removes it (Docker 409).
func (e engine) remove(ctx context.Context, name string) error {
	for n := 1; ; n++ {
		err := e.ask(ctx, http.MethodDelete, "/containers/"+url.PathEscape(name), url.Values{"force": {"true"}, "v": {"true"}}, nil, nil)
		switch {
		case err == nil, answers(err, http.StatusNotFound):
			return nil
		case n == removals || !answers(err, http.StatusInternalServerError) && !answers(err, http.StatusConflict):
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(removalPause):
		}
	}
}

// wait returns the exit code when the container has ended.
func (e engine) wait(ctx context.Context, name string) (int, error) {
	var end struct{ StatusCode int }
	err := e.ask(ctx, http.MethodPost, "/containers/"+url.PathEscape(name)+"/wait", nil, nil, &end)
	return end.StatusCode, err
}

// logs writes what the container printed; with follow, until the engine says that this
// was all, which is to be taken with care (output.go).
func (e engine) logs(ctx context.Context, name string, follow bool, tail string, to io.Writer) error {
	query := url.Values{"stdout": {"true"}, "stderr": {"true"}, "follow": {fmt.Sprint(follow)}, "tail": {tail}}
	answer, err := e.call(ctx, http.MethodGet, "/containers/"+url.PathEscape(name)+"/logs", query, nil)
	if err != nil {
		return err
	}
	defer answer.Close()
	return demultiplex(answer, to)
}

// demultiplex reads frames of standard output and error (Engine API, "Stream format"):
// a byte for which, three of nothing, four for the length.
func demultiplex(from io.Reader, to io.Writer) error {
	var header [8]byte
	for {
		if _, err := io.ReadFull(from, header[:]); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		length := int64(header[4])<<24 | int64(header[5])<<16 | int64(header[6])<<8 | int64(header[7])
		if header[0] > 2 || header[1] != 0 || header[2] != 0 || header[3] != 0 {
			return errors.New("the container engine's stream of output makes no sense")
		}
		if _, err := io.CopyN(to, from, length); err != nil {
			return err
		}
	}
}

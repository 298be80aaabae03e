package container

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

// Exit codes of Main beside the container's own.
const (
	exitEngine    = 125 // the engine did not do it, as docker run has it
	exitUnchanged = 120 // deploy: it ran as asked already
)

const (
	labelService = "devserver.service"
	labelDigest  = "devserver.digest" // of the Run
	maxInput     = 1 << 20            // bytes
)

// Main is the program behind "devserver-agent container VERB": run, remove or deploy.
// It reads a Run as JSON and returns the exit code. ctx ends when it is told to stop:
// it stops the container then.
func Main(ctx context.Context, verb string, in io.Reader, out io.Writer) int {
	raw, err := io.ReadAll(io.LimitReader(in, maxInput))
	var run Run
	if err == nil {
		err = json.Unmarshal(raw, &run)
	}
	var e engine
	if err == nil {
		e, err = find(run.Sockets)
	}
	code := 0
	if err == nil {
		switch verb {
		case "run":
			code, err = e.run(ctx, run, out)
		case "remove":
			err = e.remove(context.WithoutCancel(ctx), run.Name)
		case "deploy":
			code, err = e.deploy(ctx, run, out)
		default:
			err = fmt.Errorf("%q is no verb", verb)
		}
	}
	if err != nil {
		fmt.Fprintln(out, err)
		return exitEngine
	}
	return code
}

// run takes the container to its end, from wherever it is.
func (e engine) run(ctx context.Context, run Run, out io.Writer) (int, error) {
	s, err := e.made(ctx, run, run.Name, out)
	if err != nil {
		return 0, err
	}
	// Told to stop, it stops the container and goes on to see its end. A start that
	// was cut in the middle may have been obeyed, so it is not cut.
	workCtx := context.WithoutCancel(ctx)
	switch {
	case s.started():
		fmt.Fprintf(out, "[attached again to container %s, which is %s]\n", run.Name, s.State.Status)
	case ctx.Err() != nil:
		return 0, context.Cause(ctx)
	default:
		if err := e.start(workCtx, run.Name); err != nil {
			return 0, err
		}
	}
	out = &lockedWriter{to: out}
	stopping, cancelStop := context.WithCancel(workCtx)
	defer cancelStop()
	following, endFollow := context.WithCancelCause(workCtx)
	defer endFollow(nil)
	stopped := make(chan struct{})
	unhook := context.AfterFunc(ctx, func() {
		defer close(stopped)
		switch err := e.stop(stopping, run.Name, run.stopTimeout(stopTimeout)); {
		case err == nil: // it has ended, and there is no time for a follow that has not
			time.AfterFunc(followAfterStop, func() { endFollow(errEnded) })
		case stopping.Err() == nil:
			fmt.Fprintln(out, err)
		}
	})
	seen := &printed{to: out}
	if err := e.follow(following, run.Name, seen); err != nil {
		fmt.Fprintf(out, "[its output is read on when it has ended: %v]\n", err)
	}
	code, err := e.wait(workCtx, run.Name)
	if !unhook() {
		if err == nil {
			cancelStop() // it has ended, whatever the engine says to the stop
		}
		<-stopped
	}
	if err != nil {
		return 0, err
	}
	if err := e.complete(ctx, run.Name, seen); err != nil {
		fmt.Fprintf(out, "[its output may be missing here: %v]\n", err)
	}
	return code, nil
}

// lockedWriter is a writer for several goroutines.
type lockedWriter struct {
	mu sync.Mutex
	to io.Writer
}

func (t *lockedWriter) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.to.Write(p)
}

// made is the container of this name, which is made if it is not there.
func (e engine) made(ctx context.Context, run Run, name string, out io.Writer) (state, error) {
	s, err := e.inspect(ctx, name)
	if !answers(err, http.StatusNotFound) {
		return s, err
	}
	if err := e.create(ctx, name, run.config(e.ascendRuntime(ctx)), run.Image, out); err != nil {
		return state{}, err
	}
	return e.inspect(ctx, name)
}

// config is the run as the engine wants it. With Ascend-docker-runtime that maps the
// NPUs; else they are mapped as it would.
func (r Run) config(runtime bool) map[string]any {
	env := r.Env
	host := map[string]any{"NetworkMode": r.Network, "Binds": r.Volumes}
	if r.Service != "" {
		host["RestartPolicy"] = map[string]any{"Name": "unless-stopped"}
	}
	if len(r.NPUs) > 0 {
		env = append(env, "ASCEND_VISIBLE_DEVICES="+strings.Trim(strings.ReplaceAll(fmt.Sprint(r.NPUs), " ", ","), "[]"))
	}
	switch {
	case len(r.NPUs) == 0:
	case runtime:
		host["Runtime"] = "ascend"
	default:
		var devices []map[string]string
		for _, d := range r.Devices {
			devices = append(devices, map[string]string{"PathOnHost": d, "PathInContainer": d, "CgroupPermissions": "rwm"})
		}
		host["Devices"] = devices
		binds := r.Volumes
		for _, f := range r.Driver {
			binds = append(binds, f+":"+f+":ro")
		}
		host["Binds"] = binds
	}
	config := map[string]any{"Image": r.Image, "Env": env, "Labels": r.labels(), "HostConfig": host}
	if len(r.Command) > 0 {
		config["Cmd"] = r.Command
	}
	return config
}

func (r Run) labels() map[string]string {
	labels := map[string]string{"devserver.item": r.Name}
	if r.Service != "" {
		labels[labelService], labels[labelDigest] = r.Service, r.digest()
	}
	return labels
}

// digest tells services apart by what they run; the item that asks does not count.
func (r Run) digest() string {
	r.Name, r.Ready, r.StopTimeout, r.Sockets = "", 0, 0, nil
	raw, err := json.Marshal(r)
	if err != nil {
		return ""
	}
	sum := sha256.Sum256(raw)
	return hex.EncodeToString(sum[:8])
}

// deploy has the service run as asked, from wherever it is. The former container is
// stopped, and removed when the new one has stayed up; else it is started again.
func (e engine) deploy(ctx context.Context, run Run, out io.Writer) (int, error) {
	name := "devserver-" + run.Service + "-" + run.digest()
	others, err := e.others(ctx, run.Service, name)
	if err != nil {
		return 0, err
	}
	s, err := e.inspect(ctx, name)
	if err == nil && s.State.Running && len(others) == 0 {
		return exitUnchanged, nil
	}
	if err != nil && !answers(err, http.StatusNotFound) {
		return 0, err
	}
	if _, err := e.made(ctx, run, name, out); err != nil {
		return 0, err
	}
	workCtx := context.WithoutCancel(ctx) // what has begun is brought to a good end
	for _, other := range others {
		fmt.Fprintf(out, "stop %s\n", other)
		if err := e.stop(workCtx, other, run.stopTimeout(serviceStopTimeout)); err != nil {
			return 0, err
		}
	}
	fmt.Fprintf(out, "start %s\n", name)
	err = e.start(workCtx, name)
	if err == nil {
		err = e.staysUp(ctx, name, time.Duration(run.Ready)*time.Second)
	}
	if err != nil {
		return e.giveUp(workCtx, name, others, err, out)
	}
	for _, other := range others {
		if err := e.remove(workCtx, other); err != nil {
			return 0, err
		}
	}
	return 0, nil
}

// giveUp takes a service away that did not stay up, and starts the former again.
func (e engine) giveUp(ctx context.Context, name string, others []string, why error, out io.Writer) (int, error) {
	fmt.Fprintf(out, "%s did not stay up: %v\n", name, why)
	if err := e.logs(ctx, name, false, "100", out); err != nil {
		fmt.Fprintln(out, err)
	}
	err := e.remove(ctx, name)
	for _, other := range others {
		fmt.Fprintf(out, "start %s again\n", other)
		err = errors.Join(err, e.start(ctx, other))
	}
	return 1, err
}

var errNotUp = errors.New("it ended")

// staysUp watches a container for a time. One that ended is started again by the
// engine, so that it runs now says little: it has to be the same start all the time.
func (e engine) staysUp(ctx context.Context, name string, d time.Duration) error {
	began := ""
	for deadline := time.Now().Add(d); ; {
		s, err := e.inspect(ctx, name)
		switch {
		case err != nil:
			return err
		case s.RestartCount > 0 || began != "" && s.State.StartedAt != began:
			return fmt.Errorf("%w, and the engine started it again", errNotUp)
		case !s.State.Running:
			return fmt.Errorf("%w with exit code %d %s", errNotUp, s.State.ExitCode, s.State.Error)
		case time.Now().After(deadline):
			return nil
		}
		began = s.State.StartedAt
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// others are the containers of a service but the one of this name.
func (e engine) others(ctx context.Context, service, name string) ([]string, error) {
	filters, err := json.Marshal(map[string][]string{"label": {labelService + "=" + service}})
	if err != nil {
		return nil, err
	}
	var list []struct{ Names []string }
	if err := e.ask(ctx, http.MethodGet, "/containers/json", url.Values{"all": {"true"}, "filters": {string(filters)}}, nil, &list); err != nil {
		return nil, err
	}
	var names []string
	for _, c := range list {
		if len(c.Names) > 0 && strings.TrimPrefix(c.Names[0], "/") != name {
			names = append(names, strings.TrimPrefix(c.Names[0], "/"))
		}
	}
	return names, nil
}

package plugin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"devserver-agent/executors"
	"devserver-agent/protocol"
)

// call is one call of a plug-in.
type call struct {
	plugin   Plugin
	verb     string // execute or verify
	step     string
	number   int // of the verb's calls, from 1
	restarts int // of the host, at the plug-in's wish
}

// request is what a plug-in reads on standard input.
type request struct {
	Type     string            `json:"type"`
	Verb     string            `json:"verb"`
	Spec     map[string]string `json:"spec"`
	Call     int               `json:"call"`
	Restarts int               `json:"restarts"`
}

// make makes the call, or answers from what it left, and once more if it was cut and
// may be made again. code is 0, exitRestart or exitLater without an error.
func (c call) make(ctx context.Context, host executors.Host, spec executors.Spec) (code int, result executors.Result, err error) {
	spec = c.plugin.is.complete(spec)
	input, err := json.Marshal(request{c.plugin.is.Type, c.verb, spec, c.number, c.restarts})
	if err != nil {
		return 0, result, fmt.Errorf("encode the request: %w", err)
	}
	scratch, err := host.Scratch()
	if err != nil {
		return 0, result, err
	}
	file := ""
	exit := executors.Exit{}
	for attempt := 1; ; attempt++ {
		file = filepath.Join(scratch, fmt.Sprintf("%s.%d.json", c.step, attempt))
		exit, err = host.Command(ctx, executors.Command{
			Step: c.step, Argv: []string{c.plugin.path, c.verb}, Input: append(input, '\n'), Kill: c.plugin.is.kill, Grace: c.plugin.is.grace,
			Env: append(specEnv(spec), "DEVSERVER_RESULT="+file),
		})
		if !errors.Is(err, executors.ErrInterrupted) {
			break
		}
		if !c.plugin.is.repeatable {
			return 0, result, executors.Fail(protocol.StepInterrupted, "%s was cut in the middle, by a crash or a restart of the host, and does not say that it may be called again.", c.plugin.is.Type)
		}
	}
	if err != nil {
		return 0, result, err
	}
	reached, err := readResult(file)
	switch {
	case exit.Code == exitRestart, exit.Code == exitLater:
		return exit.Code, result, nil // a result is for the last call
	case err != nil:
		return 0, result, executors.Fail(protocol.ExecutorFailed, "%s ended with exit code %d and its result cannot be read: %w.", c.plugin.is.Type, exit.Code, err)
	case exit.Code != 0:
		return 0, result, c.failure(exit, reached)
	}
	return 0, executors.Result{Message: reached.Message, Code: protocol.Code(reached.Code), RebootRequired: reached.RebootRequired, Unchanged: reached.Unchanged}, nil
}

func (c call) failure(exit executors.Exit, reached outcome) error {
	code := protocol.Code(reached.Code)
	if code == "" {
		code = protocol.ExecutorFailed
	}
	how := fmt.Sprintf("exit code %d", exit.Code)
	if exit.Signal != "" {
		how = "signal: " + exit.Signal
	}
	message := strings.TrimRight(reached.Message, ". \n")
	if message == "" {
		return executors.Fail(code, "%s failed (%s). See the task's output.", c.plugin.is.Type, how)
	}
	return executors.Fail(code, "%s (%s, %s).", message, c.plugin.is.Type, how)
}

// complete is a spec with the defaults of what is not given.
func (k kind) complete(spec executors.Spec) executors.Spec {
	whole := executors.Spec{}
	for _, p := range k.Params {
		if p.Default != "" {
			whole[p.Name] = p.Default
		}
	}
	maps.Copy(whole, spec)
	return whole
}

// specEnv gives each parameter as DEVSERVER_SPEC_NAME too, for shells.
func specEnv(spec executors.Spec) []string {
	var env []string
	for _, name := range slices.Sorted(maps.Keys(spec)) {
		value := spec[name]
		env = append(env, "DEVSERVER_SPEC_"+strings.ToUpper(strings.NewReplacer("-", "_", ".", "_").Replace(name))+"="+value)
	}
	return env
}

// outcome is what a plug-in writes to DEVSERVER_RESULT.
type outcome struct {
	Message        string `json:"message"`
	Code           string `json:"code"`
	RebootRequired bool   `json:"reboot_required"`
	Unchanged      bool   `json:"unchanged"`
}

const maxResult = 64 << 10 // bytes

var codePattern = regexp.MustCompile(`^(?:[A-Z][A-Z0-9_]{2,63})?$`)

// readResult reads a result; a file that is not there is an empty one. It must be a
// file of its own: a link would have the agent read what the plug-in points at.
func readResult(name string) (outcome, error) {
	var o outcome
	file, err := os.OpenFile(name, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if errors.Is(err, os.ErrNotExist) {
		return o, nil
	}
	if err != nil {
		return o, err
	}
	defer file.Close()
	if info, err := file.Stat(); err != nil || !info.Mode().IsRegular() {
		return o, errors.Join(err, errors.New("it is no file"))
	}
	text, err := io.ReadAll(io.LimitReader(file, maxResult+1))
	switch {
	case err != nil:
		return o, err
	case len(text) > maxResult:
		return o, fmt.Errorf("it is larger than %d bytes", maxResult)
	}
	if err := json.Unmarshal(text, &o); err != nil {
		return outcome{}, err
	}
	if !codePattern.MatchString(o.Code) {
		return outcome{}, fmt.Errorf("%.80q is no code", o.Code)
	}
	o.Message = protocol.Clip(o.Message)
	return o, nil
}

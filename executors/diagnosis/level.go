package diagnosis

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"devserver-agent/executors"
	"devserver-agent/executors/ascend"
)

// Level is how deep a diagnosis goes. The light checks belong to all.
type Level string

// The levels; the latter two have the NPUs to themselves, for up to three and up to
// ten hours.
const (
	Health      Level = "health"
	Performance Level = "performance"
	Stress      Level = "stress"
)

func (l Level) scenes() []scene {
	switch l {
	case Performance:
		return []scene{{"performance", "performanceCheck", 4 * time.Hour}}
	case Stress:
		return []scene{{"stress", "stressTest", 12 * time.Hour}}
	}
	return nil
}

// scene is a combination of ascend-dmi's tests, of MindX ToolBox ("one-click
// combined diagnosis" in its user guide).
type scene struct {
	name     string // of the outcome, and of the step
	argument string
	timeout  time.Duration
}

const dmi = "ascend-dmi"

// run has ascend-dmi go through the scene. It needs NPUs that nobody uses: whether
// it is started is decided once. The error is one that ends the item.
func (c scene) run(ctx context.Context, host executors.Host) (Outcome, error) {
	began := time.Now()
	reason, err := executors.Memo(ctx, host, c.name+"-obstacle", func(ctx context.Context) (string, error) { return obstacle(ctx, host) })
	if err != nil {
		return Outcome{}, err
	}
	if reason != "" {
		return NewOutcome(c.name, Finding{Grade: Skip, What: reason}), nil
	}
	var printed bytes.Buffer
	exit, err := host.Command(ctx, executors.Command{
		Step: c.name, Argv: []string{dmi, "--dg", "--se", c.argument, "-q"}, Timeout: c.timeout, Kill: executors.KillTree,
		Watch: func(piece []byte) { printed.Write(piece) },
	})
	switch {
	case errors.Is(err, executors.ErrNotFound):
		return NewOutcome(c.name, Finding{Skip, dmi + " not found", "Install MindX ToolBox, or set tools.ascend_dmi in the agent's configuration."}), nil
	case errors.Is(err, executors.ErrInterrupted):
		return NewOutcome(c.name, Finding{Warn, "the test was cut in the middle", "Create the job again."}), nil
	case errors.Is(err, executors.ErrTimeout):
		return NewOutcome(c.name, Finding{Fail, fmt.Sprintf("%s did not end within %v", dmi, c.timeout), "See npu-smi info on the host; a card that hangs needs a restart."}), nil
	case err != nil:
		return Outcome{}, err
	}
	o := NewOutcome(c.name, judgeScene(printed.Bytes(), exit.Code)...)
	o.TookMS = max(exit.Took, time.Since(began)).Milliseconds()
	return o, nil
}

// obstacle is why ascend-dmi must not be started now, "" if it may.
func obstacle(ctx context.Context, host executors.Host) (string, error) {
	var users []string
	for _, h := range ascend.Holders(host.Files()) {
		users = append(users, h.String())
	}
	containers, err := ascend.NewNode(host).Containers(ctx)
	if ctx.Err() != nil {
		return "", context.Cause(ctx)
	}
	if err != nil {
		users = append(users, fmt.Sprintf("containers, perhaps: %v", err))
	}
	for _, c := range containers {
		users = append(users, c.String())
	}
	if len(users) == 0 {
		return "", nil
	}
	return shorten("not run: NPUs are in use by " + strings.Join(users, ", ")), nil
}

// The words that are good news; Huawei's full list of words was not found, so any
// other is none.
var goodWords = []string{"PASS", "HEALTH"}

var (
	itemLine = regexp.MustCompile(`^ {2,8}([A-Za-z][A-Za-z0-9]{1,40}):\s*$`)
	wordLine = regexp.MustCompile(`^\s+([A-Z][A-Z_]{2,30})\s*$`)
)

// judgeScene reads what ascend-dmi prints: groups, in them items, and below each its
// word and more sentences.
func judgeScene(out []byte, code int) []Finding {
	var found []Finding
	item, passed := "", 0
	for line := range strings.Lines(string(out)) {
		line = strings.TrimRight(line, "\r\n")
		if match := itemLine.FindStringSubmatch(line); match != nil {
			item = match[1]
			continue
		}
		match := wordLine.FindStringSubmatch(line)
		switch {
		case item == "":
		case match != nil && slices.Contains(goodWords, match[1]):
			passed++
		case match != nil && match[1] == "SKIP":
			found = append(found, Finding{Grade: Skip, What: item + ": skipped by " + dmi})
		case match != nil:
			found = append(found, Finding{Fail, item + ": " + match[1], "See the task's output and Huawei's guide to " + dmi + "; have the card repaired if it comes again."})
		case len(found) > 0 && strings.HasPrefix(found[len(found)-1].What, item+": ") && strings.TrimSpace(line) != "":
			found[len(found)-1].What += ", " + strings.TrimSpace(line)
		}
	}
	if code != 0 && !slices.ContainsFunc(found, func(f Finding) bool { return f.Grade == Fail }) {
		found = append(found, Finding{Fail, fmt.Sprintf("%s ended with exit status %d: %s", dmi, code, ascend.Excerpt(out)), "See the task's output."})
	}
	if passed == 0 && len(found) == 0 {
		found = append(found, Finding{Fail, dmi + " says nothing of any test: " + ascend.Excerpt(out), "See the task's output."})
	}
	return found
}

package diagnosis

import (
	"context"
	"errors"
	"fmt"
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
	alone := func(f Finding) (Outcome, error) {
		o := NewOutcome(c.name, f)
		o.Examined = dmi
		return o, nil
	}
	reason, err := executors.Memo(ctx, host, c.name+"-obstacle", func(ctx context.Context) (string, error) { return obstacle(ctx, host) })
	if err != nil {
		return Outcome{}, err
	}
	if reason != "" {
		return alone(Finding{Grade: Skip, What: reason})
	}
	var printed sceneReader
	exit, err := host.Command(ctx, executors.Command{
		Step: c.name, Argv: []string{dmi, "--dg", "--se", c.argument, "-q"}, Timeout: c.timeout, Kill: executors.KillTree,
		Watch: printed.read,
	})
	switch {
	case errors.Is(err, executors.ErrNotFound):
		return alone(Finding{Skip, dmi + " not found", "Install MindX ToolBox, or set tools.ascend_dmi in the agent's configuration."})
	case errors.Is(err, executors.ErrInterrupted):
		return alone(Finding{Warn, "the test was cut in the middle", "Create the job again."})
	case errors.Is(err, executors.ErrTimeout):
		return alone(Finding{Fail, fmt.Sprintf("%s did not end within %v", dmi, c.timeout), "See npu-smi info on the host; a card that hangs needs a restart."})
	case err != nil:
		return Outcome{}, err
	}
	examined, found := printed.judge(exit.Code)
	o := NewOutcome(c.name, found...)
	o.Examined = examined
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

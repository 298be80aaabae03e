//go:build faults

package step

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"devserver-agent/agent/failpoint"
	"devserver-agent/test/support/wait"
)

// Each named place at which an attempt can be cut, and what the next agent makes
// of it. Whatever it is, the program never runs twice.
func TestAnAttemptThatIsCutAnywhere(t *testing.T) {
	for _, c := range []struct {
		at   string
		want error
		runs string
	}{
		{failpoint.StepPrepared, ErrAbandoned, ""},
		{failpoint.ShimStarted, ErrInterrupted, ""},
		{failpoint.StepStarted, nil, "ran\n"},
		{failpoint.ShimEnded, ErrInterrupted, "ran\n"},
		{failpoint.StepEnded, nil, "ran\n"},
	} {
		t.Run(c.at, func(t *testing.T) {
			tr := try(t, `echo ran >> $D/runs`)
			tr.asked()
			agent := command(os.Args[0], "agent", tr.Dir)
			agent.Env = append(os.Environ(), "DEVSERVER_AGENT_FAILPOINT="+c.at)
			err := agent.Run()
			inAgent := c.at == failpoint.StepPrepared || c.at == failpoint.StepStarted || c.at == failpoint.StepEnded
			if killed := agent.ProcessState.ExitCode() == -1; killed != inAgent {
				t.Fatalf("the agent was killed %v (%v), want %v", killed, err, inAgent)
			}
			wait.For(tr, "its shim is known", func() bool {
				_, err := ReadStarted(tr.Dir)
				return err == nil || c.at == failpoint.StepPrepared
			})
			for range 2 { // the next agent, and one after it whose shim comes too
				if _, err := tr.wait(nil); !errors.Is(err, c.want) {
					t.Errorf("the next agent sees %v, want %v", err, c.want)
				}
				<-tr.start()
			}
			runs, err := os.ReadFile(filepath.Join(tr.folder, "runs"))
			if err != nil && !errors.Is(err, fs.ErrNotExist) || string(runs) != c.runs {
				t.Errorf("it ran as often as this: %q (%v), want %q", runs, err, c.runs)
			}
		})
	}
}

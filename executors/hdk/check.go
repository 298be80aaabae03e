package hdk

import (
	"context"
	"errors"
	"fmt"
	"time"

	"devserver-agent/executors"
	"devserver-agent/executors/hdk/repository"
	"devserver-agent/protocol"
)

// checkLimit is how long an archive may take to check itself: some hundred megabytes, and
// twice as much to unpack.
const checkLimit = 10 * time.Minute

// checkArchives has every archive of the plan check itself, those of a rollback too,
// before anything is installed or taken from the host: an archive can be damaged although
// it is just the file that the index declares. What Huawei's packages do then is all that
// they do before they install: sums, unpacking, the start of their script. All that
// are damaged are in one error; what the next would find as well ends it at once.
func (r *run) checkArchives(ctx context.Context) error {
	if !r.plan.Checks {
		return nil // it was planned by an agent that had no such steps
	}
	var found []finding
	for _, part := range []struct {
		prefix   string
		installs []install
	}{{"check-", r.plan.Installs}, {"check-rollback-", r.plan.RollbackPackages}} {
		for _, i := range part.installs {
			f, err := r.checkArchive(ctx, part.prefix+string(i.Package.Kind), i)
			if err != nil {
				return err
			}
			if f.Blocks {
				found = append(found, f)
			}
			if f.Code != protocol.HDKPackageDamaged && f.Blocks {
				return plan{Before: r.plan.Before, Findings: found}.blockedError() // the next would find the same
			}
		}
	}
	if len(found) == 0 {
		return nil
	}
	return plan{Before: r.plan.Before, Findings: found}.blockedError()
}

// checkArchive checks one archive; what is wrong blocks. An rpm or deb has no check of its
// own and was read through when it was fetched.
func (r *run) checkArchive(ctx context.Context, step string, i install) (finding, error) {
	if i.Package.Format() != repository.Run {
		return finding{}, nil
	}
	path, err := r.archive(ctx, step, i)
	if err != nil {
		return finding{}, err
	}
	r.host.Progress(planShare, fmt.Sprintf("checking the archive of %s", i))
	f, killed, err := r.runCheck(ctx, step, path, i)
	if killed && err == nil { // by somebody, or for want of memory: it changes nothing, so it may run again
		f, _, err = r.runCheck(ctx, step+"-again", path, i)
	}
	return f, err
}

// runCheck has an archive check itself. killed reports that a signal of others ended it.
func (r *run) runCheck(ctx context.Context, step, path string, i install) (f finding, killed bool, err error) {
	for range 2 {
		t := &transcript{}
		exit, err := r.host.Command(ctx, executors.Command{
			Step: step, Argv: []string{path, "--check"}, SHA256: i.Package.SHA256, Temp: true, Timeout: checkLimit,
			Kill: executors.KillTree, Watch: t.write, GiveUp: t.hopeless,
		})
		t.close()
		switch {
		case errors.Is(err, executors.ErrInterrupted):
			continue
		case errors.Is(err, executors.ErrTimeout):
			return blocking(protocol.ToolTimeout, "the archive of %s did not check itself within %v", i, checkLimit), false, nil
		case err != nil && !errors.Is(err, executors.ErrGivenUp):
			return finding{}, false, err
		}
		return t.checked(i, exit, err != nil), err == nil && exit.Signal != "", nil
	}
	return blocking(protocol.StepInterrupted, "the check of the archive of %s was cut in the middle twice", i), false, nil
}

// checked is what an archive's own check came to. One that ends well may have complained
// of what does not matter to it; only an error of the installer itself does.
func (t *transcript) checked(i install, exit executors.Exit, givenUp bool) finding {
	why := ""
	switch {
	case givenUp || exit.Signal != "":
		why = t.cut(exit, givenUp)
	case exit.Code != 0 && t.question != "" && len(t.errors) == 0:
		why = t.why()
	case exit.Code != 0 || len(t.errors) > 0:
		why = fmt.Sprintf("%s (exit code %d)", t.said(), exit.Code)
	default:
		return finding{}
	}
	f := blocking(protocol.HDKHostNotReady, "the archive of %s fails its own check: %s", i, why)
	f.Remedy = t.whatToDo(exit.Code)
	if code := codeIn(t.complaints()); code != "" {
		f.Code = code
	}
	return f
}

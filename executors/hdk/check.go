package hdk

import (
	"context"
	"errors"
	"fmt"
	"strings"
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
// they do before they install: sums, unpacking, the start of their script. Everything that
// is found is in one error.
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
	path, err := r.ready(ctx, i.Package, nil)
	if err != nil {
		return finding{}, r.notAsPlanned(ctx, i, err)
	}
	r.host.Progress(planShare, fmt.Sprintf("checking the archive of %s", i))
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
			return blocking(protocol.ToolTimeout, "the archive of %s did not check itself within %v", i, checkLimit), nil
		case err != nil && !errors.Is(err, executors.ErrGivenUp):
			return finding{}, err
		}
		return t.checked(i, exit), nil
	}
	return blocking(protocol.StepInterrupted, "the check of the archive of %s was cut in the middle twice", i), nil
}

// Codes of what a check may find, by a sentence of makeself, tar or the shell.
var checkCodes = []struct {
	remedy string
	code   protocol.Code
}{
	{damaged, protocol.HDKPackageDamaged},
	{"Make room", protocol.HDKDiskSpace},
}

// checked is what an archive's own check came to.
func (t *transcript) checked(i install, exit executors.Exit) finding {
	why := t.why()
	switch {
	case why != "":
	case exit.Signal != "":
		why = fmt.Sprintf("it was ended by a signal (%s)", exit.Signal)
	case exit.Code != 0 || len(t.errors) > 0:
		why = fmt.Sprintf("%s (exit code %d)", t.said(), exit.Code)
	default:
		return finding{}
	}
	f := blocking(protocol.HDKHostNotReady, "the archive of %s fails its own check: %s", i, why)
	f.Remedy = t.whatToDo(exit.Code)
	for _, c := range checkCodes {
		if strings.HasPrefix(f.Remedy, c.remedy) {
			f.Code = c.code
		}
	}
	return f
}

// notAsPlanned is the error of a package that could be fetched when the plan was made.
func (r *run) notAsPlanned(ctx context.Context, i install, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return executors.Fail(protocol.HDKPackageDamaged, "The package of %s is not as it was when the upgrade was planned: %w. Now: %s. Check the repository and the host's disk, then create the job again.",
		i, err, r.now(ctx))
}

package hdk

import (
	"context"
	"errors"
	"fmt"

	"devserver-agent/executors"
	"devserver-agent/protocol"
)

// archive is where the package of a step is, verified. A replay of a step that was begun
// asks for it as it was begun, whatever has become of the file and of the repository: what
// the step came to is what counts then. (Where the agent died between this record and the
// step's, and the file was damaged too, the archive's own sums are left.)
func (r *run) archive(ctx context.Context, step string, i install) (string, error) {
	path, missing := r.ready(ctx, i.Package, nil)
	path, err := executors.Memo(ctx, r.host, "archive-"+step, func(context.Context) (string, error) { return path, missing })
	if err != nil && missing != nil {
		return "", r.notAsPlanned(ctx, i, missing)
	}
	return path, err
}

// spoilt is the error of an installer whose package went bad after the host was changed, in
// an upgrade that is to be rolled back then.
type spoilt struct {
	*executors.Failure
	why string
}

func (s spoilt) Unwrap() error { return s.Failure }

// archiveMidway is archive after the host was changed. That the package went bad is
// remembered: the rollback that this begins goes on, although it may be there again.
func (r *run) archiveMidway(ctx context.Context, step string, i install) (string, error) {
	if !r.order.rollback {
		return r.archive(ctx, step, i)
	}
	path := ""
	why, err := executors.Memo(ctx, r.host, "spoilt-"+step, missing[string])
	if errors.Is(err, errNoMemo) {
		var failure *executors.Failure
		path, err = r.archive(ctx, step, i)
		if errors.As(err, &failure) && failure.Code == protocol.HDKPackageDamaged {
			why, err = executors.Memo(ctx, r.host, "spoilt-"+step, func(context.Context) (string, error) { return whyNotAsPlanned(i, failure.Err), nil })
		}
	}
	if err == nil && why != "" {
		err = spoilt{executors.Fail(protocol.HDKPackageDamaged, "%s Now: %s. %s", why, r.now(ctx), packageRemedy), why}
	}
	return path, err
}

// notAsPlanned is the error of a package that could be fetched when the plan was made.
func (r *run) notAsPlanned(ctx context.Context, i install, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	failure := executors.Fail(protocol.HDKPackageDamaged, "%s Now: %s. %s", whyNotAsPlanned(i, err), r.now(ctx), packageRemedy)
	failure.Err = err
	return failure
}

const packageRemedy = "Check the repository and the host's disk, then create the job again."

func whyNotAsPlanned(i install, err error) string {
	return fmt.Sprintf("The package of %s is not as it was when the upgrade was planned: %v.", i, err)
}

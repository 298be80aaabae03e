package hdk

import (
	"context"
	"errors"
	"fmt"
	"time"

	"devserver-agent/executors"
	"devserver-agent/executors/ascend"
	"devserver-agent/executors/hdk/repository"
	"devserver-agent/protocol"
)

// How the progress of an item is shared, in percent.
const (
	planShare    = 10
	installShare = 80 // after the plan; what is left is to be seen running
)

// install runs the plan's installers in their order.
func (r *run) install(ctx context.Context) (executors.Result, error) {
	// From here on a cancel waits for the last installer, on replays too: a recorded
	// installer must be asked for again, whatever was cancelled.
	if err := r.commit(ctx, "begin"); err != nil {
		return executors.Result{}, err
	}
	workCtx, done := executors.WithoutCancel(ctx)
	defer done()
	first := len(r.plan.MCU.Cards)
	of := first + len(r.plan.Installs)
	if err := r.writeControllers(workCtx, of); err != nil {
		return executors.Result{}, err
	}
	restart := r.plan.Strategy == strategyRestart
	for n, i := range r.plan.Installs {
		if n > 0 && (r.plan.Strategy == strategyRepair || r.plan.Strategy == strategyFirst && restart) {
			if err := r.rebootForDriver(ctx, workCtx, i); err != nil {
				return executors.Result{}, err
			}
			restart = false
		}
		j, err := r.step(workCtx, "install-", i, first+n, of)
		if gone := (spoilt{}); errors.As(err, &gone) {
			return r.rollBack(ctx, workCtx, gone.why, packageRemedy)
		}
		if err != nil {
			return executors.Result{}, err
		}
		if j.Effect == failed {
			return r.failed(ctx, workCtx, i, j)
		}
		restart = restart || j.Effect == pending
	}
	if r.order.rollback && len(r.plan.Installs) > 0 {
		return r.verifyOrRollBack(ctx, workCtx, restart)
	}
	if ctx.Err() != nil {
		return executors.Result{}, r.stopped(workCtx, allInstalled+" "+r.restarted())
	}
	return r.finishInstall(ctx, restart)
}

// logSlack is how much older a log may be than the start of the run that it is about: the
// times of files are those of the kernel's last tick. The installer before this one may have
// written there just before.
const logSlack = 10 * time.Millisecond

const allInstalled = "All that was to be installed is."

// restarted says whether the host was restarted in the middle of the installation.
func (r *run) restarted() string {
	if r.driverRevived {
		return "The host was restarted after the driver was installed, and not since."
	}
	return "The host was not restarted."
}

// commit records that the upgrade went past a point, unless ctx ended before.
func (r *run) commit(ctx context.Context, name string) error {
	_, err := executors.Memo(ctx, r.host, name, func(ctx context.Context) (bool, error) {
		if ctx.Err() != nil {
			return false, context.Cause(ctx)
		}
		return true, nil
	})
	return err
}

// installState is what Execute leaves for Verify.
type installState struct {
	Boot    string `json:"boot"`
	Kernel  string `json:"kernel,omitempty"` // which the driver was built for
	Pending bool   `json:"pending"`
}

// finishInstall ends Execute: what is installed, and whether it waits for a restart.
func (r *run) finishInstall(ctx context.Context, restart bool) (executors.Result, error) {
	l, err := executors.Memo(ctx, r.host, "left", func(context.Context) (installState, error) {
		return installState{r.host.Boot(), ascend.Kernel(r.host.Files()), restart}, nil
	})
	if err != nil {
		return executors.Result{}, err
	}
	r.host.Progress(planShare+installShare, "installed")
	return executors.Result{Message: "Installed: " + r.plan.Target.String() + ".", RebootRequired: l.Pending}, nil
}

// step runs one installer to its end and judges it.
func (r *run) step(ctx context.Context, prefix string, i install, n, of int) (judgement, error) {
	awaitRoom := func(when string) error {
		return r.awaitRoom(ctx, when+prefix+string(i.Package.Kind), i, planShare+installShare*n/of)
	}
	if err := awaitRoom("room-"); err != nil {
		return judgement{}, err
	}
	command, t, err := r.command(ctx, prefix, i, n, of)
	if err != nil {
		return judgement{}, err
	}
	exit, err := r.host.Command(ctx, command)
	if errors.Is(err, executors.ErrInterrupted) {
		if i.Former, err = r.lookAgain(ctx, command.Step, i); err != nil {
			return judgement{}, err
		}
		if err := awaitRoom("room-again-"); err != nil {
			return judgement{}, err
		}
		*t = transcript{flashes: t.flashes, progress: t.progress}
		exit, err = r.host.Command(ctx, command)
	}
	if errors.Is(err, executors.ErrInterrupted) {
		return judgement{}, executors.Fail(protocol.StepInterrupted, "The installer of %s was cut in the middle twice: %w. Now: %s. See why the host or the installer goes down, then create the job again.",
			i, err, r.now(ctx))
	}
	givenUp := errors.Is(err, executors.ErrGivenUp)
	if err != nil && !givenUp {
		return judgement{}, err
	}
	t.close()
	return executors.Memo(ctx, r.host, "judged-"+command.Step, func(context.Context) (judgement, error) {
		node := ascend.NewNode(r.host)
		installed := node.InstalledDriver
		if i.Package.Kind == repository.Firmware {
			installed = node.InstalledFirmware
		}
		info, err := installed()
		t.readLog(r.host.Files(), exit.Began.Add(-logSlack))
		return ended{exit, i.Package.Format(), givenUp, t, info, err, i.Package.Version, i.Former}.judge(), nil
	})
}

// command prepares an installer: the package is verified in the item's own
// folder and run from there.
func (r *run) command(ctx context.Context, prefix string, i install, n, of int) (executors.Command, *transcript, error) {
	step := prefix + string(i.Package.Kind)
	fetch := r.archive
	if n > len(r.plan.MCU.Cards) {
		fetch = r.archiveMidway
	}
	path, err := fetch(ctx, step, i)
	if err != nil {
		return executors.Command{}, nil, err
	}
	progress := func(percent int, what string) {
		done := (float64(n) + float64(percent)/100) / float64(of)
		r.host.Progress(planShare+int(done*installShare), fmt.Sprintf("installing %s%s", i, what))
	}
	t := &transcript{flashes: i.Package.Kind == repository.Firmware, progress: func(percent int) {
		progress(percent, fmt.Sprintf(": %d%%", percent))
	}}
	progress(0, "")
	asks := ""
	watch := func(piece []byte) {
		t.write(piece)
		if t.flashing && t.open != asks { // it is not ended for it, so somebody should know
			if asks = t.open; asks != "" {
				progress(t.percent, fmt.Sprintf(": it asks %q", asks))
			}
		}
	}
	var env []string
	if i.Package.Format() == repository.Deb {
		env = append(env, "DEBIAN_FRONTEND=noninteractive")
	}
	argv, digest := i.argv(path), ""
	if argv[0] == path {
		digest = i.Package.SHA256
	}
	// Temp, because a makeself package unpacks into $TMPDIR/selfgzPID where the shell has no
	// RANDOM (its header, makeself 2.4), and fails if that exists: after a power cut it may.
	return executors.Command{
		SHA256: digest,
		Step:   step, Argv: argv,
		Env: env, Temp: true, Timeout: r.Limit, Kill: executors.KillNever, Watch: watch, GiveUp: t.hopeless,
	}, t, nil
}

// lookAgain looks at the host after an installer was cut, before one more attempt at it,
// and returns what version.info names now. The plan stays, and with it the order, whatever
// the first attempt deleted. A firmware needs a driver that runs.
func (r *run) lookAgain(ctx context.Context, step string, i install) (installed *ascend.Version, err error) {
	if _, err := r.archiveMidway(ctx, "again-"+step, i); err != nil {
		return nil, err
	}
	seen, err := executors.Memo(ctx, r.host, "again-"+step, func(ctx context.Context) (inventory, error) {
		seen, err := r.takeInventory(ctx)
		if err == nil {
			r.host.Printf("\n[the installer of %s was cut in the middle; now: %s; it is started once more]\n", i, seen.Message)
		}
		return seen, err
	})
	if err != nil || i.Package.Kind == repository.Driver {
		return &seen.Driver, err
	}
	return &seen.Firmware, r.awaitDriver(ctx, "awaited-"+step, fmt.Sprintf("the installer of %s was cut in the middle, so it cannot be started again", i))
}

// rebootForDriver has the host restarted, so that the driver that was just installed runs
// and the firmware can be installed through it. Where the task allows no restart
// it is enough that the driver answers already.
func (r *run) rebootForDriver(ctx, workCtx context.Context, next install) error {
	err := r.host.Restart(ctx, "driver")
	if errors.Is(err, executors.ErrNoRestart) {
		answers, err := executors.Memo(workCtx, r.host, "answers", func(ctx context.Context) (bool, error) {
			seen, err := r.takeInventory(ctx)
			return seen.Down == "" && seen.runsDriver(r.plan.Target.Driver), err
		})
		if err != nil || answers {
			return err
		}
		if installed, err := ascend.NewNode(r.host).InstalledDriver(); err != nil || installed.Version != r.plan.Target.Driver {
			return executors.Fail(protocol.HDKInstallFailed, "The installer of driver %s says that it succeeded, and version.info does not name that version. Nothing was restarted, %s was not begun. Now: %s. See the task's output and /var/log/ascend_seclog/ascend_install.log on the host for the cause, remove it"+againThen,
				r.plan.Target.Driver, next, r.now(workCtx))
		}
		return executors.Fail(protocol.RebootRequired, "Driver %s is installed; %s was not, because it needs a driver that runs and the task allows no restart. Now: %s. Restart the host, then create the job again; or create it with is_reboot.",
			r.plan.Target.Driver, next, r.now(workCtx))
	}
	if err != nil {
		if ctx.Err() != nil && !errors.Is(err, executors.ErrStopping) {
			return r.stopped(workCtx, fmt.Sprintf("Driver %s was installed, %s was not begun. The host was not restarted.", r.plan.Target.Driver, next))
		}
		return err
	}
	r.driverRevived = true
	return r.awaitDriver(workCtx, "revived", "it was installed, so the firmware cannot be")
}

// awaitDriver waits until the driver lists its cards, after something that it says.
func (r *run) awaitDriver(ctx context.Context, memo, after string) error {
	answers, err := executors.Memo(ctx, r.host, memo, func(ctx context.Context) (bool, error) {
		seen, err := r.watchFor(ctx, func(s inventory) (done, certain bool) { return s.Down == "", false })
		return seen.Down == "", err
	})
	if err == nil && !answers {
		said, remedy := "not known", "See dmesg and /var/log/ascend_seclog/ascend_install.log on the host."
		if seen, err := r.takeInventory(ctx); err == nil {
			said = seen.Message
			remedy += seen.hint()
		}
		err = executors.Fail(protocol.HDKDriverDown, "The driver does not answer %s after %s. Now: %s. %s", r.Patience, after, said, remedy)
	}
	return err
}

// now is what HDK_QUERY would say now, for messages.
func (r *run) now(ctx context.Context) string {
	said, err := r.message(ctx)
	if err != nil {
		return "not known"
	}
	return said
}

// stopped is the failure of an upgrade whose task was cancelled, or ran out of
// time, meanwhile: it says what is there now.
func (r *run) stopped(ctx context.Context, done string) error {
	return executors.Fail(protocol.TaskCancelled, "%s Now: %s. What is installed and does not run yet becomes active at the next restart.", done, r.now(ctx))
}

// failed ends an upgrade whose installer failed, by a rollback if one is asked
// for and may begin.
func (r *run) failed(ctx, workCtx context.Context, i install, j judgement) (executors.Result, error) {
	remedy := j.Remedy
	if remedy == "" {
		remedy = "See the task's output and /var/log/ascend_seclog/ascend_install.log on the host for the cause, remove it" + againThen
	}
	why := fmt.Sprintf("The installer of %s failed: %s.", i, j.Reason)
	if len(r.plan.MCU.Cards) > 0 {
		why += fmt.Sprintf(" The MCUs run %s and keep it.", r.plan.MCU.Version)
	}
	if r.order.rollback {
		return r.rollBack(ctx, workCtx, why, remedy)
	}
	return executors.Result{}, executors.Fail(protocol.HDKInstallFailed, "%s %s Now: %s. %s", why, r.restarted(), r.now(workCtx), remedy)
}

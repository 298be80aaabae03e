package hdk

import (
	"context"
	"time"

	"devserver-agent/executors"
	"devserver-agent/executors/ascend"
	"devserver-agent/executors/hdk/repository"
	"devserver-agent/protocol"
)

// Upgrade is HDK_UPGRADE: it brings driver and firmware of all cards to one
// version and sees them run.
//
// What it does is decided once, in the memo "plan"; then installers run, one
// step each; what they came to is judged by their exit code and their text; and
// Verify looks at every card after the restart, or at once where there is none.
// What was installed becomes active at a restart, which is the agent's; in
// between, the executor has the host restarted only where the firmware needs a
// driver that runs first.
//
// If the agent or the host dies
//
//	before the plan is recorded        -> it is made again, nothing was touched; a download goes on where it ended
//	while an installer runs            -> re-attached; cut with the host: one more numbered attempt, by the same plan
//	after an installer, before a memo  -> its text is read again and judged the same
//	after a memo                       -> the replay comes to the same point
//
// A cancel is obeyed before the first installer and after the last.
type Upgrade struct {
	// Source gives the packages; nil: no repository is configured.
	Source repository.Source
	// Cache keeps them.
	Cache *repository.Cache
	// Arch is the host's, as uname -m says it; "": this machine's.
	Arch string
	// Patience is how long a driver may take to answer after a restart; 0: 20 min.
	Patience time.Duration
	// SecondLook is how long cards that are not as they should be may take to
	// become so; 0: 10 s.
	SecondLook time.Duration
	// Every is the pause between looks at a driver that does not answer; 0: 5 s.
	Every time.Duration
	// Limit is how long one installer may run before the task ends without it;
	// it is not killed even then; 0: 1 h.
	Limit time.Duration
	// Rest is how long a card's MCU rests when writing its image was cut; 0: 10 min.
	Rest time.Duration
	// Settle is how long an MCU may take to run a new image; 0: 2 min.
	Settle time.Duration
	// Free is how many bytes are free on the disk of a folder; nil: as statfs(2) says.
	Free func(dir string) (int64, error)
	// NoExec reports whether files in a folder may not be executed; nil: as statfs(2) says.
	NoExec func(dir string) bool
	// AtOnce is how many cards are asked at a time; 0: ascend.CardsAtOnce.
	AtOnce int
	// Hooks are run around what is done.
	Hooks Hooks
}

// order is what an item asks for.
type order struct {
	driver   ascend.Version
	firmware ascend.Version // "": the release's
	mcu      ascend.Version // "": as it is
	force    bool
	rollback bool
	dryRun   bool
}

func parseOrder(spec executors.Spec) (order, error) {
	o := order{force: spec["force"] == "true", rollback: spec["rollback"] == "true", dryRun: spec["dry_run"] == "true"}
	var err error
	if o.driver, err = ascend.ParseVersion(spec["version"]); err != nil {
		return order{}, executors.Fail(protocol.SpecInvalid, "spec.version: %w. Nothing was started. Give a version such as 24.1.0.3.", err)
	}
	if text := spec["firmware_version"]; text != "" {
		if o.firmware, err = ascend.ParseVersion(text); err != nil {
			return order{}, executors.Fail(protocol.SpecInvalid, "spec.firmware_version: %w. Nothing was started. Give a version such as 7.5.0.5.220.", err)
		}
	}
	if text := spec["mcu_version"]; text != "" {
		if o.mcu, err = ascend.ParseVersion(text); err != nil {
			return order{}, executors.Fail(protocol.SpecInvalid, "spec.mcu_version: %w. Nothing was started. Give a version such as 25.50.10.", err)
		}
	}
	return o, nil
}

// run is one replay of an upgrade.
type run struct {
	Upgrade
	host  executors.Host
	order order
	plan  plan
	// kernel is the one the driver was built for, "" while none was.
	kernel string
	// driverRevived is that the host was restarted between driver and firmware.
	driverRevived bool
}

// Execute plans, checks and installs.
func (u Upgrade) Execute(ctx context.Context, host executors.Host, spec executors.Spec) (executors.Result, error) {
	o, err := parseOrder(spec)
	if err != nil {
		return executors.Result{}, err
	}
	r := &run{Upgrade: u.withDefaults(), host: host, order: o}
	if r.plan, err = executors.Memo(ctx, host, "plan", r.makePlan); err != nil {
		return executors.Result{}, err
	}
	if r.plan.blocked() {
		return executors.Result{}, r.plan.blockedError()
	}
	if err := r.checkArchives(ctx); err != nil {
		return executors.Result{}, err
	}
	switch {
	case o.dryRun:
		host.Progress(100, "planned")
		return executors.Result{Message: r.plan.summary(), Unchanged: true}, nil
	case r.plan.Strategy == strategyNone:
		host.Progress(100, "nothing to do")
		return r.withControllers(ctx, executors.Result{Message: r.plan.nothingToDo(), Unchanged: true})
	case r.plan.Strategy == strategyRestart && len(r.plan.MCU.Cards) == 0:
		return r.withHooks(ctx, func(ctx context.Context) (executors.Result, error) { return r.finishInstall(ctx, true) })
	}
	return r.withHooks(ctx, r.install)
}

func (u Upgrade) withDefaults() Upgrade {
	orElse := func(d *time.Duration, other time.Duration) {
		if *d == 0 {
			*d = other
		}
	}
	orElse(&u.Patience, 20*time.Minute)
	orElse(&u.SecondLook, 10*time.Second)
	orElse(&u.Every, 5*time.Second)
	orElse(&u.Limit, time.Hour)
	orElse(&u.Rest, 10*time.Minute)
	orElse(&u.Settle, 2*time.Minute)
	if u.Free == nil {
		u.Free = freeAt
	}
	if u.NoExec == nil {
		u.NoExec = noExecAt
	}
	if u.Arch == "" {
		u.Arch = machine()
	}
	return u
}

// pause waits, or returns the cause of ctx.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

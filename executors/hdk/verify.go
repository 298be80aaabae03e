package hdk

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"devserver-agent/executors"
	"devserver-agent/executors/ascend"
	"devserver-agent/protocol"
)

// Verify sees the cards run the target: every card of the plan is there, as
// healthy as before. A driver that does not answer yet is waited for; cards that
// answer otherwise get a second look.
func (u Upgrade) Verify(ctx context.Context, host executors.Host, spec executors.Spec) (executors.Result, error) {
	o, err := parseOrder(spec)
	if err != nil {
		return executors.Result{}, err
	}
	r := &run{Upgrade: u.withDefaults(), host: host, order: o}
	if r.plan, err = executors.Memo(ctx, host, "plan", missing[plan]); err != nil {
		return executors.Result{}, err
	}
	switch {
	case o.dryRun:
		return executors.Result{Message: r.plan.summary(), Unchanged: true}, nil
	case r.plan.Strategy == strategyNone:
		return r.withControllers(ctx, executors.Result{Message: r.plan.nothingToDo(), Unchanged: true})
	}
	result, err := r.verify(ctx)
	if err == nil {
		result, err = r.withControllers(ctx, result)
	}
	if errors.Is(err, executors.ErrStopping) {
		return executors.Result{}, err
	}
	workCtx, done := executors.WithoutCancel(ctx)
	defer done()
	return r.runAfterHooks(workCtx, executors.VerifyPrefix, result, err)
}

// verify is what the cards say after the restart.
func (r *run) verify(ctx context.Context) (executors.Result, error) {
	l, err := executors.Memo(ctx, r.host, "left", missing[installState])
	if err != nil {
		return executors.Result{}, err
	}
	if boot := r.host.Boot(); l.Pending && (l.Boot == boot || l.Boot == "" || boot == "") { // not known to be restarted
		return r.unproven(ctx)
	}
	r.kernel = l.Kernel
	v, err := r.verdict(ctx, r.plan.Target)
	if err != nil {
		return executors.Result{}, err
	}
	if v.Code != "" {
		return executors.Result{}, executors.Fail(v.Code, "%s", v.Message)
	}
	r.host.Progress(100, "verified")
	return executors.Result{Message: v.Message}, nil
}

var errNoMemo = errors.New("the item was not executed")

func missing[T any](context.Context) (none T, err error) { return none, errNoMemo }

// unproven is the result of an installation that waits for a restart which the
// task does not ask for. Chips that were reset hot may run it all the same.
func (r *run) unproven(ctx context.Context) (executors.Result, error) {
	seen, err := r.takeInventory(ctx)
	if err != nil {
		return executors.Result{}, err
	}
	r.host.Progress(100, "installed")
	switch {
	case seen.runs(r.plan.Target):
		return executors.Result{Message: seen.Message}, nil
	case len(r.plan.Installs) > 0 && (seen.Driver != r.plan.Target.Driver || seen.Firmware != r.plan.Target.Firmware):
		return executors.Result{}, executors.Fail(protocol.HDKInstallFailed, "The installers say that they succeeded, and version.info does not name %s. The host was not restarted. Now: %s. See the task's output and /var/log/ascend_seclog/ascend_install.log on the host for the cause, remove it"+againThen,
			r.plan.Target, seen.Message)
	}
	return executors.Result{
		Message: fmt.Sprintf("%s. %s is installed and becomes active after a restart of the host: restart it when its work allows, or create the job with is_reboot.", seen.Message, capital(r.plan.Target.String())),
		Code:    protocol.RebootRequired, RebootRequired: true,
	}, nil
}

// verdict is what was seen at last. Code is "" when all is as it should be.
type verdict struct {
	Code    protocol.Code `json:"code,omitempty"`
	Message string        `json:"message"`
}

// verdict waits for the cards to run target and says how they are.
func (r *run) verdict(ctx context.Context, target release) (verdict, error) {
	seen, err := r.watchFor(ctx, func(s inventory) (done, certain bool) {
		return r.wrong(s, target).Code == "", s.Down == ""
	})
	if err != nil {
		return verdict{}, err
	}
	return r.wrong(seen, target), nil
}

// watchFor takes inventories until done, or until what is seen is not going to change: a
// driver that does not answer has all of Patience, one that answers otherwise
// (certain) SecondLook.
func (r *run) watchFor(ctx context.Context, judge func(inventory) (done, certain bool)) (inventory, error) {
	began, doubted := time.Now(), time.Time{}
	for {
		seen, err := r.takeInventory(ctx)
		if err != nil {
			return inventory{}, err
		}
		done, certain := judge(seen)
		switch {
		case done:
			return seen, nil
		case !certain:
			doubted = time.Time{}
			r.host.Progress(planShare+installShare, "waiting for the driver: "+seen.Down)
		case doubted.IsZero():
			doubted = time.Now()
			r.host.Progress(planShare+installShare, "checking again")
		case time.Since(doubted) >= r.SecondLook:
			return seen, nil
		}
		if !certain && time.Since(began) >= r.Patience {
			return seen, nil
		}
		wait := r.Every
		if certain {
			wait = r.SecondLook - time.Since(doubted)
		}
		if err := pause(ctx, wait); err != nil {
			return inventory{}, err
		}
	}
}

// wrong says what is not as it should be after the restart, worst first.
func (r *run) wrong(now inventory, target release) verdict {
	lost := r.lost(now)
	var hung, old, sick, ill ascend.GroupedCards
	for _, c := range now.Cards {
		if c.Hung {
			hung.Add(c.ID, c.condition())
			continue
		}
		if !c.runs(target) {
			old.Add(c.ID, c.running())
		}
		switch before, known := r.plan.Before.card(c.ID); {
		case known && c.worseThan(before):
			sick.Add(c.ID, c.condition())
		case !c.healthy():
			ill.Add(c.ID, c.condition())
		}
	}
	say := func(code protocol.Code, what string) verdict {
		return verdict{code, protocol.Clip(fmt.Sprintf("%s Now: %s. %s", what, now.Message, remedyFor(code)))}
	}
	switch {
	case now.Down != "":
		return say(protocol.HDKDriverDown, fmt.Sprintf("%s was installed and the driver does not answer (waited %s): %s.%s", capital(target.String()), r.Patience, now.Down, now.hint()+r.otherKernel()))
	case lost != "":
		return say(protocol.HDKCardLost, fmt.Sprintf("%s was installed and cards are missing: %s.", capital(target.String()), lost))
	case !hung.None():
		return say(protocol.ToolTimeout, fmt.Sprintf("%s was installed and npu-smi hangs: %s.", capital(target.String()), &hung))
	case !old.None():
		return say(protocol.HDKNotActive, fmt.Sprintf("%s was installed and does not run: %s.", capital(target.String()), &old))
	case !sick.None():
		return say(protocol.HDKCardUnhealthy, fmt.Sprintf("%s runs and cards are worse than before: %s.", capital(target.String()), &sick))
	case !ill.None():
		return verdict{Message: protocol.Clip(now.Message + " | " + strings.Join(ill.List(), " | "))}
	}
	return verdict{Message: now.Message}
}

// otherKernel is a sentence if the host was restarted with another kernel than the
// driver was built for.
func (r *run) otherKernel() string {
	now := ascend.Kernel(r.host.Files())
	if r.kernel == "" || now == "" || now == r.kernel {
		return ""
	}
	return fmt.Sprintf(" Since the restart the kernel is %s, and the driver was built for %s: boot that one, or install once more with this one.", now, r.kernel)
}

// lost says which cards of the plan, or how many chips, are not there. What counts is
// the number of chips: another driver may give the same cards other ids. Where the
// driver was down before, the chips on the bus are counted.
func (r *run) lost(now inventory) string {
	before := r.plan.Before
	expected := before.listed()
	if expected == 0 {
		expected = before.Chips
	}
	if now.listed() >= expected {
		return ""
	}
	var ids []int
	for _, c := range before.Cards {
		if _, there := now.card(c.ID); !there {
			ids = append(ids, c.ID)
		}
	}
	switch {
	case len(ids) > 0:
		return ascend.FormatCards(ids...)
	case len(before.Cards) > 0:
		return fmt.Sprintf("the driver listed %d chips and lists %d, %d are on the PCI bus", expected, now.listed(), now.Chips)
	}
	return fmt.Sprintf("%d chips were on the PCI bus, the driver lists %d", expected, now.listed())
}

func capital(s string) string { return strings.ToUpper(s[:1]) + s[1:] }

package hdk_test

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"devserver-agent/executors"
	"devserver-agent/executors/hdk"
	"devserver-agent/executors/hdk/repository"
	"devserver-agent/protocol"
	"devserver-agent/test/fakehost"
	"devserver-agent/test/fakehost/tool"
	"devserver-agent/test/hosttest"
)

// rig is a fake host, what the agent would give an executor on it, and the agent
// itself: replays, restarts, verification.
type rig struct {
	*testing.T
	fake     *fakehost.Host
	host     *hosttest.Host
	upgrade  hdk.Upgrade
	spec     executors.Spec
	reboot   bool     // is_reboot
	restarts []string // by name; "final" is the agent's own
	booted   func()   // is called after each restart; nil: nothing is to be done
	executed executors.Result
}

func newRig(t *testing.T, model fakehost.Model, o fakehost.Options) *rig {
	t.Helper()
	if o.Pace == 0 {
		o.Pace = 10 * time.Millisecond
	}
	fake := fakehost.ForTest(t, model, o)
	r := &rig{T: t, fake: fake, host: hosttest.New(t, fake.Root()), reboot: true}
	r.host.Play = tool.InProcess(fake)
	r.boots()
	r.upgrade = hdk.Upgrade{
		Source: repository.Folder(repo(t)), Cache: &repository.Cache{Dir: filepath.Join(t.TempDir(), "packages")},
		Patience: 200 * time.Millisecond, SecondLook: time.Millisecond, Every: 10 * time.Millisecond, Limit: time.Minute,
	}
	return r
}

// restart is what happens between two boots.
func (r *rig) restart(name string) {
	r.Helper()
	r.restarts = append(r.restarts, name)
	if err := r.fake.Reboot(); err != nil {
		r.Fatal(err)
	}
	r.boots()
}

// boots tells the host which boot it is in, as the agent does when it starts.
func (r *rig) boots() {
	r.Helper()
	state, err := r.fake.State()
	if err != nil {
		r.Fatal(err)
	}
	r.host.BootID = state.BootID
	if r.booted != nil {
		r.booted()
	}
}

// run takes the item to its end as the agent does.
func (r *rig) run(ctx context.Context) (executors.Result, error) {
	r.Helper()
	r.host.OnRestart = nil
	if r.reboot {
		r.host.OnRestart = r.restart
	}
	for {
		before := len(r.restarts)
		result, err := r.upgrade.Execute(ctx, r.host, r.spec)
		if errors.Is(err, executors.ErrStopping) && len(r.restarts) > before {
			r.host.Replay()
			continue
		}
		if err != nil {
			return result, err
		}
		r.executed = result
		proved := len(r.restarts) > 0 && r.restarts[len(r.restarts)-1] == "activate"
		if r.reboot && !result.Unchanged && !proved {
			r.restart("final")
		}
		r.host.Replay()
		return r.upgrade.Verify(ctx, r.host, r.spec)
	}
}

// set sets faults.
func (r *rig) set(faults ...fault) {
	r.Helper()
	for _, f := range faults {
		if err := r.fake.SetFault(f.name, f.args...); err != nil {
			r.Fatal(err)
		}
	}
}

// started lists the installers that were started, in order.
func (r *rig) started() []string {
	r.Helper()
	events, err := r.fake.Events()
	if err != nil {
		r.Fatal(err)
	}
	var all []string
	for _, e := range events.Of(fakehost.KindStart, "") {
		if e.Name == fakehost.DriverInstaller || e.Name == fakehost.FirmwareInstaller {
			all = append(all, strings.TrimSuffix(e.Name, "-installer")+" "+e.Note+" "+strings.Join(e.Argv, " "))
		}
	}
	return all
}

// verdict is what a task would end with.
func verdictOf(result executors.Result, err error) (code protocol.Code, message string) {
	var failure *executors.Failure
	if errors.As(err, &failure) {
		return failure.Code, failure.Message
	}
	if err != nil {
		return "", "error: " + err.Error()
	}
	return result.Code, result.Message
}

const (
	oldA2 = "Driver: 24.1.0 | Firmware: 7.5.0.2.220"
	newA2 = "Driver: 24.1.0.3 | Firmware: 7.5.0.5.220"
)

func TestUpgrade(t *testing.T) {
	for name, c := range map[string]struct {
		model    fakehost.Model
		options  fakehost.Options
		faults   []fault
		spec     executors.Spec
		noReboot bool
		started  []string
		restarts []string
		code     protocol.Code
		want     string
	}{
		"of an A2: firmware, then driver, one restart": {
			model: fakehost.A2, spec: executors.Spec{"version": "24.1.0.3"},
			started:  []string{"firmware 7.5.0.5.220 --upgrade --quiet", "driver 24.1.0.3 --upgrade --quiet"},
			restarts: []string{"final"}, want: newA2},
		"of an A3": {
			model: fakehost.A3, spec: executors.Spec{"version": "24.1.RC3.10"},
			started:  []string{"firmware 7.5.0.109.220 --upgrade --quiet", "driver 24.1.rc3.10 --upgrade --quiet"},
			restarts: []string{"final"}, want: "Driver: 24.1.rc3.10 | Firmware: 7.5.0.109.220"},
		"of a 310P": {
			model: fakehost.P310, spec: executors.Spec{"version": "25.3.rc1", "firmware_version": "7.8.0.2.212"},
			started:  []string{"firmware 7.8.0.2.212 --upgrade --quiet", "driver 25.3.rc1 --upgrade --quiet"},
			restarts: []string{"final"}, want: "Driver: 25.3.rc1 | Firmware: 7.8.0.2.212"},
		"of a 310B": {
			model: fakehost.B310, spec: executors.Spec{"version": "24.1.0"},
			started:  []string{"firmware 7.5.0.2.220 --upgrade --quiet", "driver 24.1.0 --upgrade --quiet"},
			restarts: []string{"final"}, want: oldA2},
		"with the firmware that is installed": {
			model: fakehost.P310, spec: executors.Spec{"version": "24.1.1.1"},
			started: []string{"driver 24.1.1.1 --upgrade --quiet"}, restarts: []string{"final"},
			want: "Driver: 24.1.1.1 | Firmware: 7.5.0.5.220"},
		"back to an older version": {
			model: fakehost.A2, options: fakehost.Options{Release: a2Release}, spec: executors.Spec{"version": "24.1.0"},
			started:  []string{"firmware 7.5.0.2.220 --upgrade --quiet", "driver 24.1.0 --upgrade --quiet"},
			restarts: []string{"final"}, want: oldA2},
		"of a host on which nothing was installed: driver, then firmware": {
			model: fakehost.A2, options: fakehost.Options{Bare: true}, spec: executors.Spec{"version": "24.1.0.3"},
			started:  []string{"driver 24.1.0.3 --full --quiet", "firmware 7.5.0.5.220 --full --quiet"},
			restarts: []string{"final"}, want: newA2},
		"of a host whose driver lost its version.info, installed for all users as before": {
			model: fakehost.A2, options: fakehost.Options{InstallForAll: true}, faults: []fault{{fakehost.VersionInfoMissing, []string{"kind=driver"}}}, spec: executors.Spec{"version": "24.1.0.3"},
			started:  []string{"firmware 7.5.0.5.220 --upgrade --quiet", "driver 24.1.0.3 --full --quiet --install-for-all"},
			restarts: []string{"final"}, want: "Driver: missing (no version.info) | Firmware: 7.5.0.5.220 | running: driver 24.1.0.3, firmware 7.5.0.5.220"},
		"of such a 310B, whose packages know no installation for all": {
			model: fakehost.B310, options: fakehost.Options{InstallForAll: true}, faults: []fault{{fakehost.VersionInfoMissing, []string{"kind=driver"}}}, spec: executors.Spec{"version": "24.1.0"},
			started:  []string{"firmware 7.5.0.2.220 --upgrade --quiet", "driver 24.1.0 --full --quiet"},
			restarts: []string{"final"}, want: "Driver: missing (no version.info) | Firmware: 7.5.0.2.220 | running: driver 24.1.0, firmware 7.5.0.2.220"},
		"of a driver that is down: driver, restart, firmware, restart": {
			model: fakehost.A2, faults: []fault{{fakehost.DriverDown, []string{"until=install"}}}, spec: executors.Spec{"version": "24.1.0.3"},
			started:  []string{"driver 24.1.0.3 --upgrade --quiet", "firmware 7.5.0.5.220 --upgrade --quiet"},
			restarts: []string{"driver", "final"}, want: newA2},
		"of a driver that is down, without a restart": {
			model: fakehost.A2, faults: []fault{{fakehost.DriverDown, []string{"until=install"}}}, spec: executors.Spec{"version": "24.1.0.3"}, noReboot: true,
			started: []string{"driver 24.1.0.3 --upgrade --quiet"}, code: protocol.RebootRequired,
			want: "Driver 24.1.0.3 is installed; firmware 7.5.0.5.220 was not, because it needs a driver that runs and the task allows no restart."},
		"to what is installed and runs": {
			model: fakehost.A2, options: fakehost.Options{Release: a2Release}, spec: executors.Spec{"version": "24.1.0.3"}, want: newA2},
		"to what runs, beside a card in alarm": {
			model: fakehost.A2, options: fakehost.Options{Release: a2Release}, faults: []fault{{fakehost.CardAlarm, []string{"card=2"}}}, spec: executors.Spec{"version": "24.1.0.3"},
			want: newA2 + " | card 2: chip 0 Alarm (80E01801)"},
		"to what runs, beside a chip that does not answer, as a dry run": {
			model: fakehost.A2, options: fakehost.Options{Release: a2Release}, faults: []fault{{fakehost.ChipSilent, []string{"card=2"}}}, spec: executors.Spec{"version": "24.1.0.3", "dry_run": "true"},
			want: "Nothing to do: " + newA2 + " | card 2: chip 0 UNKNOWN (Failed to query npu chip: 0 info)"},
		"by an installer that resets the chips hot": {
			model: fakehost.A2, options: fakehost.Options{HotReset: true}, spec: executors.Spec{"version": "24.1.0.3"}, noReboot: true,
			started: []string{"firmware 7.5.0.5.220 --upgrade --quiet", "driver 24.1.0.3 --upgrade --quiet"}, want: newA2},
		"without a restart": {
			model: fakehost.A2, spec: executors.Spec{"version": "24.1.0.3"}, noReboot: true,
			started: []string{"firmware 7.5.0.5.220 --upgrade --quiet", "driver 24.1.0.3 --upgrade --quiet"}, code: protocol.RebootRequired,
			want: newA2 + " | running: driver 24.1.0, firmware 7.5.0.2.220. Driver 24.1.0.3, firmware 7.5.0.5.220 is installed and becomes active after a restart of the host: restart it when its work allows, or create the job with is_reboot."},
		"as a dry run": {
			model: fakehost.A2, spec: executors.Spec{"version": "24.1.0.3", "dry_run": "true"},
			want: "To reach driver 24.1.0.3, firmware 7.5.0.5.220: install firmware 7.5.0.5.220 (--upgrade --quiet), then install driver 24.1.0.3 (--upgrade --quiet), then restart if the task allows. The host: " + oldA2},
		"of a busy host by force": {
			model: fakehost.A2, faults: []fault{{fakehost.BusyProcess, nil}, {fakehost.CardAlarm, nil}}, spec: executors.Spec{"version": "24.1.0.3", "force": "true"},
			started:  []string{"firmware 7.5.0.5.220 --upgrade --quiet --force", "driver 24.1.0.3 --upgrade --quiet --force"},
			restarts: []string{"final"}, want: newA2 + " | card 7: chip 0 Alarm (80E01801)"},
		"that can be rolled back and need not": {
			model: fakehost.A2, spec: executors.Spec{"version": "24.1.0.3", "rollback": "true"},
			started:  []string{"firmware 7.5.0.5.220 --upgrade --quiet", "driver 24.1.0.3 --upgrade --quiet"},
			restarts: []string{"activate"}, want: newA2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, c.model, c.options)
			r.set(c.faults...)
			r.spec, r.reboot = c.spec, !c.noReboot
			code, message := verdictOf(r.run(context.Background()))
			if code != c.code || (message != c.want && (code == "" || !strings.HasPrefix(message, c.want))) {
				t.Errorf("got  %s [%s]\nwant %s [%s]\noutput:\n%s", message, code, c.want, c.code, r.host.Output())
			}
			if diff := cmp.Diff(c.started, r.started()); diff != "" {
				t.Errorf("installers (-want +got):\n%s\noutput:\n%s", diff, r.host.Output())
			}
			if diff := cmp.Diff(c.restarts, r.restarts); diff != "" {
				t.Errorf("restarts (-want +got):\n%s", diff)
			}
		})
	}
}

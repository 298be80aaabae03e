package hdk_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"devserver-agent/executors"
	"devserver-agent/executors/hdk"
	"devserver-agent/protocol"
	"devserver-agent/test/fakehost"
	"devserver-agent/test/fakehost/tool"
	"devserver-agent/test/hosttest"
	"devserver-agent/test/support/golden"
)

// fault is one that is set on a fake host before it is queried.
type fault struct {
	name fakehost.Fault
	args []string
}

// a2 is what an A2 host says when all is well.
const a2 = "Driver: 24.1.0.3 | Firmware: 7.5.0.5.220"

var a2Release = fakehost.Release{Driver: "24.1.0.3", Firmware: "7.5.0.5.220"}

func TestQueryOfAHost(t *testing.T) {
	for name, c := range map[string]struct {
		model  fakehost.Model
		faults []fault
		bare   bool
		query  hdk.Query
		want   string
		code   protocol.Code
		failed bool
	}{
		"A2 in order":   {want: a2},
		"A3 in order":   {model: fakehost.A3, want: "Driver: 24.1.rc3.9 | Firmware: 7.5.0.108.220"},
		"310P in order": {model: fakehost.P310, want: "Driver: 24.1.0.1 | Firmware: 7.5.0.5.220"},
		"310B in order": {model: fakehost.B310, want: "Driver: 23.0.0 | Firmware: 7.1.0.3.220"},
		"a card with an alarm runs what the others run": {
			faults: []fault{{fakehost.CardAlarm, []string{"card=2"}}}, want: a2},
		"a busy host": {
			faults: []fault{{fakehost.BusyProcess, nil}}, want: a2},
		"a lost card is not listed and not missed": {
			faults: []fault{{fakehost.CardLost, []string{"card=3"}}}, want: a2},
		"one card runs another driver": {
			faults: []fault{{fakehost.CardsDisagree, []string{"card=3", "driver=24.1.0", "firmware=7.5.0.5.220"}}},
			want:   a2 + " | card 3: driver 24.1.0, firmware 7.5.0.5.220"},
		"one card runs another firmware": {
			faults: []fault{{fakehost.CardsDisagree, []string{"card=7", "driver=24.1.0.3", "firmware=7.5.0.2.220"}}},
			want:   a2 + " | card 7: driver 24.1.0.3, firmware 7.5.0.2.220"},
		"the driver is down": {
			faults: []fault{{fakehost.DriverDown, nil}},
			want:   a2 + " | driver not running: dcmi -8005"},
		"the driver is down and libdrv complains too": {
			faults: []fault{{fakehost.DriverDown, []string{"log=1"}}},
			want:   a2 + " | driver not running: dcmi -8005"},
		"the device is in use": {
			faults: []fault{{fakehost.DriverDown, []string{"code=-8020"}}},
			want:   a2 + " | running: unknown, device in use: dcmi -8020"},
		"npu-smi hangs": {
			faults: []fault{{fakehost.SmiHang, nil}}, code: protocol.ToolTimeout,
			want: a2 + " | running: unknown, npu-smi did not answer in time"},
		"npu-smi prints garbage": {
			faults: []fault{{fakehost.SmiGarbage, nil}},
			want:   a2 + " | running: unknown, npu-smi's answer is not a list of cards" + ` (it is "...| NPU Total Count :: ..+===+ / Software Version : .( / %s%n|||")`},
		"npu-smi prints 100 MB": {
			faults: []fault{{fakehost.SmiFlood, nil}},
			want:   a2 + " | running: unknown, npu-smi printed more than 1 MiB"},
		"the board query is not supported": {
			faults: []fault{{fakehost.NotSupported, []string{"type=board"}}},
			want:   a2 + " | cards 0-7: not reported by npu-smi (This device does not support querying board)"},
		"one board query is garbage": {
			faults: []fault{{fakehost.NotSupported, []string{"type=board", "times=1"}}}, query: hdk.Query{AtOnce: 1},
			want: a2 + " | card 0: not reported by npu-smi (This device does not support querying board)"},
		"both version.info are missing": {
			faults: []fault{{fakehost.VersionInfoMissing, nil}},
			want:   "Driver: missing (no version.info) | Firmware: missing (no version.info) | running: driver 24.1.0.3, firmware 7.5.0.5.220"},
		"the driver's version.info is missing": {
			faults: []fault{{fakehost.VersionInfoMissing, []string{"kind=driver"}}},
			want:   "Driver: missing (no version.info) | Firmware: 7.5.0.5.220 | running: driver 24.1.0.3, firmware 7.5.0.5.220"},
		"the firmware's version.info is damaged": {
			faults: []fault{{fakehost.VersionInfoDamaged, []string{"kind=firmware"}}},
			want:   "Driver: 24.1.0.3 | Firmware: unreadable (version.info: has a line that is not text) | running: driver 24.1.0.3, firmware 7.5.0.5.220"},
		"the driver is down and version.info is missing": {
			faults: []fault{{fakehost.DriverDown, nil}, {fakehost.VersionInfoMissing, nil}}, failed: true,
			want: "No HDK version can be read: driver not running: dcmi -8005; driver missing (no version.info), firmware missing (no version.info). " +
				"Nothing was changed. See dmesg and /var/log/ascend_seclog/ascend_install.log; after an update of the kernel install the HDK again."},
		"npu-smi hangs and version.info is damaged": {
			faults: []fault{{fakehost.SmiHang, nil}, {fakehost.VersionInfoDamaged, nil}}, failed: true,
			want: "No HDK version can be read: npu-smi did not answer in time; driver unreadable (version.info: has a line that is not text), " +
				"firmware unreadable (version.info: has a line that is not text). " +
				"Nothing was changed. Run npu-smi info -l by hand and see dmesg; if it hangs, restart the host when its work allows: a driver that hangs does not come back by itself."},
		"nothing was ever installed": {
			bare: true, failed: true,
			want: "No HDK version can be read: npu-smi not found; driver missing (no version.info), firmware missing (no version.info). " +
				"Nothing was changed. Install the HDK; if it is installed, check host.root and tools.npu_smi in the agent's configuration."},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			options := fakehost.Options{Bare: c.bare}
			model := c.model
			if model == "" {
				model, options.Release = fakehost.A2, a2Release
			}
			fake := fakehost.ForTest(t, model, options)
			for _, f := range c.faults {
				if err := fake.SetFault(f.name, f.args...); err != nil {
					t.Fatal(err)
				}
			}
			host := hosttest.New(t, fake.Root())
			host.Play = tool.InProcess(fake)
			for _, f := range c.faults {
				if f.name == fakehost.SmiHang {
					host.TimeoutOf = hosttest.Only("npu-smi", 100*time.Millisecond)
				}
			}
			check(t, host, c.query, c.want, c.code, c.failed)
		})
	}
}

// check runs a query and compares its answer.
func check(t *testing.T, host *hosttest.Host, query hdk.Query, want string, code protocol.Code, failed bool) {
	t.Helper()
	result, err := query.Execute(context.Background(), host, nil)
	got, gotCode := result.Message, result.Code
	if failed {
		var failure *executors.Failure
		if !errors.As(err, &failure) {
			t.Fatalf("got %+v, %v", result, err)
		}
		got, gotCode, code = failure.Message, failure.Code, protocol.HDKUnreadable
	} else if err != nil {
		t.Fatal(err)
	}
	if got != want || gotCode != code {
		t.Errorf("got  %s [%s]\nwant %s [%s]\noutput:\n%s", got, gotCode, want, code, host.Output())
	}
	if told := host.Told(); len(told) == 0 || told[len(told)-1].Percent != 100 {
		t.Errorf("progress is %v", told)
	}
}

// A host whose npu-smi is a shell script, for what no fault of the fake host
// does. The script is given the card that is asked for as $card.
func scripted(t *testing.T, board string) *hosttest.Host {
	t.Helper()
	root := t.TempDir()
	files := map[string]string{
		"usr/local/Ascend/driver/version.info":   "Version=24.1.0.3\n",
		"usr/local/Ascend/firmware/version.info": "Version=7.5.0.5.220\n",
		"usr/local/bin/npu-smi": `#!/bin/sh
board() { printf '\tNPU ID : %s\n\tSoftware Version : %s\n\tFirmware Version : %s\n' "$card" "$1" "$2"; }
if [ "$*" = "info -l" ]; then
	printf '\tTotal Count : 4\n'
	for card in 0 1 2 3; do printf '\n\tNPU ID : %s\n\tChip Count : 1\n' $card; done
	exit 0
fi
card=$5
` + board,
	}
	for name, text := range files {
		write(t, root, name, text)
	}
	return hosttest.New(t, root)
}

func write(t *testing.T, root, name, text string) {
	t.Helper()
	file := filepath.Join(root, name)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
}

func TestQueryOfCards(t *testing.T) {
	for name, c := range map[string]struct {
		board string
		want  string
	}{
		"installed but not running yet": {
			`board 24.1.0 7.5.0.2.220`,
			a2 + " | running: driver 24.1.0, firmware 7.5.0.2.220"},
		"installed but not running yet, and one card differs": {
			`[ $card = 2 ] && board 23.0.3 7.1.0.5.220 || board 24.1.0 7.5.0.2.220`,
			a2 + " | running: driver 24.1.0, firmware 7.5.0.2.220 | card 2: driver 23.0.3, firmware 7.1.0.5.220"},
		"half of the cards run what is installed": {
			`[ $card -lt 2 ] && board 24.1.0 7.5.0.2.220 || board 24.1.0.3 7.5.0.5.220`,
			a2 + " | cards 0-1: driver 24.1.0, firmware 7.5.0.2.220"},
		"no two cards agree": {
			`board 24.1.0.$card 7.5.0.5.220`,
			a2 + " | card 0: driver 24.1.0.0, firmware 7.5.0.5.220 | card 1: driver 24.1.0.1, firmware 7.5.0.5.220" +
				" | card 2: driver 24.1.0.2, firmware 7.5.0.5.220"},
		"capitals are no difference": {
			`board 24.1.0.3 7.5.0.5.220 | tr a-z A-Z`, a2},
		"the user is not root": {
			`board 24.1.0.3 NA`,
			a2 + " | running: driver 24.1.0.3, firmware NA (npu-smi gives it to root only)"},
		"a listed card fell off the bus": {
			`[ $card = 3 ] && { printf 'Invalid card id.\nError parameter of -i\n'; exit 215; }; board 24.1.0.3 7.5.0.5.220`,
			a2 + " | card 3: lost (npu-smi: Invalid card id)"},
		"cards fail each in its way": {
			`case $card in
0) echo 'Failed to query "board" info.'; exit 197 ;;
1) kill -SEGV $$ ;;
2) printf '\tNPU ID : 7\n\tSoftware Version : 24.1.0.3\n' ;;
3) printf '\tNPU ID : 3\n\tSoftware Version : ?\n' ;;
esac`,
			a2 + ` | card 0: npu-smi failed (Failed to query "board" info) | card 1: npu-smi failed (exit status 139)` +
				` | card 2: npu-smi's answer is about card "7", not card 2 (it is "NPU ID : 7 / Software Version : 24.1.0.3")` +
				` | card 3: npu-smi's answer gives "?" as Software Version (it is "NPU ID : 3 / Software Version : ?")`},
		"the driver dies under the query": {
			`[ $card -gt 0 ] && { echo 'dcmi module initialize failed. ret is -8005'; exit 187; }; board 24.1.0.3 7.5.0.5.220`,
			a2 + " | cards 1-3: driver not running: dcmi -8005"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			check(t, scripted(t, c.board), hdk.Query{}, c.want, "", false)
		})
	}
}

func TestQueryDoesNotAskAHangingToolAgain(t *testing.T) {
	host := scripted(t, `[ $card = 1 ] && exec sleep 60; board 24.1.0.3 7.5.0.5.220`)
	host.TimeoutOf = func(argv []string) time.Duration {
		if strings.Join(argv, " ") == "npu-smi info -t board -i 1" {
			return 100 * time.Millisecond
		}
		return 0
	}
	check(t, host, hdk.Query{AtOnce: 1}, a2+" | card 1: npu-smi did not answer in time | cards 2-3: not asked: an earlier npu-smi call timed out", protocol.ToolTimeout, false)
}

func TestQueryOfATooSlowHostEndsInTime(t *testing.T) {
	host := scripted(t, `board 24.1.0.3 7.5.0.5.220`)
	check(t, host, hdk.Query{Patience: time.Nanosecond}, a2+" | cards 0-3: not asked: npu-smi is too slow", protocol.ToolTimeout, false)
}

func TestQueryEndsWithItsTask(t *testing.T) {
	ctx, cancel := context.WithCancelCause(context.Background())
	host := scripted(t, `exec sleep 60`)
	host.OnProgress = func(p hosttest.Progress) {
		if p.What == "0 of 4 cards" {
			cancel(executors.ErrCancelled)
		}
	}
	if result, err := (hdk.Query{}).Execute(ctx, host, nil); !errors.Is(err, executors.ErrCancelled) {
		t.Errorf("got %+v, %v", result, err)
	}
}

func TestQueryChangesNothing(t *testing.T) {
	fake := fakehost.ForTest(t, fakehost.A2, fakehost.Options{})
	host := hosttest.New(t, fake.Root())
	if _, err := (hdk.Query{}).Execute(context.Background(), host, nil); err != nil {
		t.Fatal(err)
	}
	events, err := fake.Events()
	if err != nil {
		t.Fatal(err)
	}
	if asked := len(events.Of(fakehost.KindStart, "npu-smi")); asked != 1+8 {
		t.Errorf("npu-smi was started %d times for 8 cards", asked)
	}
	for _, e := range events.Of(fakehost.KindStart, "") {
		if e.Name != "npu-smi" {
			t.Errorf("%s was started", e.Name)
		}
	}
}

func TestQueryLooksAgainWhenReplayed(t *testing.T) {
	fake := fakehost.ForTest(t, fakehost.A2, fakehost.Options{Release: a2Release})
	host := hosttest.New(t, fake.Root())
	host.Play = tool.InProcess(fake)
	check(t, host, hdk.Query{}, a2, "", false)
	if err := fake.SetFault(fakehost.DriverDown); err != nil {
		t.Fatal(err)
	}
	host.Replay()
	check(t, host, hdk.Query{}, a2+" | driver not running: dcmi -8005", "", false)
}

func TestQueryNotesWhatElseIsWrong(t *testing.T) {
	host := scripted(t, `board 24.1.0.3 7.5.0.5.220`)
	for name, text := range map[string]string{
		"etc/ascend_install.info":                 "Driver_Install_Status=installing\n",
		"sys/bus/pci/devices/0000:01:00.0/vendor": "0x19e5\n",
		"sys/bus/pci/devices/0000:01:00.0/device": "0xd802\n",
		"sys/bus/pci/devices/0000:02:00.0/vendor": "?\n",
	} {
		write(t, host.Root(), name, text)
	}
	check(t, host, hdk.Query{}, a2, "", false)
	for _, note := range []string{
		"note: ascend_install.info says that the driver's installation did not come to its end\n",
		"note: read /sys/bus/pci/devices/0000:02:00.0/vendor: \"?\" is not a PCI id\n",
	} {
		if !strings.Contains(host.Output(), note) {
			t.Errorf("no %q in\n%s", note, host.Output())
		}
	}
	for _, address := range []string{"02", "03", "04", "05"} {
		write(t, host.Root(), "sys/bus/pci/devices/0000:"+address+":00.0/vendor", "0x19e5\n")
		write(t, host.Root(), "sys/bus/pci/devices/0000:"+address+":00.0/device", "0xd802\n")
	}
	check(t, host, hdk.Query{}, a2, "", false)
	if note := "note: Ascend chips on the PCI bus: 5, of which the driver lists 4\n"; !strings.HasSuffix(host.Output(), note) {
		t.Errorf("no %q in\n%s", note, host.Output())
	}
}

func TestQueryReportsEveryCard(t *testing.T) {
	for name, faults := range map[string][]fault{
		"in-order":     nil,
		"in-trouble":   {{fakehost.CardsDisagree, []string{"card=1", "driver=24.1.0", "firmware=7.5.0.2.220"}}, {fakehost.NotSupported, []string{"type=board", "times=1"}}, {fakehost.VersionInfoMissing, []string{"kind=firmware"}}},
		"driver-down":  {{fakehost.DriverDown, nil}},
		"in-confusion": {{fakehost.SmiGarbage, nil}},
	} {
		t.Run(strings.ReplaceAll(name, "-", " "), func(t *testing.T) {
			t.Parallel()
			fake := fakehost.ForTest(t, fakehost.A2, fakehost.Options{Release: a2Release})
			for _, f := range faults {
				if err := fake.SetFault(f.name, f.args...); err != nil {
					t.Fatal(err)
				}
			}
			host := hosttest.New(t, fake.Root())
			host.Play = tool.InProcess(fake)
			if _, err := (hdk.Query{AtOnce: 1}).Execute(context.Background(), host, nil); err != nil {
				t.Fatal(err)
			}
			golden.Compare(t, filepath.Join("testdata", name+".golden"), host.Output())
		})
	}
}

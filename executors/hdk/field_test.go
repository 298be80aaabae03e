package hdk_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"devserver-agent/executors"
	"devserver-agent/executors/hdk"
	"devserver-agent/protocol"
	"devserver-agent/test/fakehost"
)

// answer has npu-smi give another answer than the fake host's own to some arguments,
// until the fake host's state changes: what published captures of real hosts show.
func (r *rig) answer(answers map[string]string) {
	r.Helper()
	var arms strings.Builder
	for words, text := range answers {
		arms.WriteString("'" + words + "') cat <<'TEXT'\n" + text + "TEXT\nexit 0 ;;\n")
	}
	r.smi(arms.String())
}

// smi has npu-smi do what the arms of a shell's case over its arguments do, and for all
// others what it did.
func (r *rig) smi(arms string) {
	r.Helper()
	r.write("usr/local/sbin/npu-smi", "#!/bin/sh\ncase \"$*\" in\n"+arms+"esac\nexec \"$HOST_ROOT/usr/local/bin/npu-smi\" \"$@\"\n")
}

const (
	health3 = "info -t health -i 3"
	head3   = "\tNPU ID                         : 3\n\tChip Count                     : 1\n\n"
	okChip  = "\tHealth                         : OK\n\tChip ID                        : 0\n\n"
	okMCU   = "\tHealth                         : OK\n\tChip Name                      : MCU\n\n"
)

// listOf is npu-smi's list of cards with one chip each.
func listOf(ids ...int) string {
	text := fmt.Sprintf("\tTotal Count                    : %d\n", len(ids))
	for _, id := range ids {
		text += fmt.Sprintf("\n\tNPU ID                         : %d\n\tChip Count                     : 1\n", id)
	}
	return text
}

// TestHealthOfChips has the answers in the layouts of real hosts decide whether an
// upgrade may begin. It is a dry run: the plan is what is tested.
func TestHealthOfChips(t *testing.T) {
	for name, c := range map[string]struct {
		answers map[string]string
		force   bool
		blocks  string // "" if nothing does
		warns   string
	}{
		"all in order": {answers: map[string]string{health3: head3 + okChip + okMCU}},
		"a virtual machine, whose MCUs say nothing": {answers: map[string]string{
			health3: head3 + okChip + "\tHealth                         : NA\n\tChip Name                      : MCU\n"}},
		"a chip in alarm, and its MCU in order": {
			answers: map[string]string{
				health3: head3 + "\tHealth                         : Alarm\n\tChip ID                        : 0\n\n" + okMCU,
				health3 + " -c 0": "\tHealth Status                  : Alarm\n\tError Code                     : 80E18005 80CB8009\n" +
					"\tError Information              : node type=HBM, event state=single bit ecc\n\n\t                               : node type=L2BUFF\n"},
			blocks: "card 3: chip 0 Alarm (80E18005 80CB8009)"},
		"a chip in alarm whose codes cannot be asked": {
			answers: map[string]string{
				health3:           head3 + "\tHealth                         : Critical\n\tChip ID                        : 0\n\n" + okMCU,
				health3 + " -c 0": "This device does not support querying health.\n"},
			blocks: "card 3: chip 0 Critical (not reported by npu-smi (This device does not support querying health))"},
		"the second of two chips in alarm": {
			answers: map[string]string{
				health3: "\tNPU ID                         : 3\n\tChip Count                     : 2\n\n" + okChip +
					"\tHealth                         : Warning\n\tChip ID                        : 1\n\n" + okMCU,
				health3 + " -c 1": "\tHealth Status                  : Warning\n\tError Code                     : A8028801\n\tError Information              : link\n"},
			blocks: "card 3: chip 1 Warning (A8028801)"},
		"a chip that npu-smi cannot ask": {
			answers: map[string]string{
				health3:           head3 + "Failed to query npu chip: 0 info.\n\n" + okMCU,
				health3 + " -c 0": "Failed to query \"health\" info.\n"},
			blocks: "card 3: chip 0 UNKNOWN (Failed to query npu chip: 0 info)"},
		"one of two chips that npu-smi cannot ask, beside one in alarm": {
			answers: map[string]string{
				health3: "\tNPU ID                         : 3\n\tChip Count                     : 2\n\n" +
					"\tHealth                         : Alarm\n\tChip ID                        : 0\n\nFailed to query npu chip: 1 info.\n\n",
				health3 + " -c 0": "\tHealth Status                  : Alarm\n\tError Code                     : 80E18005\n\tError Information              : ecc\n",
				health3 + " -c 1": "Failed to query \"health\" info.\n"},
			blocks: "card 3: chip 0 Alarm (80E18005), chip 1 UNKNOWN (Failed to query npu chip: 1 info)"},
		"a chip that is counted and not mentioned": {
			answers: map[string]string{
				health3:           "\tNPU ID                         : 3\n\tChip Count                     : 2\n\n" + okChip + okMCU,
				health3 + " -c 1": "Failed to query \"health\" info.\n"},
			blocks: "card 3: chip 1 UNKNOWN (npu-smi failed (Failed to query \"health\" info))"},
		"a chip that npu-smi cannot ask, by force": {
			answers: map[string]string{
				health3:           head3 + "Failed to query npu chip: 0 info.\n\n" + okMCU,
				health3 + " -c 0": "Failed to query \"health\" info.\n"},
			force: true, warns: "card 3: chip 0 UNKNOWN (Failed to query npu chip: 0 info) (force)"},
		"an MCU in alarm, whose chip is in order": {
			answers: map[string]string{health3: head3 + okChip + "\tHealth                         : Alarm\n\tChip Name                      : MCU\n"},
			warns:   "card 3: its MCU reports Alarm"},
		"a card that is its only chip and names none": {
			answers: map[string]string{health3: "\tNPU ID                         : 3\n\tHealth                         : Alarm\n\tError Code                     : 80E01801\n\tError Information              : ecc\n"},
			blocks:  "card 3: chip 0 Alarm (80E01801)"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, fakehost.A2, fakehost.Options{})
			r.spec = executors.Spec{"version": "24.1.0.3", "dry_run": "true"}
			if c.force {
				r.spec["force"] = "true"
			}
			r.answer(c.answers)
			code, message := verdictOf(r.run(context.Background()))
			var want protocol.Code
			says := "To reach driver 24.1.0.3"
			if c.blocks != "" {
				want, says = protocol.HDKCardUnhealthy, "Not begun, nothing was changed: "+c.blocks+". The host: "
			}
			if code != want || !strings.HasPrefix(message, says) {
				t.Errorf("got  [%s] %s\nwant [%s] %s", code, message, want, says)
			}
			if c.warns == "" && strings.Contains(r.host.Output(), "warning: card") || !strings.Contains(r.host.Output(), c.warns) {
				t.Errorf("want the warning %q in\n%s", c.warns, r.host.Output())
			}
		})
	}
}

// Boards of servers whose NPUs are on UB (HDK 26): other keys, and no bus.
const boardUB = `	NPU ID                         : 0
	Software Version               : 26.0.rc1
	Firmware Version               : 8.0.0.1.220
	Compatibility                  : OK
	PCIe Bus Info                  : NA
	Vendor ID                      : 0xCC08
	Device ID                      : 0xD90A
	Chip Count                     : 1
`

// TestAFamilyThatIsNotKnown is queried as any other, and not upgraded.
func TestAFamilyThatIsNotKnown(t *testing.T) {
	for name, c := range map[string]struct {
		board string
		bus   string // device id
		ids   string
		runs  string
	}{
		"cards on UB":                    {board: boardUB, ids: "vendor 0xCC08, device 0xD90A", runs: "driver 26.0.rc1, firmware 8.0.0.1.220"},
		"a device id on the bus only":    {board: "This device does not support querying board.\n", bus: "0xd90b", ids: "vendor 0x19e5, device 0xd90b"},
		"cards of another PCI device id": {board: strings.NewReplacer("Vendor ID", "PCI Vendor ID", "0xCC08", "0x19E5", "Device ID", "PCI Device ID").Replace(boardUB), ids: "vendor 0x19E5, device 0xD90A", runs: "driver 26.0.rc1, firmware 8.0.0.1.220"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, fakehost.A2, fakehost.Options{})
			unknownFamily(c.board)(r)
			if c.bus != "" {
				r.device("0000:c1:00.0", c.bus)
			}
			check := func(spec executors.Spec) (protocol.Code, string) {
				r.spec = spec
				return verdictOf(r.run(context.Background()))
			}
			code, message := check(executors.Spec{"version": "24.1.0.3", "firmware_version": "7.5.0.5.220"})
			if want := "no family that this version of the agent knows: " + c.ids; code != protocol.HDKChipUnknown || !strings.Contains(message, want) {
				t.Errorf("got [%s] %s, want %q in it", code, message, want)
			}
			if got := r.started(); got != nil {
				t.Errorf("installers: %q", got)
			}
			message = r.query()
			if !strings.Contains(message, c.runs) {
				t.Errorf("a query says %q, want %q in it", message, c.runs)
			}
			if note := "note: the family of these chips is not known: " + c.ids + "\n"; !strings.Contains(r.host.Output(), note) {
				t.Errorf("want %q in\n%s", note, r.host.Output())
			}
		})
	}
}

// query is the message of HDK_QUERY.
func (r *rig) query() string {
	r.Helper()
	result, err := hdk.Query{}.Execute(context.Background(), r.host, nil)
	if err != nil {
		r.Fatal(err)
	}
	return result.Message
}

const loader = "error while loading shared libraries: libc_sec.so: cannot open shared object file: No such file or directory"

// TestNpuSmiThatCannotBeLoaded has the dynamic loader's sentence in one of its forms,
// and 127 as exit status.
func TestNpuSmiThatCannotBeLoaded(t *testing.T) {
	for name, sentence := range map[string]string{
		"a library is missing":         "npu-smi: " + loader,
		"the tool's full path":         "/usr/local/sbin/npu-smi: error while loading shared libraries: libdrvdsmi_host.so: cannot open shared object file: No such file or directory",
		"a library of another release": "npu-smi: symbol lookup error: npu-smi: undefined symbol: dcmi_get_card_list",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, fakehost.A2, fakehost.Options{})
			for _, dir := range []string{"usr/local/sbin", "usr/local/bin"} {
				r.write(dir+"/npu-smi", "#!/bin/sh\necho '"+sentence+"' >&2\nexit 127\n")
			}
			if message := r.query(); !strings.HasPrefix(message, oldA2+" | running: unknown, npu-smi cannot be loaded (") {
				t.Errorf("a query says %q", message)
			}
			r.spec = executors.Spec{"version": "24.1.0.3", "dry_run": "true"}
			code, message := verdictOf(r.run(context.Background()))
			if code != "" || !strings.Contains(message, "then restart, then install firmware") {
				t.Errorf("got [%s] %s", code, message)
			}
			if want := "run ldconfig, or to LD_LIBRARY_PATH"; strings.Count(r.host.Output(), want) != 1 {
				t.Errorf("want %q once in\n%s", want, r.host.Output())
			}
			r.remove("usr/local/Ascend/driver/version.info")
			r.remove("usr/local/Ascend/firmware/version.info")
			_, err := hdk.Query{}.Execute(context.Background(), r.host, nil)
			if code, message := verdictOf(executors.Result{}, err); code != protocol.HDKUnreadable || !strings.Contains(message, "run ldconfig, or to LD_LIBRARY_PATH") {
				t.Errorf("got [%s] %s", code, message)
			}
		})
	}
}

package hdk_test

import (
	"path"
	"strings"
	"time"

	"devserver-agent/executors"
	"devserver-agent/protocol"
	"devserver-agent/test/fakehost"
)

// fieldSymptoms are those of real hosts: what published captures of their tools show.
var fieldSymptoms = []symptom{
	{name: "A chip does not answer", faults: one(fakehost.ChipSilent), code: protocol.HDKCardUnhealthy, says: "card 7: chip 0 UNKNOWN (Failed to query npu chip: 0 info)"},
	{name: "A chip does not answer, by force", faults: one(fakehost.ChipSilent, "card=2"), spec: executors.Spec{"force": "true"}, says: newA2 + " | card 2: chip 0 UNKNOWN (Failed to query npu chip: 0 info)"},
	{name: "An MCU is in alarm", faults: one(fakehost.MCUAlarm), says: newA2, prints: "warning: card 7: its MCU reports Alarm\n"},
	{name: "npu-smi lacks a library", faults: one(fakehost.LibraryMissing), code: protocol.HDKDriverDown, says: "npu-smi cannot be loaded (error while loading shared libraries: libc_sec.so"},
	{name: "A family that is yet to come", faults: one(fakehost.FamilyUnknown), code: protocol.HDKChipUnknown, says: "of no family that this version of the agent knows: vendor "},
	{name: "A chip is in alarm, and the tool tells its codes only when it is asked for the chip", prepare: health("Alarm", "80E18005 80CB8009"),
		code: protocol.HDKCardUnhealthy, says: "card 3: chip 0 Alarm (80E18005 80CB8009)"},
	{name: "A chip has a warning, and its MCU none", prepare: health("Warning", "A8028801"), code: protocol.HDKCardUnhealthy, says: "card 3: chip 0 Warning (A8028801)"},
	{name: "An MCU is in alarm, and its chip is not", prepare: answering(map[string]string{health3: head3 + okChip + "\tHealth                         : Alarm\n\tChip Name                      : MCU\n"}), says: newA2, prints: "warning: card 3: its MCU reports Alarm\n"},
	{name: "npu-smi cannot ask a chip", prepare: answering(silent), code: protocol.HDKCardUnhealthy, says: "card 3: chip 0 UNKNOWN (Failed to query npu chip: 0 info)"},
	{name: "npu-smi counts a chip and says nothing of it", prepare: answering(map[string]string{
		health3: strings.Replace(head3, ": 1", ": 2", 1) + okChip + okMCU, health3 + " -c 1": "\n"}),
		code: protocol.HDKCardUnhealthy, says: "card 3: chip 1 UNKNOWN"},
	{name: "npu-smi cannot ask a chip, by force", spec: executors.Spec{"force": "true"}, prepare: answering(silent), says: newA2, prints: "warning: card 3: chip 0 UNKNOWN (Failed to query npu chip: 0 info) (force)\n"},
	{name: "npu-smi gives no board of a card, and its health", prepare: answering(map[string]string{board3: noBoard, health3: head3 + "\tHealth                         : Alarm\n\tChip ID                        : 0\n\n"}),
		code: protocol.HDKCardUnhealthy, says: "card 3: npu-smi failed (Failed to query \"board\" info), chip 0 Alarm"},
	{name: "npu-smi gives no board of a card that is well", prepare: answering(map[string]string{board3: noBoard}),
		code: protocol.HDKCardUnhealthy, says: "card 3: npu-smi failed (Failed to query \"board\" info)"},
	{name: "npu-smi hangs when it is asked for one card", prepare: hangsBefore("info -t health -i 7"), code: protocol.ToolTimeout, says: "card 7: npu-smi did not answer in time"},
	{name: "npu-smi hangs for one card, by force", prepare: hangsBefore("info -t health -i 7"), spec: executors.Spec{"force": "true"}, says: newA2, prints: "card 7: npu-smi did not answer in time (force)\n"},
	{name: "npu-smi hangs for one card after the restart", prepare: hangsAfter("info -t board -i 7"), code: protocol.ToolTimeout, says: "was installed and npu-smi hangs: "},
	{name: "npu-smi hangs for every card", prepare: hangsBefore("info -t board -i *"), says: newA2, prints: "warning: the cards' health is not known: npu-smi did not answer in time\n"},
	{name: "npu-smi hangs for every card after the restart", prepare: hangsAfter("info -t board -i *"), code: protocol.HDKDriverDown, says: "npu-smi did not answer in time"},
	{name: "The PCI bus cannot be read", prepare: func(r *rig) { r.write("sys/bus/pci/devices/0000:fe:00.0/vendor", "junk") }, says: newA2, prints: "warning: the PCI bus cannot be read"},
	{name: "npu-smi cannot ask a chip after the restart", prepare: func(r *rig) { r.booted = func() { r.answer(silent) } },
		code: protocol.HDKCardUnhealthy, says: "cards are worse than before: card 3: chip 0 UNKNOWN (Failed to query npu chip: 0 info)"},

	{name: "The driver lists a card that is not on the bus", prepare: func(r *rig) { r.remove("sys/bus/pci/devices/0000:02:00.0") },
		code: protocol.HDKCardUnhealthy, says: "card 3: the PCI bus has no device at 0000:02:00.0"},
	{name: "The bus has a chip that the driver does not list", prepare: func(r *rig) { r.device("0000:fe:00.0", "0xd802") },
		code: protocol.HDKCardUnhealthy, says: "9 chips are on the PCI bus, of which the driver lists 8"},
	{name: "A container was given some of the cards that the bus has", prepare: func(r *rig) {
		r.write(".dockerenv", "")
		r.answer(map[string]string{"info -l": listOf(0, 1, 3)})
	}, says: newA2},
	{name: "The driver does not list a card that the bus has", prepare: answering(map[string]string{"info -l": listOf(0, 1, 2, 3, 4, 5, 6)}),
		code: protocol.HDKCardUnhealthy, says: "8 chips are on the PCI bus, of which the driver lists 7"},

	{name: "npu-smi cannot be loaded, until the driver is installed", prepare: func(r *rig) { r.unloadable() }, says: newA2, prints: "run ldconfig, or to LD_LIBRARY_PATH"},
	{name: "npu-smi cannot be loaded, and stays so", prepare: func(r *rig) {
		r.unloadable()
		r.booted = r.unloadable
	}, code: protocol.HDKDriverDown, says: "npu-smi cannot be loaded (error while loading shared libraries: libc_sec.so"},

	{name: "A family that is not known, on UB", prepare: unknownFamily(boardUB), code: protocol.HDKChipUnknown, says: "vendor 0xCC08, device 0xD90A"},
	{name: "A family that is not known, on the PCI bus", prepare: func(r *rig) {
		unknownFamily("This device does not support querying board.\n")(r)
		r.device("0000:c1:00.0", "0xd90b")
	}, code: protocol.HDKChipUnknown, says: "vendor 0x19e5, device 0xd90b"},

	{name: "The restart boots another kernel, as grub is told to", faults: one(fakehost.OtherKernel), prepare: func(r *rig) {
		r.write("boot/vmlinuz-5.10.0-216.0.0.119.oe2203sp4", "")
		r.write("etc/default/grub", "GRUB_DEFAULT=saved\n")
		r.write("boot/grub2/grubenv", "saved_entry=openEuler (5.10.0-216.0.0.119.oe2203sp4) 22.03\n")
	}, code: protocol.HDKDriverDown, says: "Since the restart the kernel is 5.10.0-216.0.0.119.oe2203sp4", prints: "warning: the next start boots kernel 5.10.0-216.0.0.119.oe2203sp4 (/boot/grub2/grubenv)"},
	{name: "The restart boots another kernel, the newest of Ubuntu", faults: one(fakehost.OtherKernel, "release=5.15.0-102-generic"), prepare: func(r *rig) {
		r.write("boot/vmlinuz-5.15.0-91-generic", "")
		r.write("boot/vmlinuz-5.15.0-102-generic", "")
	}, code: protocol.HDKDriverDown, says: "Since the restart the kernel is 5.15.0-102-generic", prints: "warning: the next start boots kernel 5.15.0-102-generic (the newest kernel in /boot)"},
	{name: "The task asks for no restart, and the boot is not known", noReboot: true, prepare: func(r *rig) { r.host.BootID = "" },
		code: protocol.RebootRequired, says: "becomes active after a restart of the host"},
}

func answering(answers map[string]string) func(*rig) {
	return func(r *rig) { r.answer(answers) }
}

// silent is what npu-smi prints of a chip that it cannot ask, beside an MCU in order.
var silent = map[string]string{
	health3: head3 + "Failed to query npu chip: 0 info.\n\n" + okMCU, health3 + " -c 0": "Failed to query \"health\" info.\n",
}

// health has the chip of card 3 be in a state, which has codes.
func health(state, codes string) func(*rig) {
	return answering(map[string]string{
		health3:           head3 + "\tHealth                         : " + state + "\n\tChip ID                        : 0\n\n" + okMCU,
		health3 + " -c 0": "\tHealth Status                  : " + state + "\n\tError Code                     : " + codes + "\n\tError Information              : node type=HBM\n",
	})
}

// hangsBefore has the calls of npu-smi that match a shell pattern hang until the restart.
func hangsBefore(calls string) func(*rig) {
	return func(r *rig) {
		r.hang(calls)
		r.booted = r.answerAll
	}
}

// hangsAfter has them hang from the restart on.
func hangsAfter(calls string) func(*rig) {
	return func(r *rig) { r.booted = func() { r.hang(calls) } }
}

func (r *rig) hang(calls string) {
	r.upgrade.AtOnce = 1 // so that the same cards are not asked any more
	r.smi(strings.ReplaceAll(calls, " ", "\\ ") + ") exec sleep 600 ;;\n")
	r.host.TimeoutOf = func(argv []string) time.Duration {
		if hung, err := path.Match(calls, strings.Join(argv[1:], " ")); err == nil && hung {
			return 100 * time.Millisecond
		}
		return 0
	}
}

// answerAll has npu-smi answer again, in its own time.
func (r *rig) answerAll() {
	r.smi("")
	r.host.TimeoutOf = nil
}

const (
	board3  = "info -t board -i 3"
	noBoard = "Failed to query \"board\" info.\n"
)

// unknownFamily is a host of one card, whose board query is answered so.
func unknownFamily(board string) func(*rig) {
	return func(r *rig) {
		r.remove("sys/bus/pci/devices")
		r.answer(map[string]string{
			"info -l": listOf(0), "info -t board -i 0": board, "info -t health -i 0": strings.Replace(head3, ": 3", ": 0", 1) + okChip + okMCU,
		})
	}
}

// device adds a chip to the PCI bus.
func (r *rig) device(address, id string) {
	r.Helper()
	for name, text := range map[string]string{"vendor": "0x19e5\n", "device": id + "\n", "class": "0x120000\n"} {
		r.write("sys/bus/pci/devices/"+address+"/"+name, text)
	}
}

// unloadable has the dynamic loader refuse to start npu-smi.
func (r *rig) unloadable() {
	r.Helper()
	for _, dir := range []string{"usr/local/sbin", "usr/local/bin"} {
		r.write(dir+"/npu-smi", "#!/bin/sh\necho 'npu-smi: "+loader+"' >&2\nexit 127\n")
	}
}

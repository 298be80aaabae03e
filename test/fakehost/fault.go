package fakehost

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Fault is the name of something that goes wrong on the host while it is set.
type Fault string

// The faults; Faults says what each does and which arguments it takes.
const (
	CardLost              Fault = "card_lost"
	CardAlarm             Fault = "card_alarm"
	CardsDisagree         Fault = "cards_disagree"
	CardGoneAfterReboot   Fault = "card_gone_after_reboot"
	LinkDown              Fault = "link_down"
	OtherKernel           Fault = "other_kernel"
	DriverDown            Fault = "driver_down"
	DriverDownUntilReboot Fault = "driver_down_until_reboot"
	SmiHang               Fault = "npu_smi_hang"
	SmiGarbage            Fault = "npu_smi_garbage"
	SmiFlood              Fault = "npu_smi_flood"
	NotSupported          Fault = "not_supported"
	BusyProcess           Fault = "busy_process"
	BusyContainer         Fault = "busy_container"
	InstallFailsAt        Fault = "install_fails_at"
	InstallSlow           Fault = "install_slow"
	InstallStops          Fault = "install_stops"
	InstallAsks           Fault = "install_asks"
	InstallRepeats        Fault = "install_repeats"
	InstallFloods         Fault = "install_floods"
	InstallExits          Fault = "install_exits"
	InstallRefuses        Fault = "install_refuses"
	DiskFull              Fault = "disk_full"
	PackagesLocked        Fault = "packages_locked"
	MCUFails              Fault = "mcu_fails"
	MCUStaysOld           Fault = "mcu_stays_old"
	VersionStaysOld       Fault = "version_stays_old"
	VersionInfoMissing    Fault = "version_info_missing"
	VersionInfoDamaged    Fault = "version_info_damaged"
	ToolsSlow             Fault = "tools_slow"
	CardHot               Fault = "card_hot"
	PagesPending          Fault = "pages_pending"
	HCCSDown              Fault = "hccs_down"
	PCIeNarrow            Fault = "pcie_narrow"
	PCIeErrors            Fault = "pcie_errors"
	PortDark              Fault = "port_dark"
	PortErrors            Fault = "port_errors"
	NoAddress             Fault = "no_address"
	HCCNBusy              Fault = "hccn_busy"
	KernelErrors          Fault = "kernel_errors"
	DKMSMissing           Fault = "dkms_missing"
	ClockUnsynced         Fault = "clock_unsynced"
	DMIFails              Fault = "dmi_fails"
	ReportHangs           Fault = "report_hangs"
	ChipSilent            Fault = "chip_silent"
	LibraryMissing        Fault = "library_missing"
	FamilyUnknown         Fault = "family_unknown"
	MCUAlarm              Fault = "mcu_alarm"
	ECCErrors             Fault = "ecc_errors"
	MemoryHeld            Fault = "memory_held"
	PortDim               Fault = "port_dim"
	PortFlaps             Fault = "port_flaps"
	KernelLosesCard       Fault = "kernel_loses_card"
)

// Args are a fault's arguments. A fault also takes times=N: it applies to N calls
// and clears itself (the faults of npu-smi and of the installers only).
type Args map[string]string

// Int is the argument's value, def if it is absent.
func (a Args) Int(key string, def int) int {
	if n, err := strconv.Atoi(a[key]); err == nil {
		return n
	}
	return def
}

// String is the argument's value, def if it is absent.
func (a Args) String(key, def string) string {
	if v, ok := a[key]; ok {
		return v
	}
	return def
}

// FaultHelp describes one fault.
type FaultHelp struct {
	Fault  Fault
	Args   []string // the arguments it knows, beside times
	SeenBy []Task   // whose tests have a row of it, one at least: see Missing
	What   string   // one line
}

// Faults describes every fault there is. A card argument is an NPU id; without it
// the last NPU is meant (for the busy faults the first).
func Faults() []FaultHelp {
	return []FaultHelp{
		{CardLost, []string{"card"}, by(Upgrade, Diagnosis), "a card fell off the bus: not in -l, \"Invalid card id.\", no PCI device"},
		{CardAlarm, []string{"card", "chip", "health", "codes"}, by(Upgrade, Diagnosis), "a card (chip: only this one of its chips) reports health (Alarm) and error codes (80E01801)"},
		{CardsDisagree, []string{"card", "driver", "firmware"}, by(Upgrade, Diagnosis), "a card says it runs other versions than the rest"},
		{CardGoneAfterReboot, []string{"card"}, by(Upgrade), "the next boot turns this into card_lost"},
		{LinkDown, []string{"card"}, by(Upgrade, Diagnosis), "hccn_tool reports the chip's link DOWN and its net health Fault"},
		{OtherKernel, []string{"release"}, by(Upgrade), "the next boot is of another kernel (5.10.0-216.0.0.119.oe2203sp4), for which no driver was built"},
		{DriverDown, []string{"code", "log", "until"}, by(Upgrade, Diagnosis, LogCollection), "the driver does not answer: npu-smi says -8005 (code) and exits 187; log=1 prints libdrv's line first; until=reboot or until=install (the first new driver that runs) ends it"},
		{DriverDownUntilReboot, nil, by(Upgrade), "after a driver installation npu-smi says -8005 until the host was restarted"},
		{SmiHang, []string{"seconds"}, by(Upgrade, Diagnosis), "npu-smi does not end (or only after seconds)"},
		{SmiGarbage, nil, by(Upgrade, Diagnosis), "npu-smi prints bytes that mean nothing and exits 0"},
		{SmiFlood, []string{"mb"}, by(Upgrade, Diagnosis), "npu-smi prints 100 (mb) megabytes and exits 0"},
		{NotSupported, []string{"type"}, by(Upgrade, Diagnosis), "npu-smi info -t prints only that it is not supported, and exits 0 (type: for this type only)"},
		{BusyProcess, []string{"card", "pid", "name", "memory"}, by(Upgrade, Diagnosis), "a process holds the davinci nodes"},
		{BusyContainer, []string{"card", "pid", "name", "memory", "id"}, by(Upgrade, Diagnosis), "a container holds the davinci nodes"},
		{InstallFailsAt, []string{"percent", "kind"}, by(Upgrade), "an installer (kind: driver or firmware only) fails when it has reached percent (50)"},
		{InstallSlow, []string{"factor", "kind"}, by(Upgrade), "an installer takes factor (10) times its time"},
		{InstallStops, []string{"kind"}, by(Upgrade), "an installer says \"installation Stoped!\" and exits 0 with nothing installed, even with --quiet"},
		{InstallAsks, []string{"kind", "percent", "question"}, by(Upgrade), "an installer asks, although it was given --quiet, until it is answered: for the kernel's path (question=license, =path: as makeself and the check of the folder ask), when it has reached percent (10; 0: before it changes anything)"},
		{InstallRepeats, []string{"kind", "percent", "line"}, by(Upgrade), "an installer prints \"Waiting for device startup...\" (line) without end when it has reached percent (40)"},
		{InstallFloods, []string{"kind", "percent"}, by(Upgrade), "an installer prints ever other lines without end when it has reached percent (40)"},
		{InstallExits, []string{"kind", "percent", "code", "says"}, by(Upgrade), "an installer prints says (nothing; | ends a line) and exits with code (1) when it has reached percent (0: before it changes anything)"},
		{InstallRefuses, []string{"step"}, by(Upgrade), "the driver's installer fails at a step of Huawei's scripts: headers, copy, signature, revoked, rename, path, module, services, load, owner, mode, bundle, recovery (step)"},
		{DiskFull, []string{"kind"}, by(Upgrade), "an installer says there is no space"},
		{PackagesLocked, nil, by(Upgrade), "rpm and dpkg say that another of their kind runs"},
		{MCUFails, []string{"card", "says"}, by(Upgrade), "npu-smi upgrade -t mcu says \"Failed to upgrade the MCU firmware.\" (says) for a card"},
		{MCUStaysOld, []string{"card"}, by(Upgrade), "a card's MCU runs its old image after the new one was activated"},
		{VersionStaysOld, []string{"kind"}, by(Upgrade), "what is pending stays pending over reboots, the old version runs"},
		{VersionInfoMissing, []string{"kind"}, by(Upgrade, Diagnosis), "version.info (kind: driver or firmware only) is not there"},
		{VersionInfoDamaged, []string{"kind"}, by(Upgrade, Diagnosis), "version.info is cut and full of zeros"},
		{ToolsSlow, []string{"ms"}, by(Upgrade, Diagnosis), "every call of npu-smi and hccn_tool takes 300 (ms) milliseconds"},
		{CardHot, []string{"card", "chip", "celsius"}, by(Diagnosis), "a card (chip: only this one of its chips) is at 98 (celsius) degrees"},
		{PagesPending, []string{"card", "pages"}, by(Diagnosis), "2 (pages) pages of a card's HBM wait for their isolation"},
		{HCCSDown, []string{"card"}, by(Diagnosis), "a card's third HCCS link has no lanes"},
		{PCIeNarrow, []string{"card"}, by(Diagnosis), "a card's PCIe link has half its lanes"},
		{PCIeErrors, []string{"card", "count"}, by(Diagnosis), "the bus counts 3 (count) fatal errors of a card"},
		{PortDark, []string{"card", "limits"}, by(Diagnosis), "a port's transceiver receives hardly any light; the link is up (limits=none: the module states no limits)"},
		{PortErrors, []string{"card"}, by(Diagnosis), "a port counts bad packets and lost links"},
		{NoAddress, []string{"card"}, by(Diagnosis), "a port has no address"},
		{HCCNBusy, nil, by(Diagnosis), "another program asks hccn_tool all the time"},
		{KernelErrors, nil, by(Diagnosis), "the kernel logs errors of the NPU driver"},
		{DKMSMissing, nil, by(Diagnosis), "DKMS has built no driver for the running kernel"},
		{ClockUnsynced, nil, by(Diagnosis), "the clock is not synchronised"},
		{ReportHangs, nil, by(LogCollection), "msnpureport does not end"},
		{ChipSilent, []string{"card", "chip"}, by(Upgrade, Diagnosis), "a chip (0) does not answer: npu-smi says so in the place of its block, and common prints zeros; where the card has a controller it exits 0"},
		{LibraryMissing, nil, by(Upgrade, Diagnosis), "npu-smi cannot be loaded: a shared library is missing, exit status 127"},
		{FamilyUnknown, nil, by(Upgrade, Diagnosis), "the chips are of a family that is yet to come, on UB and not on PCI: Vendor ID and Device ID instead of the PCI keys"},
		{MCUAlarm, []string{"card", "health"}, by(Upgrade, Diagnosis), "the management controller of a card reports health (Alarm), its chips are well"},
		{ECCErrors, []string{"card", "chip", "count"}, by(Diagnosis), "a chip (0) counts 3 (count) double-bit errors, and its health is OK"},
		{MemoryHeld, []string{"card", "percent", "cores"}, by(Diagnosis), "89 (percent) percent of the memory of a card and 0 (cores) percent of its AI cores are in use, and no process is listed"},
		{PortDim, []string{"card", "mw", "flag"}, by(Diagnosis), "a port's transceiver receives less light than its own limit: 0.2041 (mw) mW; flag is its Rx Los Flag (0x0)"},
		{PortFlaps, []string{"card"}, by(Diagnosis), "a port's link was lost three times within an hour, on a release that counts no losses"},
		{KernelLosesCard, []string{"device"}, by(Diagnosis), "the kernel logs that a device (the last) is abnormal and does not answer"},
		{DMIFails, []string{"item", "word", "says"}, by(Diagnosis), "ascend-dmi's item (bandwidth) ends with EMERGENCY_WARN (word); says is one more sentence about it"},
	}
}

// Applies tells whether the fault is meant for this kind of package or file.
func (a Args) Applies(kind string) bool { return a.String("kind", kind) == kind }

// Fault returns the arguments of f and whether it is set.
func (s State) Fault(f Fault) (Args, bool) {
	args, on := s.Faults[f]
	return args, on
}

// SetFault sets a fault, arguments written "key=value"; one that was set is replaced.
// Tools that run already may or may not notice. An unknown fault or argument is an error.
func (h *Host) SetFault(f Fault, args ...string) error {
	all := Faults()
	i := slices.IndexFunc(all, func(k FaultHelp) bool { return k.Fault == f })
	if i < 0 {
		return fmt.Errorf("fakehost: no fault %q, see Faults", f)
	}
	parsed := Args{}
	for _, a := range args {
		key, value, ok := strings.Cut(a, "=")
		if !ok || (key != "times" && !slices.Contains(all[i].Args, key)) {
			return fmt.Errorf("fakehost: fault %s does not take %q, it takes %v and times", f, a, all[i].Args)
		}
		parsed[key] = value
	}
	err := h.Update(func(s *State) error {
		if s.Faults == nil {
			s.Faults = map[Fault]Args{}
		}
		s.Faults[f] = parsed
		return nil
	})
	if err != nil {
		return err
	}
	return h.Record(Event{Kind: KindFault, Name: string(f), Argv: args, Note: "set"})
}

// ClearFault takes a fault away; one that is not set is no error.
func (h *Host) ClearFault(f Fault) error {
	err := h.Update(func(s *State) error { delete(s.Faults, f); return nil })
	if err != nil {
		return err
	}
	return h.Record(Event{Kind: KindFault, Name: string(f), Note: "clear"})
}

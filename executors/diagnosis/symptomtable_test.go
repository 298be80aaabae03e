package diagnosis_test

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"devserver-agent/executors/diagnosis"
	"devserver-agent/test/fakehost"
)

// symptom is something wrong with an A2 host and what each check must say of it: the
// beginning of each finding but those of machines. What is not named must pass.
type symptom struct {
	name    string
	model   fakehost.Model
	place   fakehost.Place
	whole   bool            // the host has all cards of its model, not the last two
	level   diagnosis.Level // "": the light checks only
	faults  map[fakehost.Fault][]string
	prepare func(t *testing.T, fake *fakehost.Host)
	edit    func(line, printed string) string // what a tool prints in place of this; nil: this
	want    []string
}

// replacing is an edit of all answers to the lines that have these words.
func replacing(words, old, now string) func(line, printed string) string {
	pattern := regexp.MustCompile(old)
	return func(line, printed string) string {
		if strings.Contains(line, words) {
			return pattern.ReplaceAllString(printed, now)
		}
		return printed
	}
}

func one(f fakehost.Fault, args ...string) map[fakehost.Fault][]string {
	return map[fakehost.Fault][]string{f: args}
}

// silent are the checks that ask cards, when the driver lists none; the reason is said
// once, by the check of the driver.
func silent() []string {
	var want []string
	for _, name := range []string{"cards", "health", "versions", "ecc", "temperature", "load", "processes", "hccs", "roce"} {
		want = append(want, "SKIP "+name+" the driver lists no card, see the check driver")
	}
	return want
}

// silentChip are the checks that ask chips, of a chip that does not answer.
func silentChip(name string) []string {
	var want []string
	for _, check := range []string{"ecc", "temperature", "load"} {
		want = append(want, "SKIP "+check+" "+name+"npu-smi could not ask it: Failed to query npu chip: ")
	}
	return append(want, "SKIP hccs "+name+"npu-smi failed (Failed to query \"hccs\" info)",
		"SKIP processes "+name+"npu-smi could not ask it: Failed to query npu chip: ")
}

const down = "driver not running: dcmi -8005"

var symptoms = []symptom{
	{name: "Nothing"},
	{name: "Nothing, on an A3 host", model: fakehost.A3},
	{name: "Nothing, on a 310P host", model: fakehost.P310, want: []string{
		"SKIP hccs cards 8, 16: this family reports the counters of its links only, and no health", "SKIP roce chips of this family have no ports"}},
	{name: "Nothing, on a 310P host with two chips a card", model: fakehost.Duo310P, want: []string{
		"SKIP hccs cards 8, 16: this family reports the counters of its links only, and no health", "SKIP roce chips of this family have no ports"}},
	{name: "Nothing, on a 950 host", whole: true, model: fakehost.A5, want: []string{"SKIP hccs cards 0-7: not reported by npu-smi (This device does not support querying hccs)"}},
	{name: "Nothing, in a virtual machine", whole: true, place: fakehost.VM, want: []string{
		"SKIP roce cards 0-7: ports cannot be asked here: not reported by hccn_tool (The VM does not support this command)"}},
	{name: "The chips are of a family that this version does not know", faults: one(fakehost.FamilyUnknown), want: []string{
		"INFO cards the chips are of a family that this version does not know: vendor ", "SKIP pcie no Ascend chip is on the PCI bus"}},
	{name: "The cards are of a family that this version does not know, and are asked in other ways", model: fakehost.A5, faults: one(fakehost.FamilyUnknown), want: []string{
		"INFO cards the chips are of a family that this version does not know: vendor ", "SKIP pcie no Ascend chip is on the PCI bus",
		"SKIP hccs cards 6-7: this version does not know how chips of this family are asked: npu-smi failed (Error parameter of -c)",
		"SKIP roce cards 6-7: ports of chips 6-7: this version does not know how chips of this family are asked: hccn_tool failed"}},
	{name: "npu-smi does not find a library", whole: true, faults: one(fakehost.LibraryMissing), want: append(silent(),
		"FAIL driver npu-smi cannot be loaded (error while loading shared libraries: libc_sec.so", "INFO cards chips on the PCI bus: 8")},
	{name: "The driver is down", whole: true, faults: one(fakehost.DriverDown), want: append(silent(),
		"FAIL driver "+down, "INFO cards chips on the PCI bus: 8")},
	{name: "The device is in use, says the driver", whole: true, faults: one(fakehost.DriverDown, "code=-8020"), want: append(silent(),
		"FAIL driver device in use: dcmi -8020", "INFO cards chips on the PCI bus: 8")},
	{name: "npu-smi hangs", whole: true, faults: one(fakehost.SmiHang), want: append(silent(),
		"FAIL driver npu-smi did not answer in time", "INFO cards chips on the PCI bus: 8")},
	{name: "npu-smi prints garbage", whole: true, faults: one(fakehost.SmiGarbage), want: append(silent(),
		"FAIL driver npu-smi's answer is not a list of cards", "INFO cards chips on the PCI bus: 8")},
	{name: "npu-smi prints without end", whole: true, faults: one(fakehost.SmiFlood), want: append(silent(),
		"FAIL driver npu-smi printed more than 1 MiB", "INFO cards chips on the PCI bus: 8")},
	{name: "The tools are slow", faults: one(fakehost.ToolsSlow, "ms=20")},
	{name: "A card fell off the bus", whole: true, faults: one(fakehost.CardLost, "card=3"), want: []string{"FAIL cards card 3: not there"}},
	{name: "The last card fell off the bus", whole: true, faults: one(fakehost.CardLost), want: []string{"WARN cards 7 cards are there; most servers of this family have one more"}},
	{name: "The driver does not list a card that is on the bus", whole: true, faults: one(fakehost.CardLost), prepare: func(t *testing.T, fake *fakehost.Host) {
		dir := filepath.Join(fake.Root(), "sys/bus/pci/devices/0000:42:00.0")
		write(t, filepath.Join(dir, "vendor"), "0x19e5\n")
		write(t, filepath.Join(dir, "device"), "0xd802\n")
	}, want: []string{"FAIL cards 8 chips are on the PCI bus and the driver lists 7, not 0000:42:00.0", "WARN cards 7 cards are there"}},
	{name: "The driver lists a card that is not on the bus", whole: true, prepare: func(t *testing.T, fake *fakehost.Host) {
		remove(t, fake, "sys/bus/pci/devices/0000:02:00.0")
	}, want: []string{"FAIL cards card 3: the driver lists it and the PCI bus has no device at 0000:02:00.0"}},
	{name: "A card has an alarm", faults: one(fakehost.CardAlarm), want: []string{
		"FAIL health card 7: Alarm: 80E01801 (node type=HBM, sensor type=Memory, event state=multi bit ecc), class RestartBusiness",
		"WARN ecc card 7: 1 double-bit errors", "INFO ecc card 7: 1 pages are isolated"}},
	{name: "One of two chips has an alarm", model: fakehost.Duo310P, faults: one(fakehost.CardAlarm, "card=8", "chip=1"), want: []string{
		"FAIL health card 8: chip 1: Alarm: 80E01801", "WARN ecc card 8: chip 1: 1 double-bit errors", "INFO ecc card 8: chip 1: 1 pages are isolated",
		"SKIP hccs cards 8, 16: this family reports the counters of its links only, and no health", "SKIP roce chips of this family have no ports"}},
	{name: "A chip does not answer", faults: one(fakehost.ChipSilent), want: append(silentChip("card 7: "),
		"FAIL health card 7: its health is not known: Failed to query npu chip: 0 info")},
	{name: "One of two chips does not answer", model: fakehost.A3, faults: one(fakehost.ChipSilent, "chip=1"), want: append(silentChip("card 7: chip 1: "),
		"FAIL health card 7: chip 1: its health is not known: Failed to query npu chip: 1 info")},
	{name: "The second of four chips does not answer", model: fakehost.I310, faults: one(fakehost.ChipSilent, "card=3", "chip=1"), want: []string{
		"FAIL health card 3: chip 1: its health is not known: Failed to query npu chip: 1 info",
		"SKIP ecc card 3: chip 1: npu-smi could not ask it", "SKIP temperature card 3: chip 1: npu-smi could not ask it", "SKIP load card 3: chip 1: npu-smi could not ask it",
		"SKIP temperature card 3: chip 2: npu-smi gives no figures behind a chip", "SKIP temperature card 3: chip 3: npu-smi gives no figures behind a chip",
		"SKIP load card 3: chip 2: npu-smi gives no figures behind a chip", "SKIP load card 3: chip 3: npu-smi gives no figures behind a chip",
		"SKIP processes card 3: chip 1: npu-smi could not ask it: Failed to query npu chip: 1 info.", "SKIP hccs cards 3, 5: not reported by npu-smi", "SKIP hccs card 3: chip 1: npu-smi failed",
		"SKIP roce chips of this family have no ports"}},
	{name: "The management controller of a card has an alarm", faults: one(fakehost.MCUAlarm), want: []string{"WARN health card 7: the health of its management controller (MCU) is Alarm"}},
	{name: "A card is to be taken out of use", faults: one(fakehost.CardAlarm, "health=Critical", "codes=80E18402"), want: []string{
		"FAIL health card 7: 80E18402 (node type=HBM, sensor type=Memory, event state=isolated pages exceed the limit), class SeparateNPU"}},
	{name: "A card warns of what may be ignored", faults: one(fakehost.CardAlarm, "health=Warning", "codes=80E01805"), want: []string{"WARN health card 7: Warning: 80E01805 (node type=SoC, sensor type=Chip, event state=fault), class NotHandle"}},
	{name: "A card reports a fault of no known class", faults: one(fakehost.CardAlarm, "health=Warning", "codes=12345678"), want: []string{"WARN health card 7: 12345678 (node type=SoC, sensor type=Chip, event state=fault), a code that this version does not know"}},
	{name: "Cards run different versions", faults: one(fakehost.CardsDisagree), want: []string{"FAIL versions card 7: runs driver 23.0.3 and firmware 7.1.0.5.220, most run 24.1.0 and 7.5.0.2.220"}},
	{name: "A card does not name its firmware", edit: replacing("info -t board -i 7", `(?m)^\s*Firmware Version.*$`, ""), want: []string{
		"FAIL versions card 7: runs driver 24.1.0 and firmware unknown, most run 24.1.0 and 7.5.0.2.220"}},
	{name: "Another version is installed than runs", prepare: func(t *testing.T, fake *fakehost.Host) {
		change(t, fake, func(s *fakehost.State) {
			s.Installed.Driver, s.Pending.Driver = "24.1.0.3", "24.1.0.3"
		})
	}, want: []string{"WARN versions driver 24.1.0.3 is installed and 24.1.0 runs"}},
	{name: "The driver's version.info is missing", faults: one(fakehost.VersionInfoMissing, "kind=driver"), want: []string{"FAIL installation the driver's version.info is missing"}},
	{name: "The firmware's version.info is damaged", faults: one(fakehost.VersionInfoDamaged, "kind=firmware"), want: []string{"FAIL installation read /usr/local/Ascend/firmware/version.info: has a line that is not text"}},
	{name: "The driver is not installed whole", prepare: func(t *testing.T, fake *fakehost.Host) {
		remove(t, fake, "usr/local/Ascend/driver/tools/upgrade-tool")
	}, want: []string{"WARN installation the driver's upgrade-tool is missing"}},
	{name: "DKMS has built no driver for the running kernel", faults: one(fakehost.DKMSMissing), want: []string{"WARN dkms DKMS has built no driver for the running kernel 5.10.0-216.0.0.115.oe2203sp4; another build"}},
	{name: "Another kernel boots next", prepare: func(t *testing.T, fake *fakehost.Host) {
		const next = "5.10.0-216.0.0.119.oe2203sp4"
		write(t, fake.Path("lib/modules/"+next+"/modules.dep"), "")
		write(t, fake.Path("etc/default/grub"), "GRUB_DEFAULT=saved\n")
		write(t, fake.Path("boot/grub2/grubenv"), "# GRUB Environment Block\nsaved_entry=0123456789abcdef0123456789abcdef-"+next+"\n")
	}, want: []string{"WARN dkms DKMS has built no driver for 5.10.0-216.0.0.119.oe2203sp4, which boots next"}},
	{name: "Another kernel boots next, without grub's environment", prepare: func(t *testing.T, fake *fakehost.Host) {
		const next = "6.8.0-52-generic"
		write(t, fake.Path("boot/vmlinuz-"+next), "")
		if err := os.Symlink("vmlinuz-"+next, fake.Path("boot/vmlinuz")); err != nil {
			t.Fatal(err)
		}
	}, want: []string{"WARN dkms DKMS has built no driver for 6.8.0-52-generic, which boots next (/boot/vmlinuz)"}},
	{name: "A chip counts double-bit errors and its health is OK", faults: one(fakehost.ECCErrors), want: []string{"WARN ecc card 7: 3 double-bit errors", "INFO ecc card 7: 3 pages are isolated"}},
	{name: "Pages wait for their isolation", faults: one(fakehost.PagesPending), want: []string{"WARN ecc card 7: 2 pages wait for isolation"}},
	{name: "A card is too hot", faults: one(fakehost.CardHot), want: []string{"FAIL temperature card 7: 98 C, the limit is 95"}},
	{name: "A card is hot", faults: one(fakehost.CardHot, "celsius=85"), want: []string{"WARN temperature card 7: 85 C, the limit is 80"}},
	{name: "A job runs", whole: true, faults: one(fakehost.BusyProcess), want: []string{"INFO load card 0: AI cores are 87 % busy", "INFO processes card 0: process 40213 (python3) uses 54790 MB"}},
	{name: "A job runs in a container", whole: true, faults: one(fakehost.BusyContainer), want: []string{
		"INFO load card 0: AI cores are 87 % busy", "INFO processes card 0: process 40977 (python3) uses 54790 MB", "INFO processes container python3 (3f1c9a5d7e20) was given NPUs"}},
	{name: "Memory is in use and nobody uses it", faults: one(fakehost.MemoryHeld), want: []string{"WARN load card 7: 89 % of its memory is in use and npu-smi lists no process on it; no process has /dev/davinci*"}},
	{name: "AI cores are busy and no process is listed", whole: true, faults: one(fakehost.MemoryHeld, "card=2", "percent=40", "cores=31"), want: []string{"WARN load card 2: 40 % of its memory is in use, its AI cores are 31 % busy and npu-smi lists no process on it; no process has"}},
	{name: "Memory is held by a process that npu-smi does not list", whole: true, faults: one(fakehost.MemoryHeld, "card=5"), prepare: func(t *testing.T, fake *fakehost.Host) {
		write(t, fake.Path("proc/5120/comm"), "python3\n")
		if err := errors.Join(os.MkdirAll(fake.Path("proc/5120/fd"), 0o755), os.Symlink("/dev/davinci5", fake.Path("proc/5120/fd/7"))); err != nil {
			t.Fatal(err)
		}
	}, want: []string{
		"WARN load card 5: 89 % of its memory is in use and npu-smi lists no process on it; /dev/davinci* is held by process 5120 (python3)",
		"INFO processes process 5120 (python3) holds NPUs"}},
	{name: "Links between cards are down", faults: one(fakehost.HCCSDown), want: []string{"FAIL hccs card 7: HCCS is not healthy, no lanes on link 3"}},
	{name: "A card's PCIe link has half its lanes", faults: one(fakehost.PCIeNarrow), want: []string{"WARN pcie 0000:42:00.0: its PCIe link runs at 8 lanes, it can do 16"}},
	{name: "The bus counts fatal errors", faults: one(fakehost.PCIeErrors), want: []string{"FAIL pcie 0000:42:00.0: the bus counts 3 errors (TOTAL_ERR_FATAL)"}},
	{name: "A port has no link", faults: one(fakehost.LinkDown), want: []string{"FAIL roce card 7: port of chip 7: no link"}},
	{name: "A port gets less light than its module wants", faults: one(fakehost.PortDim), want: []string{"WARN roce card 7: port of chip 7: Rx Power"}},
	{name: "A port's module flags lost light", faults: one(fakehost.PortDim, "mw=1.0213", "flag=0x4"), want: []string{"WARN roce card 7: port of chip 7: Rx Los Flag is 0x4: no light comes in (lane 2)"}},
	{name: "A port loses its link again and again", faults: one(fakehost.PortFlaps), want: []string{"WARN roce card 7: port of chip 7: its link was lost 3 times within an hour"}},
	{name: "A port gets little light", faults: one(fakehost.PortDark, "limits=none"), want: []string{"WARN roce card 7: port of chip 7: Rx Power0 is 0.0021 mW, less than 0.1 mW"}},
	{name: "A port counts errors", faults: one(fakehost.PortErrors), want: []string{
		"WARN roce card 7: port of chip 7: mac_rx_bad_pkt_num is 4711 and mac_rx_total_pkt_num is 118, which contradict each other", "WARN roce card 7: port of chip 7: its link was lost 3 times"}},
	{name: "A port has no address", faults: one(fakehost.NoAddress), want: []string{
		"INFO roce card 7: port of chip 7: watches no address", "WARN roce card 7: port of chip 7: has no address"}},
	{name: "Another program asks hccn_tool all the time", whole: true, faults: one(fakehost.HCCNBusy), want: []string{"WARN roce cards 0-7: ports of chips 0-7: hccn_tool was busy with another call"}},
	{name: "The kernel logs errors of the driver", whole: true, faults: one(fakehost.KernelErrors), want: []string{"WARN kernel the kernel logged 2 errors of the NPU driver, device 0, latest: [  812.004101] pcieport"}},
	{name: "The kernel says that a card is lost", faults: one(fakehost.KernelLosesCard, "device=6"), want: []string{"WARN kernel the kernel logged"}},
	{name: "The clock is not synchronised", faults: one(fakehost.ClockUnsynced), want: []string{"WARN clock the clock is not synchronised"}},
	{name: "The host has no memory left", prepare: func(t *testing.T, fake *fakehost.Host) {
		write(t, fake.Path("proc/meminfo"), "MemTotal:       1583964160 kB\nMemFree:        1480211 kB\nMemAvailable:   1497804 kB\nHugePages_Total:       4\nHugePages_Free:       0\n")
	}, want: []string{"WARN memory 0.1 % of the host's memory is available", "INFO memory huge pages: 4, free: 0"}},
	{name: "A query is not supported by this release", whole: true, faults: one(fakehost.NotSupported, "type=ecc"), want: []string{"SKIP ecc cards 0-7: not reported by npu-smi (This device does not support querying ecc)"}},
	{name: "npu-smi warns beside its list", edit: replacing("info -l", "Total Count", "[WARNING]The driver package may not be completely installed.\nTotal Count"), want: []string{
		"WARN driver npu-smi warns: The driver package may not be completely installed."}},
	{name: "The list of the PCI bus cannot be read", prepare: func(t *testing.T, fake *fakehost.Host) {
		remove(t, fake, "sys/bus/pci/devices")
		write(t, fake.Path("sys/bus/pci/devices"), "")
	}, want: []string{"WARN cards list /sys/bus/pci/devices: ", "WARN pcie list /sys/bus/pci/devices: "}},
	{name: "A device of the PCI bus has an id that is none", prepare: func(t *testing.T, fake *fakehost.Host) {
		write(t, fake.Path("sys/bus/pci/devices/0000:01:00.0/vendor"), "unknown\n")
	}, want: []string{`WARN cards read /sys/bus/pci/devices/0000:01:00.0/vendor: "unknown" is not a PCI id`, "WARN pcie read /sys/bus/pci/devices/0000:01:00.0/vendor: "}},
	{name: "A counter of memory errors is not a number", edit: replacing("-t ecc -i 7", `Double Bit Error Count +: `, "Double Bit Error Count : more than "), want: []string{"WARN ecc card 7: "}},
	{name: "A temperature is not a number", edit: replacing("-t common -i 7", `(\tTemperature\(C\) +: )`, "${1}warm "), want: []string{"WARN temperature card 7: "}},
	{name: "A chip's load is not a number", edit: replacing("-t common -i 7", `(Aicore Usage Rate\(%\) +: )`, "${1}about "), want: []string{"WARN load card 7: "}},
	{name: "The driver's ranges of firmware cannot be read", prepare: func(t *testing.T, fake *fakehost.Host) {
		change(t, fake, func(s *fakehost.State) { s.DriverWants = "[7.0.0,7.5.99],[8" })
	}, want: []string{"WARN versions the ranges that driver 24.1.0 declares cannot be read: "}},
	{name: "The firmware's ranges of drivers cannot be read", prepare: func(t *testing.T, fake *fakehost.Host) {
		change(t, fake, func(s *fakehost.State) { s.FirmwareWants = "24.1.0" })
	}, want: []string{"WARN versions the ranges that firmware 7.5.0.2.220 declares cannot be read: "}},
	{name: "ascend_install.info is empty", prepare: func(t *testing.T, fake *fakehost.Host) {
		remove(t, fake, "etc/ascend_install.info")
		write(t, fake.Path("etc/ascend_install.info"), "")
	}, want: []string{"WARN installation read /etc/ascend_install.info: has no key"}},
	{name: "ascend_install.info is damaged", prepare: func(t *testing.T, fake *fakehost.Host) {
		remove(t, fake, "etc/ascend_install.info")
		write(t, fake.Path("etc/ascend_install.info"), "UserName=Hw\x00\x00\x00\n")
	}, want: []string{"WARN installation read /etc/ascend_install.info: "}},
	{name: "ascend-dmi finds a card that may stay in use", level: diagnosis.Performance, faults: one(fakehost.DMIFails, "item=bandwidth", "word=GENERAL_WARN"), want: []string{"WARN performance bandwidth: GENERAL_WARN"}},
	{name: "ascend-dmi finds a card to be repaired", level: diagnosis.Performance, faults: one(fakehost.DMIFails, "item=bandwidth", "word=IMPORTANT_WARN"), want: []string{"WARN performance bandwidth: IMPORTANT_WARN"}},
	{name: "ascend-dmi finds a card that must not be used", level: diagnosis.Performance, faults: one(fakehost.DMIFails, "item=bandwidth"), want: []string{"FAIL performance bandwidth: EMERGENCY_WARN"}},
	{name: "ascend-dmi says a word that is not known", level: diagnosis.Performance, faults: one(fakehost.DMIFails, "item=aiflops", "word=MINOR_FAULT"), want: []string{"FAIL performance aiflops: MINOR_FAULT, a word that this version does not know"}},
	{name: "ascend-dmi was not alone with the NPUs", level: diagnosis.Performance, faults: one(fakehost.DMIFails, "item=aiflops", "word=FAIL", "says=Some processes are seizing the NPU. Test results may be affected."), want: []string{"FAIL performance aiflops: the result is doubtful, as the NPU was in use: FAIL"}},
}

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o755), os.WriteFile(name, []byte(text), 0o644)); err != nil {
		t.Fatal(err)
	}
}

func remove(t *testing.T, fake *fakehost.Host, name string) {
	t.Helper()
	if err := os.RemoveAll(fake.Path(name)); err != nil {
		t.Fatal(err)
	}
}

func change(t *testing.T, fake *fakehost.Host, how func(*fakehost.State)) {
	t.Helper()
	if err := fake.Update(func(s *fakehost.State) error { how(s); return nil }); err != nil {
		t.Fatal(err)
	}
}

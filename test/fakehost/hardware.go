package fakehost

import (
	"slices"
	"strings"
)

// Knowledge is how sure it is that a tool prints what the fake host prints.
type Knowledge string

// The kinds of knowledge. Zero: the family's tool does not answer, and says so.
const (
	Captured    Knowledge = "captured"    // an answer of a real host was published
	Inferred    Knowledge = "inferred"    // from the vendor's source or manual; nobody published an answer
	Unpublished Knowledge = "unpublished" // nothing public was found: the text is plausible, no more
)

// Question is something that a tool is asked, how sure each family's answer is, and
// where that comes from. docs/hardware.md and the layouts that the tools are tested
// with are made from Questions.
type Question struct {
	Tool, Ask string
	Known     map[Model]Knowledge
	Sources   string
	Note      string // what differs between families and releases; "" if nothing does
}

// The public sources, as Questions name them.
const (
	sourceDriver  = "source of the HDK driver package (github hicann/driver, npucli, hccn)"
	sourceManual  = "npu-smi manual (hiascend.com)"
	sourceCapture = "published answers of real hosts, releases 21 to 26"
)

// every gives all models one knowledge, but for some.
func every(k Knowledge, but map[Model]Knowledge) map[Model]Knowledge {
	known := map[Model]Knowledge{}
	for _, m := range Models() {
		known[m] = k
		if other, is := but[m]; is {
			known[m] = other
		}
	}
	return known
}

// Questions are all that an agent asks an Ascend host.
func Questions() []Question {
	servers := func(a1, a2, a3, a5 Knowledge) map[Model]Knowledge {
		return map[Model]Knowledge{A1: a1, A2: a2, A3: a3, A5: a5}
	}
	return []Question{
		{
			"npu-smi", "info", every(Captured, nil), sourceCapture + "; widths from the " + sourceDriver,
			"Table layouts: A on 310 (no huge pages, no table of processes), B on 910A with release 21.0.2 (no huge pages; only in the test data of the parser), C on 910A, D on 310P and 310B, E on 910B, F on A3 (two chips a card), G with 26.x tools (wider, a fifth column of processes), H on 950 (NPU ID, NPU Util, one id a card).",
		},
		{
			"npu-smi", "info -l", every(Captured, map[Model]Knowledge{A5: Inferred}), sourceCapture + "; " + sourceDriver,
			"310 and 310B say Card Count, others Total Count. Servers leave out product and serial number. A 950 counts no chips.",
		},
		{
			"npu-smi", "info -m", every(Captured, map[Model]Knowledge{I310: Inferred, A1: Inferred}), sourceCapture + "; " + sourceDriver,
			"Cards with a controller have a row of their Mcu. A3 adds Chip Phy-ID; a 950 has Slot ID and no logic id; a 310 is called MiniD.",
		},
		{
			"npu-smi", "info -t board -i CARD", every(Inferred, map[Model]Knowledge{A2: Captured, A3: Captured, P310: Captured}), sourceCapture + "; " + sourceDriver,
			"All but a 910A name product, maker and serial number. A 310 tells no compatibility. Cards that are not part of a server end with Chip Fault or Faulty Chip Count. A 950 tells of its chip, too. Cards on UB have Vendor ID, Device ID, Module Vendor ID and Module ID instead of the PCI keys: inferred.",
		},
		{
			"npu-smi", "info -t health -i CARD", every(Captured, map[Model]Knowledge{I310: Inferred, B310: Inferred, A1: Inferred}), sourceCapture,
			"A block a chip (Health, Chip ID), and one of the MCU, without codes; the MCU is NA in a virtual machine. On 310 and 310B Chip ID begins the block. A chip that does not answer is a sentence beside its id; where the card has an MCU the exit status is 0 all the same. A 950 gives one state with codes.",
		},
		{
			"npu-smi", "info -t health -i CARD -c CHIP", every(Captured, map[Model]Knowledge{I310: Inferred, B310: Inferred, A1: Inferred, A5: ""}), sourceCapture + "; " + sourceManual,
			"The only health answer with codes, but for the 950's.",
		},
		{
			"npu-smi", "info -t common -i CARD", every(Captured, map[Model]Knowledge{I310: Inferred, A1: Inferred}), sourceCapture,
			"Chip ID begins a chip's block on every family but the 950, which has none. A last block is the MCU's; on 310P it has the card's power. On 310B the power is in a block without a chip id, a 310 has a rated power and no frequency. A chip that does not answer, and every chip after it, is printed as zeros (inferred).",
		},
		{
			"npu-smi", "info -t usages -i CARD", every(Captured, map[Model]Knowledge{I310: Inferred, B310: Inferred, A1: Inferred, A5: Inferred}), sourceCapture + "; " + sourceDriver,
			"Chip ID ends the block; on 310 and 310B it begins it, and the keys say Memory instead of DDR. A 950 adds Aivector, Aicube and NPU Utilization.",
		},
		{
			"npu-smi", "info -t ecc -i CARD", every(Captured, map[Model]Knowledge{I310: Inferred, B310: Inferred, A1: Inferred}), sourceCapture + "; " + sourceDriver,
			"Chip ID ends the block; on 310 and 310B it begins it, and the keys are Single-bit and Double-bit Error Count. A 910A counts DDR and HBM; 310P spells Next-Isolated.",
		},
		{
			"npu-smi", "info -t proc-mem -i CARD", every(Captured, map[Model]Knowledge{I310: Inferred, B310: Inferred, A1: Inferred}), sourceCapture + "; " + sourceDriver,
			"Chip ID ends the block; on 310 and 310B it begins it. A process is one line of keys, and values may be empty. A chip that does not answer is a sentence, and the exit status is not 0.",
		},
		{
			"npu-smi", "info -t hccs -i CARD -c CHIP", map[Model]Knowledge{A1: Inferred, A2: Inferred, A3: Inferred, P310: Captured, Duo310P: Captured}, sourceDriver + "; published answers of a 300I Duo",
			"310P has counters of packets and bytes only, no health. Servers have one value per link for lanes, speed and counters. Other families do not know the query.",
		},
		{
			"npu-smi", "upgrade -b|-t|-a mcu -i CARD", servers(Unpublished, Inferred, Inferred, Unpublished), sourceManual,
			"Not in a virtual machine or container.",
		},
		{
			"hccn_tool", "-i CHIP -link|-net_health|-ip|-link_stat|-optical|-stat -g", servers(Inferred, Captured, Captured, Inferred), sourceCapture + "; " + sourceDriver,
			"A 950 is asked -g -ITEM -i CHIP -u DIE -p PORT. Some releases print no link down count, and nobody has published which: the records tell of losses. Some transceivers state no limits. A virtual machine refuses every item in one sentence.",
		},
		{
			"hccn_tool", "-i CHIP -tls|-fec|-speed -g", servers(Inferred, Inferred, Inferred, Inferred), sourceDriver, "",
		},
		{
			"ascend-dmi", "--dg --se SCENE -q", every(Unpublished, map[Model]Knowledge{A2: Captured}), "published summaries of ToolBox 7",
			"HEALTH or PASS, GENERAL_WARN, IMPORTANT_WARN, EMERGENCY_WARN, with sentences below. Exit codes are documented nowhere.",
		},
		{
			"dmesg", "", every(Unpublished, map[Model]Knowledge{A2: Captured}), "published logs of 910B hosts",
			"A few lines of lost cards and of everyday work; no list of the driver's lines is public.",
		},
		{
			"installer", "driver", every(Inferred, map[Model]Knowledge{A2: Captured, P310: Captured}), "install.sh of the " + sourceDriver + "; published logs", "",
		},
		{
			"installer", "firmware", every(Unpublished, map[Model]Knowledge{A2: Captured}), "published logs of successful installations",
			"Why a firmware was refused is in no public text.",
		},
	}
}

func (q Question) String() string { return strings.TrimSpace(q.Tool + " " + q.Ask) }

// About is the question that a command line asks, and whether there is one.
func About(line string) (Question, bool) {
	questions := Questions()
	at := slices.IndexFunc(questions, func(q Question) bool { return q.matches(line) })
	if at < 0 {
		return Question{}, false
	}
	return questions[at], true
}

// matches reports whether a line asks the question: words in capitals stand for any
// word, and words with bars for one of several.
func (q Question) matches(line string) bool {
	asked, words := strings.Fields(line), strings.Fields(q.String())
	if len(asked) != len(words) {
		return false
	}
	for i, word := range words {
		if strings.ToUpper(word) == word && strings.ToLower(word) != word && !strings.HasPrefix(word, "-") {
			continue
		}
		if !slices.Contains(strings.Split(word, "|"), asked[i]) {
			return false
		}
	}
	return true
}

package tool_test

import (
	"bytes"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"

	"devserver-agent/test/fakehost"
	"devserver-agent/test/fakehost/tool"
)

// lines are what an agent asks a host of a model, of its second card and last chip where
// there are two.
func lines(p fakehost.Profile, place fakehost.Place) []string {
	card := p.NPUs[len(p.NPUs)-1]
	if place == fakehost.Container {
		card = p.NPUs[min(5, len(p.NPUs)-1)]
	}
	asked := []string{"npu-smi info", "npu-smi info -l", "npu-smi info -m"}
	for _, topic := range []string{"board", "health", "common", "usages", "ecc", "proc-mem"} {
		asked = append(asked, fmt.Sprintf("npu-smi info -t %s -i %d", topic, card))
	}
	if p.CardsOnly {
		asked = append(asked, fmt.Sprintf("npu-smi info -t hccs -i %d", card))
	} else {
		for _, topic := range []string{"health", "hccs"} {
			asked = append(asked, fmt.Sprintf("npu-smi info -t %s -i %d -c %d", topic, card, p.Chips-1))
		}
	}
	chip := 0
	if place == fakehost.Container && len(p.NPUs) > 5 {
		chip = 5 * p.Chips
	}
	for _, item := range []string{"link", "net_health", "ip", "link_stat", "optical", "stat", "tls", "fec", "speed"} {
		line := fmt.Sprintf("hccn_tool -i %d -%s -g", chip, item)
		if p.CardsOnly {
			line = fmt.Sprintf("hccn_tool -g -%s -i %d -u 0 -p 0", item, chip)
		}
		asked = append(asked, line)
	}
	return asked
}

// Each model's tools print what its layout says, on metal, in a virtual machine and in a
// container. The parsers of executors/ascend are tested with the same layouts.
func TestToolsPrintTheLayoutsOfTheirModel(t *testing.T) {
	for _, model := range fakehost.Models() {
		for _, place := range fakehost.Places() {
			name := fmt.Sprintf("%s-%s", model, place)
			t.Run(name, func(t *testing.T) {
				h := fakehost.ForTest(t, model, fakehost.Options{Place: place, Arch: "aarch64"})
				profile, err := model.Profile()
				if err != nil {
					t.Fatal(err)
				}
				compareLayout(t, h, name, model, place, lines(profile, place))
			})
		}
	}
}

// Release lines differ in what they print of the same host.
func TestToolsPrintTheLayoutsOfTheirRelease(t *testing.T) {
	busy := []string{"npu-smi info", "npu-smi info -t proc-mem -i 0", "npu-smi info -t usages -i 0"}
	for name, c := range map[string]struct {
		model   fakehost.Model
		release string
		faults  faults
		lines   []string
	}{
		"910B-26.1.0-busy":   {fakehost.A2, "26.1.0", faults{fakehost.BusyContainer: {"name=vllm", "memory=12480"}}, busy},
		"910B-24.1.0.3-busy": {fakehost.A2, "24.1.0.3", faults{fakehost.BusyProcess: nil}, busy},
		"910A-21.0.2-busy":   {fakehost.A1, "21.0.2", faults{fakehost.BusyProcess: nil}, busy[:1]},
		"A3-26.0.rc1-busy":   {fakehost.A3, "26.0.rc1", faults{fakehost.BusyProcess: nil}, busy[:1]},
		"950-26.0.rc1-busy":  {fakehost.A5, "26.0.rc1", faults{fakehost.BusyProcess: nil}, busy},
		"310B-24.1.0-busy":   {fakehost.B310, "24.1.0", faults{fakehost.BusyProcess: {"name=infer", "memory=73"}}, busy},
		"Duo-chip-in-alarm": {fakehost.Duo310P, "24.1.1.1", faults{fakehost.CardAlarm: {"card=8", "chip=1"}}, []string{
			"npu-smi info -t health -i 8", "npu-smi info -t health -i 8 -c 0", "npu-smi info -t health -i 8 -c 1"}},
		"A3-chip-silent": {fakehost.A3, "25.2.1", faults{fakehost.ChipSilent: {"card=2", "chip=1"}}, []string{
			"npu-smi info -t health -i 2", "npu-smi info -t common -i 2", "npu-smi info -t ecc -i 2", "npu-smi info -t proc-mem -i 2"}},
		"910B-link-that-flaps": {fakehost.A2, "24.1.0", faults{fakehost.PortFlaps: nil}, []string{"hccn_tool -i 7 -link_stat -g"}},
		"A2-topology":          {fakehost.A2, "24.1.0", nil, []string{"npu-smi info -t topo"}},
		"Duo310P-topology":     {fakehost.Duo310P, "24.1.0.1", nil, []string{"npu-smi info -t topo"}},
		"910B-unknown-family":  {fakehost.A2, "26.0.rc1", faults{fakehost.FamilyUnknown: nil}, []string{"npu-smi info -t board -i 0"}},
	} {
		t.Run(name, func(t *testing.T) {
			h := fakehost.ForTest(t, c.model, fakehost.Options{Arch: "aarch64", Release: fakehost.Release{Driver: c.release}})
			set(t, h, c.faults)
			compareLayout(t, h, "release-"+name, c.model, fakehost.Metal, c.lines)
		})
	}
}

// compareLayout compares what the tools print, and their exit statuses, with a layout. Its
// answers are written from the sources that are named before them, with what a parser has
// to read after them (executors/ascend). No flag writes any of it: the tools follow the
// layouts.
func compareLayout(t *testing.T, h *fakehost.Host, name string, model fakehost.Model, place fakehost.Place, lines []string) {
	t.Helper()
	path := filepath.Join("testdata", "layouts", name+".txtar")
	archive, err := txtar.ParseFile(path)
	if err != nil {
		t.Fatal(err)
	}
	written := map[string]string{}
	for _, f := range archive.Files {
		written[f.Name] = string(f.Data)
	}
	for _, line := range lines {
		q, known := fakehost.About(general(line))
		if !known {
			t.Errorf("nothing is known of %s", line)
		}
		words := strings.Fields(line)
		var out bytes.Buffer
		status := tool.Run(h, words[0], words[1:], &out)
		source := fmt.Sprintf("Source: %s; %s; exit status %d\n", q.Sources, q.Knows(model, place), status)
		if diff := cmp.Diff(written["source of "+line], source); diff != "" {
			t.Errorf("%s: source or exit status of %s (-layout +tool):\n%s", path, line, diff)
		}
		if diff := cmp.Diff(written[line], out.String()); diff != "" {
			t.Errorf("%s: %s is printed in another layout (-layout +tool):\n%s", path, line, diff)
		}
	}
	for name := range written {
		line := name[strings.Index(name, " of ")+len(" of "):]
		if !strings.HasPrefix(name, "source of ") && !strings.HasPrefix(name, "figures of ") {
			line = name
		}
		if !slices.Contains(lines, line) {
			t.Errorf("%s has %q, which nobody asks", path, name)
		}
	}
}

// general is a line in the form of most families: a 950 is not asked about a chip, and
// its hccn_tool has another order.
func general(line string) string {
	if strings.Contains(line, "-t hccs") && !strings.Contains(line, "-c") {
		return line + " -c 0"
	}
	if words := strings.Fields(line); len(words) > 4 && words[1] == "-g" {
		return fmt.Sprintf("%s %s %s %s -g", words[0], words[3], words[4], words[2])
	}
	return line
}

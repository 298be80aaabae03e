package ascend

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"
)

// layout is one answer of a tool, written by hand.
type layout struct {
	source  string // where it comes from, and whether it is a refusal
	answer  []byte
	figures string // what it says, written by hand beside it; "" of a refusal
}

// refused reports whether the layout says that the tool refuses the question here.
func (l layout) refused() bool { return strings.Contains(l.source, "; refused ") }

// layouts are what each family's tools print, on metal, in a virtual machine and in a
// container, by name of the file and by command line; each names its sources.
//
// Those in test/fakehost/tool/testdata/layouts are what the tools of a fake host are
// compared with, too; those in testdata/layouts the fake host knows nothing of.
func layouts(t testing.TB) map[string]map[string]layout {
	t.Helper()
	found := map[string]map[string]layout{}
	for _, dir := range []string{"../../test/fakehost/tool/testdata/layouts", "testdata/layouts"} {
		files, err := filepath.Glob(filepath.Join(dir, "*.txtar"))
		if err != nil || len(files) == 0 {
			t.Fatalf("no layouts in %s (%v)", dir, err)
		}
		for _, file := range files {
			archive, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			found[strings.TrimSuffix(filepath.Base(file), ".txtar")] = cutLayout(archive)
		}
	}
	return found
}

func cutLayout(archive *txtar.Archive) map[string]layout {
	parts := map[string]string{}
	for _, f := range archive.Files {
		parts[f.Name] = string(f.Data)
	}
	answers := map[string]layout{}
	for _, f := range archive.Files {
		if line, isSource := strings.CutPrefix(f.Name, "source of "); isSource {
			answers[line] = layout{source: string(f.Data), answer: []byte(parts[line]), figures: parts["figures of "+line]}
		}
	}
	return answers
}

// Each answer reads as the figures that were written beside it by hand.
func TestTheLayoutsOfEveryFamilyAreUnderstood(t *testing.T) {
	for name, answers := range layouts(t) {
		t.Run(name, func(t *testing.T) {
			for line, l := range answers {
				for _, wrong := range misread(line, l) {
					t.Errorf("%s: %s", line, wrong)
				}
			}
		})
	}
}

// misread is how what is read of an answer differs from what its layout says.
func misread(line string, l layout) []string {
	if !strings.HasPrefix(l.source, "Source: ") {
		return []string{"it names no source"}
	}
	_, _, means := dialects[strings.Fields(line)[0]].recognise(l.answer)
	if strings.Contains(l.source, "; card lost; ") {
		if !errors.Is(means, ErrNoCard) || l.figures != "" {
			return []string{fmt.Sprintf("it is recognised as %v, and its layout says that the card is lost", means)}
		}
		return nil
	}
	switch unsupported := errors.Is(means, ErrUnsupported); {
	case l.refused() != unsupported:
		return []string{fmt.Sprintf("it is recognised as %v, and its layout says %s", means, l.source)}
	case unsupported && l.figures != "":
		return []string{"a refusal has figures"}
	case unsupported:
		return nil
	case l.figures == "":
		return []string{"no figures are written beside it"}
	}
	got, err := figuresOf(line, l.answer)
	if err != nil {
		return []string{fmt.Sprintf("it is not understood: %v\n%s", err, l.answer)}
	}
	if diff := cmp.Diff(strings.Split(l.figures, "\n"), strings.Split(got, "\n")); diff != "" {
		return []string{"it reads otherwise (-layout +parser):\n" + diff}
	}
	return nil
}

// A layout is not passed for being there: each of these must be reported.
func TestALayoutThatIsReadOtherwiseIsReported(t *testing.T) {
	const ecc = "npu-smi info -t ecc -i 0"
	answer := []byte("\tNPU ID : 0\n\tChip Count : 1\n\n\tHBM Double Bit Error Count : 3\n\tChip ID : 0\n")
	refusal := []byte("This device does not support querying ecc.\n")
	for name, c := range map[string]struct {
		line string
		layout
		reported bool
	}{
		"as it is written":                  {ecc, layout{"Source: x; captured; exit status 0\n", answer, "chip 0: HBM double-bit errors 3\n"}, false},
		"another figure":                    {ecc, layout{"Source: x; captured; exit status 0\n", answer, "chip 0: HBM double-bit errors 4\n"}, true},
		"no figures":                        {ecc, layout{"Source: x; captured; exit status 0\n", answer, ""}, true},
		"no source":                         {ecc, layout{"", answer, "chip 0: HBM double-bit errors 3\n"}, true},
		"a refusal":                         {ecc, layout{"Source: x; refused by this family; exit status 0\n", refusal, ""}, false},
		"a refusal that is not expected":    {ecc, layout{"Source: x; captured; exit status 0\n", refusal, ""}, true},
		"an answer in place of a refusal":   {ecc, layout{"Source: x; refused by this family; exit status 0\n", answer, "chip 0: HBM double-bit errors 3\n"}, true},
		"a card that is lost":               {ecc, layout{"Source: x; card lost; exit status 215\n", []byte("Invalid card id.\nError parameter of -i\n"), ""}, false},
		"a card that is there":              {ecc, layout{"Source: x; card lost; exit status 215\n", answer, ""}, true},
		"a link that is down":               {"hccn_tool -i 0 -link -g", layout{"Source: x; captured; exit status 0\n", []byte("link status: DOWN\n"), "link up\n"}, true},
		"another release on the board":      {"npu-smi info -t board -i 0", layout{"Source: x; captured; exit status 0\n", []byte("\tNPU ID : 0\n\tSoftware Version : 24.1.0\n\tFirmware Version : 7.5.0.2.220\n\tChip Count : 1\n"), "driver 24.1.0.3\nfirmware 7.5.0.2.220\nchips 1\n"}, true},
		"a process that is not in the list": {"npu-smi info -t proc-mem -i 0", layout{"Source: x; captured; exit status 0\n", []byte("\tNPU ID : 0\n\tChip Count : 1\n\n\tNo process in device.\n\tChip ID : 0\n"), "process 0/0 40213 python3 54790 MB\n"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			if wrong := misread(c.line, c.layout); (wrong != nil) != c.reported {
				t.Errorf("reported is %q", wrong)
			}
		})
	}
}

// A layout is a real answer for the fuzzer to begin with.
func seedLayouts(f *testing.F, topics ...string) {
	f.Helper()
	for _, answers := range layouts(f) {
		for line, l := range answers {
			for _, topic := range topics {
				if strings.Contains(line, "-t "+topic+" ") {
					f.Add(l.answer)
				}
			}
		}
	}
}

package fakehost_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"devserver-agent/test/fakehost"
	"devserver-agent/test/support/golden"
)

// The page says for each family and question how sure the answer is.
func TestTheHardwarePageSaysWhatIsKnown(t *testing.T) {
	var page strings.Builder
	page.WriteString(`# What is known of the hardware

What the vendor's tools print on each family of Ascend chips, and how sure that is.
Everything here was read in public material; the product is tested with a fake host that
prints the same (test/fakehost, which this page is made from). If a host of yours prints
something else, please report it: a parser is only as good as the answers it was shown.

- **captured**: the answer of a real host was published.
- **inferred**: from the vendor's source or manual; nobody has published an answer.
- **unpublished**: nothing public was found; what the fake host prints is plausible.
- **-**: the family's tool does not answer, and says so in a sentence.

`)
	row := func(cells ...string) { fmt.Fprintf(&page, "| %s |\n", strings.Join(cells, " | ")) }
	header, rule := []string{"question"}, []string{"---"}
	for _, m := range fakehost.Models() {
		header, rule = append(header, string(m)), append(rule, "---")
	}
	row(header...)
	row(rule...)
	for _, q := range fakehost.Questions() {
		cells := []string{"`" + strings.ReplaceAll(q.String(), "|", `\|`) + "`"}
		for _, m := range fakehost.Models() {
			known := string(q.Known[m])
			if known == "" {
				known = "-"
			}
			cells = append(cells, known)
		}
		row(cells...)
	}
	page.WriteString("\n## Sources, and how families and releases differ\n\n")
	for _, q := range fakehost.Questions() {
		fmt.Fprintf(&page, "- `%s`: %s.", q, q.Sources)
		if q.Note != "" {
			page.WriteString(" " + q.Note)
		}
		page.WriteString("\n")
	}
	page.WriteString(`
## Places

- **Virtual machine**: the MCU's health is NA; hccn_tool refuses every question in one
  sentence and exits with 1; npu-smi upgrade is refused (captured). That a firmware cannot
  be installed is documented; the installer's words for it are unpublished.
- **Container**: the cards that were mapped, under their own ids, which have gaps
  (captured). Here the bus has the same cards, which is a simplification.
`)
	golden.Compare(t, filepath.Join("..", "..", "docs", "hardware.md"), page.String())
}

func TestEveryQuestionHasASource(t *testing.T) {
	for _, q := range fakehost.Questions() {
		named := strings.Contains(q.Sources, "github ") || strings.Contains(q.Sources, "published ") || strings.Contains(q.Sources, "manual")
		if !named || len(q.Known) == 0 {
			t.Errorf("%s names no source: %q", q, q.Sources)
		}
		for m, k := range q.Known {
			if _, err := m.Profile(); err != nil {
				t.Error(err)
			}
			if k != fakehost.Captured && k != fakehost.Inferred && k != fakehost.Unpublished && k != "" {
				t.Errorf("%s on %s is %q", q, m, k)
			}
		}
	}
}

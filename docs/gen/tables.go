package gen

import (
	"fmt"
	"strings"

	"devserver-agent/protocol"
)

const drawnNote = "<!-- Drawn from package protocol by docs/gen; not to be edited. -->\n"

// Codes draws the page of codes: what each means and what to do.
func Codes(source Source) ([]byte, error) {
	var verdicts, notices []protocol.CodeInfo
	for _, constant := range source.constants["Code"] {
		info := protocol.Explain(protocol.Code(constant.Value))
		switch {
		case info.Code == "":
			return nil, fmt.Errorf("code %s is not explained", constant.Value)
		case strings.HasPrefix(constant.Name, "Notice"):
			notices = append(notices, info)
		default:
			verdicts = append(verdicts, info)
		}
	}
	var page strings.Builder
	page.WriteString(drawnNote + "# Codes\n\nA code stands beside the sentence that says what happened, for programs and for looking it up here. " +
		"It is part of the contract and never gets another meaning.\n")
	table(&page, "Of verdicts", "A task ended with one of these, or waits for what it asks for.", verdicts)
	table(&page, "Of notices", "An agent refused something without a verdict, or cannot take more.", notices)
	return []byte(page.String()), nil
}

func table(page *strings.Builder, title, lead string, codes []protocol.CodeInfo) {
	fmt.Fprintf(page, "\n## %s\n\n%s\n\n| code | what it means | what to do |\n| --- | --- | --- |\n", title, lead)
	for _, c := range codes {
		fmt.Fprintf(page, "| `%s` | %s | %s |\n", c.Code, cell(c.Meaning), cell(c.Remedy))
	}
}

// Catalogue draws the page of item types.
func Catalogue() []byte {
	var page strings.Builder
	page.WriteString(drawnNote + "# Catalogue of work\n\nThe item types of this version. An agent may know others, from plug-ins, and says so in its facts. " +
		"A pattern (RE2) matches the whole value; a parameter that is not listed is refused.\n")
	for _, t := range protocol.Catalogue() {
		fmt.Fprintf(&page, "\n## %s\n\n%s\n\nJob type `%s`; %s; at most %s.\n", t.Type, t.Description, t.Template, manner(t), t.Timeout())
		for _, c := range t.Cases {
			of := t.For(map[string]string{c.Param: c.Value})
			fmt.Fprintf(&page, "With `%s` %s: %s; at most %s.\n", c.Param, c.Value, manner(of), of.Timeout())
		}
		if len(t.Params) == 0 {
			page.WriteString("It takes no parameters.\n")
			continue
		}
		page.WriteString("\n| parameter | what it is | default | pattern |\n| --- | --- | --- | --- |\n")
		for _, p := range t.Params {
			fmt.Fprintf(&page, "| `%s` | %s | %s | `%s` |\n", p.Name, cell(p.Description), preset(p), cell(p.Pattern))
		}
	}
	return []byte(page.String())
}

func manner(t protocol.ItemType) string {
	switch {
	case t.Disruptive:
		return "disruptive: has the host alone, and changes what other work on it runs on"
	case t.Exclusive:
		return "exclusive: has the host alone"
	}
	return "shared: runs beside other tasks"
}

func preset(p protocol.Param) string {
	switch {
	case p.Required:
		return "required"
	case p.Default == "":
		return "none"
	}
	return "`" + p.Default + "`"
}

// cell is text that cannot end its cell of a table.
func cell(text string) string { return strings.ReplaceAll(text, "|", `\|`) }

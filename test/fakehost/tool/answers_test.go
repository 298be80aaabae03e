package tool_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"devserver-agent/test/fakehost"
	"devserver-agent/test/fakehost/tool"
)

// Whatever a tool answers is in the table of what is known of the hardware, with its
// source, or is a tool of the operating system.
func TestEveryAnswerIsInTheTableOfTheHardware(t *testing.T) {
	asked := tool.Answers()
	for _, line := range asked {
		name, _, _ := strings.Cut(line, " ")
		if _, known := fakehost.About(line); !known && !slices.Contains(fakehost.OfTheSystem(), name) {
			t.Errorf("%s is answered, and fakehost.Questions does not have it", line)
		}
	}
	for _, q := range fakehost.Questions() {
		if !slices.ContainsFunc(asked, func(line string) bool { about, _ := fakehost.About(line); return about.String() == q.String() }) && q.Tool != "installer" {
			t.Errorf("fakehost.Questions has %s, which no tool answers", q)
		}
	}
}

// The tables that Answers walks are those by which the tools answer: no line of it is
// refused as one that is not known.
func TestEveryAnswerIsGiven(t *testing.T) {
	h := fakehost.ForTest(t, fakehost.A3, fakehost.Options{})
	for _, line := range tool.Answers() {
		words := strings.Fields(line)
		if words[0] == "msnpureport" || slices.Contains(fakehost.OfTheSystem(), words[0]) {
			continue // they write or want arguments
		}
		var out bytes.Buffer
		tool.Run(h, words[0], words[1:], &out)
		for _, refusal := range []string{"Error parameter", "Cmd execute failed", "Parameter error", "Invalid parameter", "not support"} {
			if strings.Contains(out.String(), refusal) {
				t.Errorf("%s is refused: %s", line, out.String())
			}
		}
	}
}

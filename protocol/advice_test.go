package protocol

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestARemedyIsPrintedOnceAndNeverBesideOtherAdvice(t *testing.T) {
	remedy := Explain(HDKDiskSpace).Remedy
	for name, c := range map[string]struct {
		message, beside, advice string
	}{
		"the message says nothing of it":     {"There is no room on /.", remedy, remedy},
		"no message":                         {"", remedy, remedy},
		"the message ends with the remedy":   {"There is no room on /. " + remedy, "", remedy},
		"the message contains the remedy":    {"There is no room on /. " + remedy + "\nIt was interrupted.", "", remedy},
		"the message has advice of its own":  {"There is no room on /. Remove old logs from /var/log. Nothing was changed.", "", "Remove old logs from /var/log."},
		"advice on a line of its own":        {"There is no room on /\nRemove old logs", "", "Remove old logs"},
		"a word in the middle of a sentence": {"The installer said: Check failed", remedy, remedy},
		"a version before the advice":        {"It is 24.1.0. Remove it.", "", "Remove it."},
		"advice behind what happened":        {"It is installed: restart it when you can.", "", "Restart it when you can."},
		"waiting behind what happened":       {"Another one runs: wait for it to end.", "", "Wait for it to end."},
		"another word that begins so":        {"1 of 3 checks failed. Checks with warnings: 1.", remedy, remedy},
	} {
		if got := Beside(c.message, remedy); got != c.beside {
			t.Errorf("%s: beside it is %q, want %q", name, got, c.beside)
		}
		if got := Advice(HDKDiskSpace, c.message); got != c.advice {
			t.Errorf("%s: the advice is %q, want %q", name, got, c.advice)
		}
	}
	for code, message := range map[Code]string{"OF_ANOTHER_VERSION": "It failed.", "": "It is done. See the output."} {
		if got := Advice(code, message); got != "" {
			t.Errorf("for code %q the advice is %q", code, got)
		}
	}
	if got := Advice("SITE_LUCK", "No luck. Try again tomorrow."); got != "Try again tomorrow." {
		t.Errorf("of a plug-in's own code the advice is %q", got)
	}
}

func TestSentences(t *testing.T) {
	for text, want := range map[string][]string{
		"":                               nil,
		"One.":                           {"One."},
		"One. Two.  Three":               {"One.", "Two.", "Three"},
		"See a.b. and /x.y. Then 1.2. z": {"See a.b. and /x.y.", "Then 1.2. z"},
		"One\n\nTwo. ":                   {"One", "Two."},
		"... . . A":                      {"... . .", "A"},
	} {
		if diff := cmp.Diff(want, Sentences(text)); diff != "" {
			t.Errorf("%q (-want +got):\n%s", text, diff)
		}
	}
}

func FuzzSentences(f *testing.F) {
	f.Add("One. Two. \n. . É. Ü")
	f.Fuzz(func(t *testing.T, text string) {
		if got := strings.Join(Sentences(text), ""); len(got) > len(text) {
			t.Errorf("%q became longer", text)
		}
	})
}

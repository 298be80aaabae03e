package protocol

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestOnlyVerdictsAreTerminal(t *testing.T) {
	for state, want := range map[State]bool{
		Processing: false, Success: true, Failed: true, Deleted: true, "": false, "OF_ANOTHER_VERSION": false,
	} {
		if got := state.Terminal(); got != want {
			t.Errorf("%q is terminal: %t", state, got)
		}
	}
}

func TestClip(t *testing.T) {
	const mark = " [...]"
	fits := strings.Repeat("x", MaxMessage)
	for _, c := range []struct{ name, message, want string }{
		{"leaves nothing alone", "", ""},
		{"leaves a message that just fits", fits, fits},
		{"cuts one byte more", fits + "x", fits[:MaxMessage-len(mark)] + mark},
		{"cuts at the edge of a character", strings.Repeat("x", MaxMessage-len(mark)-1) + "é" + fits, strings.Repeat("x", MaxMessage-len(mark)-1) + mark},
		{"keeps a character that ends at the cut", strings.Repeat("x", MaxMessage-len(mark)-2) + "é" + fits, strings.Repeat("x", MaxMessage-len(mark)-2) + "é" + mark},
		{"replaces what is not UTF-8", "npu \xff\xfe said", "npu \uFFFD said"},
		{"keeps of bytes that are no text that they were there", strings.Repeat("\x80", 2*MaxMessage), "\uFFFD"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := Clip(c.message); got != c.want {
				t.Errorf("got %d bytes, %.20q to %.20q", len(got), got, got[max(0, len(got)-20):])
			}
		})
	}
}

func FuzzClip(f *testing.F) {
	f.Add("driver down")
	f.Add(strings.Repeat("é", MaxMessage))
	f.Add(strings.Repeat("\x80", MaxMessage+1))
	f.Fuzz(func(t *testing.T, message string) {
		got := Clip(message)
		if len(got) > MaxMessage || !utf8.ValidString(got) {
			t.Fatalf("%d bytes, UTF-8: %t", len(got), utf8.ValidString(got))
		}
		if again := Clip(got); again != got {
			t.Fatal("clipping twice changes it")
		}
		raw, err := json.Marshal(got)
		if err != nil {
			t.Fatal(err)
		}
		var read string
		if err := json.Unmarshal(raw, &read); err != nil || read != got {
			t.Fatalf("JSON changes it (%v)", err)
		}
	})
}

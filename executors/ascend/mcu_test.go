package ascend

import "testing"

func TestMCUVersion(t *testing.T) { testSamples(t, "mcu", ParseMCUVersion, nil) }

func TestMCUReply(t *testing.T) {
	testSamples(t, "mcureply", func(out []byte) (MCUReply, error) { return ParseMCUReply(out), nil }, nil)
}

func FuzzMCUVersion(f *testing.F) {
	seeds(f, "mcu")
	f.Fuzz(func(t *testing.T, data []byte) {
		version, err := ParseMCUVersion(data)
		if _, again := ParseVersion(string(version)); (err == nil) != (again == nil) {
			t.Errorf("%q, %v", version, err)
		}
	})
}

func FuzzMCUReply(f *testing.F) {
	seeds(f, "mcureply")
	f.Fuzz(func(t *testing.T, data []byte) {
		r := ParseMCUReply(data)
		if len(r.Messages) > maxMCUMessages+1 {
			t.Errorf("%d messages", len(r.Messages))
		}
		for _, m := range r.Messages {
			if !printable(m) || len(m) > maxValue+len("...") {
				t.Errorf("a message of %d bytes: %q", len(m), m)
			}
		}
	})
}

package diagnosis

import (
	"os"
	"path/filepath"
	"testing"

	"devserver-agent/executors/ascend"
)

// The modules of testdata/optics are named for what is with them.
func TestAModuleIsJudgedByItsOwnLimits(t *testing.T) {
	for name, want := range map[string]string{
		"light-above-the-modules-limit":     "Tx Power2 is 3.9000 mW, above the module's limit of 3.5481 mW",
		"module-is-hot":                     "temperature is 74 C, above the module's limit of 70 C",
		"module-without-limits":             "Rx Power2 is 0.0613 mW, less than 0.1 mW",
		"weak-light-that-the-module-allows": "",
		"limits-of-zero":                    "",
		"voltage-too-low":                   "Vcc is 3010.00 mV, below the module's limit of 3135 mV",
		"one-lane-without-a-number":         "Rx Power is 0.0912 mW, below the module's limit of 0.1445 mW",
		"figures-that-are-none":             "",
		"light-in-dbm":                      "Rx Power 0 is -40.00 dBm, less than 0.1 mW",
		"module-is-hot-in-other-units":      "temperature is 90 degC, above the module's limit of 75 C",
	} {
		t.Run(name, func(t *testing.T) {
			data, err := os.ReadFile(filepath.Join("testdata", "optics", name+".txt"))
			if err != nil {
				t.Fatal(err)
			}
			reading, err := ascend.ParsePort(data)
			if err != nil {
				t.Fatal(err)
			}
			p := &port{}
			p.judgeLight(reading)
			switch {
			case want == "" && len(p.found) > 0:
				t.Errorf("found %+v", p.found)
			case want != "" && (len(p.found) != 1 || p.found[0].What != "port of chip 0: "+want || p.found[0].Grade != Warn):
				t.Errorf("found %+v, want %q", p.found, want)
			}
		})
	}
}

func TestFlagsOfLanes(t *testing.T) {
	for text, want := range map[string]uint16{
		"0x0": 0, "0x4": 4, "3": 3, "0x0 0x1": 2, "[0 0 1 0]": 4, "1 1 1 1": 15, "0, 0": 0, "": 0, "NA": 0, "not supported": 0,
	} {
		reading := ascend.PortReading{Fields: []ascend.Field{{Key: "Rx Los Flag", Value: text}}}
		if set, _ := flagOf(reading, "Rx Los Flag"); set != want {
			t.Errorf("%q sets %b, want %b", text, set, want)
		}
	}
}

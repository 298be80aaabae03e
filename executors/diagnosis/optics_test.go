package diagnosis

import (
	"fmt"
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
			case want != "" && (len(p.found) != 1 || p.found[0].What != want || p.found[0].Grade != Warn):
				t.Errorf("found %+v, want %q", p.found, want)
			}
		})
	}
}

func TestFlagsOfLanes(t *testing.T) {
	for text, want := range map[string]uint64{
		"0x0": 0, "0x4": 4, "3": 3, "0x0 0x1": 2, "[0 0 1 0]": 4, "1 1 1 1": 15, "0, 0": 0, "": 0, "NA": 0, "not supported": 0,
		"0xf (lane 0-3)": 15, "0x10000": 1 << 16, "0x8000000000000000": 1 << 63, "NO": 0, "no no yes no": 4, "[NO, YES]": 2, "0X2": 2, "Normal": 0,
	} {
		if f := parseFlag(text); f.lanes != want || f.set != (want != 0) || f.unread != "" {
			t.Errorf("%q reads as %+v, want %b", text, f, want)
		}
	}
	for _, text := range []string{"YES", "yes (since 2 h)", "True", "Asserted"} {
		if f := parseFlag(text); !f.set || f.lanes != 0 {
			t.Errorf("%q reads as %+v", text, f)
		}
	}
	for _, text := range []string{"perhaps", "0xzz", "0 1 many", "0x10000000000000000"} {
		if f := parseFlag(text); f.set || f.unread != text {
			t.Errorf("%q reads as %+v", text, f)
		}
	}
}

// Releases may write the keys and the units of a module in other ways.
func TestTheKeysOfAModule(t *testing.T) {
	for answer, want := range map[string]string{
		"Rx Power Lane0 : 0.0100 mW":                                "Rx Power Lane0 is 0.0100 mW, less than 0.1 mW",
		"rx_power0 : 0.0100mw":                                      "rx_power0 is 0.0100mw, less than 0.1 mW",
		"RxPower0 (mW) : 0.0100":                                    "RxPower0 (mW) is 0.0100, less than 0.1 mW",
		"RX1 Power(dBm) : -20.1":                                    "RX1 Power(dBm) is -20.1, less than 0.1 mW",
		"Rx Power1 : -inf dBm":                                      "Rx Power1 is -inf dBm, less than 0.1 mW",
		"Rx Power 1 : 12.5 uW (-19.0 dBm)":                          "Rx Power 1 is 12.5 uW (-19.0 dBm), less than 0.1 mW",
		"rx_power_lane_3 : 0.12 mW\nRx Power Low Thres : 0.1445 mW": "rx_power_lane_3 is 0.12 mW, below the module's limit of 0.1445 mW",
		"Rx Power0 : 4 mW\nRx Power High Threshold : 3.5 mW":        "Rx Power0 is 4 mW, above the module's limit of 3.5 mW",
		"Tx Power0 : 4 mW\nTxPower Threshold Max(mW) : 3.5":         "Tx Power0 is 4 mW, above the module's limit of 3.5 mW",
		"Rx Power0 : -9.0 dBm\nrx_power_low_thres : -8.40 dBm\nrx_power_high_thres : 3.4 dBm": "Rx Power0 is -9.0 dBm, below the module's limit of 0.14454 mW",
		"Rx Power0 : 1 mW\nTemperature(C) : 71\nTemp High Threshold(C) : 70":                  "Temperature(C) is 71, above the module's limit of 70 C",
		"Rx Power0 : 1 mW\nvcc : 3.01 V\nVcc Low Thres : 3135.00 mV":                          "vcc is 3.01 V, below the module's limit of 3135 mV",
		"Rx Power0 : 1 mW\ntemperature : 61 \u2103\nTemp High Thres : 60 C":                   "temperature is 61 \u2103, above the module's limit of 60 C",
		"Rx Power0 : 0.3 mW\nTx Bias0 : 0.01 mA\nRx Power Low Warn Thres : 0.4 mW":            "",
		"Rx Power0 : 0.3 mW": "",
	} {
		reading, err := ascend.ParsePort([]byte(answer))
		if err != nil {
			t.Fatal(err)
		}
		p := &port{}
		if !p.judgeLight(reading) {
			t.Errorf("no light was read from %q", answer)
		}
		if found := fmt.Sprint(p.found); want == "" && len(p.found) > 0 || want != "" && (len(p.found) != 1 || p.found[0].What != want) {
			t.Errorf("%q: found %s, want %q", answer, found, want)
		}
	}
	for _, answer := range []string{"Rx Power0 : 0.3", "Rx Power0 : not supported", "Receive light : 0.3 mW", "Tx Bias Power : 3 W"} {
		reading, err := ascend.ParsePort([]byte(answer))
		if err != nil {
			t.Fatal(err)
		}
		if p := (&port{}); p.judgeLight(reading) || len(p.found) > 0 {
			t.Errorf("%q: read %+v", answer, p.found)
		}
	}
}

func TestPortsAreNamedTogether(t *testing.T) {
	plain := func(card, chip int) *port { return &port{card: card, link: ascend.Port{Chip: chip}} }
	die := func(chip, die int) *port {
		return &port{card: chip, link: ascend.Port{Chip: chip, Several: true, Die: die}}
	}
	a, b, c, d := plain(0, 0), plain(0, 1), plain(1, 2), plain(1, 3)
	e, f, g, h := die(0, 0), die(0, 1), die(1, 0), die(1, 1)
	all := []*port{a, b, c, d}
	of950 := []*port{e, f, g, h}
	for _, c := range []struct {
		some, all []*port
		want      string
	}{
		{[]*port{b}, all, "port of chip 1"},
		{[]*port{a, b}, all, "ports of chips 0-1"},
		{all, all, "ports of chips 0-3"},
		{[]*port{b, d}, all, "ports of chips 1, 3"},
		{[]*port{f}, of950, "port 0 of die 1 of chip 0"},
		{[]*port{e, f}, of950, "ports of chip 0"},
		{[]*port{f, h}, of950, "port 0 of die 1 of chips 0-1"},
		{[]*port{e, h}, of950, "port 0 of die 0 of chip 0, port 0 of die 1 of chip 1"},
		{of950, of950, "ports of chips 0-1"},
	} {
		if got := portNames(c.some, c.all); got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}

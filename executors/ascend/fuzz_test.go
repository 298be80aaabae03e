package ascend

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"devserver-agent/executors"
)

// seeds gives a fuzz target the samples of a folder of testdata.
func seeds(f *testing.F, folder string) {
	f.Helper()
	for _, data := range samples(f, folder) {
		f.Add(data)
	}
}

// carried fails when a value cannot be recorded in a memo.
func carried(t *testing.T, value any) {
	t.Helper()
	if _, err := json.Marshal(value); err != nil {
		t.Error(err)
	}
}

func FuzzCards(f *testing.F) {
	seeds(f, "cards")
	f.Fuzz(func(t *testing.T, data []byte) {
		list, err := ParseCards(data)
		if err != nil {
			return
		}
		if len(list.Cards) == 0 || len(list.Cards) > maxCards {
			t.Errorf("%d cards without an error", len(list.Cards))
		}
		for _, card := range list.Cards {
			if card.Chips > maxChips {
				t.Errorf("%d chips on a card without an error", card.Chips)
			}
		}
		carried(t, list)
	})
}

func FuzzBoard(f *testing.F) {
	seeds(f, "board")
	f.Fuzz(func(t *testing.T, data []byte) {
		board, err := ParseBoard(data, 3)
		if err != nil {
			return
		}
		if board.Chips() > maxChips {
			t.Errorf("%d chips on a card", board.Chips())
		}
		if id, _ := board.Get(keyCard); id != "3" {
			t.Errorf("board of card %q was taken for that of card 3", id)
		}
		for _, key := range []string{keyDriver, keyFirmware} {
			if text := board.text(key); text != "" && board.version(key) == "" {
				t.Errorf("%s %q passed", key, text)
			}
		}
		for _, field := range board.Fields {
			if !field.sound() {
				t.Errorf("kept %q", field)
			}
		}
		carried(t, []any{board, board.Chip(), board.Chips(), board.Compatibility()})
	})
}

// FuzzBlocks cuts any answer: no chip is in it twice, none is both asked and unasked,
// and everything is bounded.
func FuzzBlocks(f *testing.F) {
	for _, folder := range []string{"readings", "cardhealth", "processes"} {
		seeds(f, folder)
	}
	seedLayouts(f, "health", "common", "usages", "ecc", "proc-mem")
	f.Fuzz(func(t *testing.T, data []byte) {
		a, err := cutBlocks(data, 3, anyProcessRow)
		if err != nil {
			return
		}
		seen := map[int]bool{}
		for _, b := range a.chips {
			if seen[b.chip] || b.mcu || len(b.fields) > maxReading || len(b.rows) > maxRows {
				t.Errorf("took %+v", b)
			}
			seen[b.chip] = true
		}
		for _, u := range a.noAnswer {
			if seen[u.Chip] || !printable(u.Said) {
				t.Errorf("chip %d is in the answer twice", u.Chip)
			}
			seen[u.Chip] = true
		}
		if len(seen) == 0 {
			t.Error("no chip without an error")
		}
	})
}

func FuzzCardHealth(f *testing.F) {
	seeds(f, "cardhealth")
	f.Fuzz(func(t *testing.T, data []byte) {
		health, err := ParseCardHealth(data, 3)
		if err != nil {
			return
		}
		worst := StateOK
		for _, chip := range health.Chips {
			worst = worst.Worse(chip.State)
		}
		if len(health.Chips) == 0 || health.State != worst || health.MCU == StateUnknown {
			t.Errorf("took %+v", health)
		}
		carried(t, health)
	})
}

func FuzzHealth(f *testing.F) {
	seeds(f, "health")
	f.Fuzz(func(t *testing.T, data []byte) {
		health, err := ParseHealth(data)
		if err != nil {
			return
		}
		states := []State{StateOK, StateWarning, StateAlarm, StateCritical, StateUnknown}
		if !slices.Contains(states, health.State) || len(health.Codes) > maxAlarms || len(health.Alarms) > maxAlarms {
			t.Errorf("took %v", health)
		}
		carried(t, health)
	})
}

func FuzzVersionInfo(f *testing.F) {
	seeds(f, "versioninfo")
	f.Fuzz(func(t *testing.T, data []byte) {
		info, err := ParseVersionInfo(data)
		if err != nil {
			return
		}
		if again, err := ParseVersion(string(info.Version)); again != info.Version || err != nil {
			t.Errorf("version %q reads as %q, %v", info.Version, again, err)
		}
		for _, ranges := range []func() ([]Range, error){info.Drivers, info.Firmwares, info.Same} {
			if _, err := ranges(); err != nil && err.Error() == "" {
				t.Error("an error without words")
			}
		}
		carried(t, info)
	})
}

func FuzzInstallInfo(f *testing.F) {
	seeds(f, "installinfo")
	f.Fuzz(func(t *testing.T, data []byte) {
		info, err := ParseInstallInfo(data)
		if err != nil {
			return
		}
		for _, dir := range []string{info.DriverPath(), info.FirmwarePath()} {
			if dir == "" || dir[0] != '/' {
				t.Errorf("installed in %q", dir)
			}
		}
		carried(t, info)
	})
}

func FuzzVersion(f *testing.F) {
	for _, text := range []string{"24.1.rc3.10", "24.1.0.3", "7.5.0.5.220", "24.1.RC2.b010", "23.0.rc3.", "NA"} {
		f.Add(text, "24.1.0")
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		v, err := ParseVersion(a)
		if err != nil {
			return
		}
		if again, err := ParseVersion(string(v)); again != v || err != nil {
			t.Errorf("%q reads as %q, %v", v, again, err)
		}
		w, err := ParseVersion(b)
		if err != nil {
			return
		}
		order, ordered := v.Compare(w)
		back, backOrdered := w.Compare(v)
		if order != -back || ordered != backOrdered || (v == w && (order != 0 || !ordered)) {
			t.Errorf("%s and %s: %d %t one way, %d %t the other", v, w, order, ordered, back, backOrdered)
		}
	})
}

func FuzzRanges(f *testing.F) {
	for _, text := range []string{"[23.0.rc3,23.0.rc3.],[23.0.0,23.0.0.]", "[7.0.0,7.2.99]", "", "[,]", "[[a,b]]"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		ranges, err := ParseRanges(text)
		if err != nil {
			return
		}
		for _, r := range ranges {
			if !r.Contains(r.Low) || !r.Contains(r.High) {
				t.Errorf("%s does not contain its ends", r)
			}
			if again, err := ParseRanges(r.String()); err != nil || len(again) != 1 || again[0] != r {
				t.Errorf("%s reads as %v, %v", r, again, err)
			}
		}
	})
}

func FuzzRefusal(f *testing.F) {
	for _, data := range samples(f, "refusal") {
		f.Add(data, 187)
	}
	f.Fuzz(func(t *testing.T, data []byte, status int) {
		_, parsing := ParseCards(data)
		if parsing == nil {
			return
		}
		err := dialects["npu-smi"].refusal("npu-smi", executors.Reply{Output: data, Code: status}, parsing)
		if err.Err == nil || !printable(err.Error()) || len(err.Said) > maxSaid+len("...") {
			t.Errorf("%q", err)
		}
	})
}

func FuzzDevices(f *testing.F) {
	f.Add("0000:c1:00.0", "0x19e5\n", "0xd802\n", "0x120000\n")
	f.Add("0000:01:00.0", "0x19e5\n", "0xd80a\n", "0x120000\n")
	f.Add("x", "19e5", "", "-1")
	f.Fuzz(func(t *testing.T, address, vendor, device, class string) {
		dir := pciDevices + "/" + address
		files := fstest.MapFS{
			dir + "/vendor": {Data: []byte(vendor)}, dir + "/device": {Data: []byte(device)}, dir + "/class": {Data: []byte(class)},
		}
		devices, err := Devices(files)
		if err == nil && len(devices) > 1 {
			t.Errorf("one device counts as %v", devices)
		}
	})
}

func FuzzSummary(f *testing.F) {
	seeds(f, "summary")
	f.Fuzz(func(t *testing.T, data []byte) {
		table, err := ParseSummary(data)
		if err != nil {
			return
		}
		if len(table.Chips) == 0 || len(table.Chips) > maxChips || len(table.Processes) > maxProcesses || len(table.Warnings) > maxAlarms {
			t.Errorf("%d chips, %d processes, %d warnings without an error", len(table.Chips), len(table.Processes), len(table.Warnings))
		}
		for _, chip := range table.Chips {
			if chip.Card < NoCard || chip.Chip < 0 || !printable(chip.Name) || !printable(chip.Bus) {
				t.Errorf("took %+v", chip)
			}
		}
		carried(t, table)
	})
}

func FuzzMapping(f *testing.F) {
	seeds(f, "mapping")
	f.Fuzz(func(t *testing.T, data []byte) {
		chips, err := ParseMapping(data)
		if err != nil {
			return
		}
		if len(chips) == 0 || len(chips) > maxChips {
			t.Errorf("%d chips without an error", len(chips))
		}
		carried(t, chips)
	})
}

func FuzzReadings(f *testing.F) {
	seeds(f, "readings")
	f.Fuzz(func(t *testing.T, data []byte) {
		chips, err := ParseReadings(data, 3)
		if err != nil {
			return
		}
		if len(chips.Chips)+len(chips.NoAnswer) == 0 {
			t.Error("nothing is said of any chip, without an error")
		}
		for _, chip := range chips.Chips {
			if len(chip.Fields) == 0 || len(chip.Fields) > maxReading {
				t.Errorf("%d fields of chip %d without an error", len(chip.Fields), chip.Chip)
			}
			if figure, err := chip.Figure(chip.Fields[0].Key); figure != nil && err != nil {
				t.Errorf("%v is both %v and wrong: %v", chip.Fields[0], *figure, err)
			}
		}
		carried(t, chips)
	})
}

func FuzzPort(f *testing.F) {
	for _, folder := range []string{"link", "nethealth", "address", "port"} {
		seeds(f, folder)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		port, err := ParsePort(data)
		if err == nil && (len(port.Fields) == 0 || len(port.Fields) > maxPort) {
			t.Errorf("%d fields without an error", len(port.Fields))
		}
		address, err := ParseAddress(data)
		if err == nil && !address.IsValid() && strings.TrimSpace(string(data)) != "" {
			t.Errorf("no address was read from %q", data)
		}
		if word, err := ParseNetHealth(data); err == nil && word == "" {
			t.Error("no health without an error")
		}
		if _, linkErr := ParseLink(data); linkErr == nil && len(port.Fields) == 0 {
			t.Error("a link without a field")
		}
		carried(t, []any{port, address})
	})
}

func FuzzProcesses(f *testing.F) {
	seeds(f, "processes")
	f.Fuzz(func(t *testing.T, data []byte) {
		processes, err := ParseProcesses(data, 3)
		if err != nil {
			return
		}
		if len(processes.Chips)+len(processes.NoAnswer) == 0 {
			t.Error("no chip without an error")
		}
		for _, p := range processes.Processes {
			if !slices.Contains(processes.Chips, p.Chip) || p.Card != 3 || p.PID < 0 || !printable(p.Name) {
				t.Errorf("took %+v", p)
			}
		}
		carried(t, processes)
	})
}

func FuzzContainers(f *testing.F) {
	f.Add([]byte(`[{"Id":"3f1c9a5d7e20","Name":"/train","HostConfig":{"Devices":[{"PathOnHost":"/dev/davinci0"}]}}]`))
	f.Add([]byte("[]\nError: No such object"))
	f.Fuzz(func(t *testing.T, printed []byte) {
		for _, c := range ParseContainers(printed) {
			if len(c.ID) > len(printed) || len(c.Name) > 3*len(printed) {
				t.Errorf("%+v is longer than what was printed", c)
			}
		}
	})
}

func FuzzTopology(f *testing.F) {
	seeds(f, "topology")
	f.Fuzz(func(t *testing.T, data []byte) {
		topology, err := ParseTopology(data)
		if err != nil {
			return
		}
		for _, row := range topology.Links {
			if len(row) != len(topology.Chips) {
				t.Errorf("%d links for %d chips", len(row), len(topology.Chips))
			}
		}
		carried(t, topology)
	})
}

func FuzzHCCS(f *testing.F) {
	seeds(f, "hccs")
	f.Fuzz(func(t *testing.T, data []byte) {
		hccs, err := ParseHCCS(data)
		if err == nil && len(hccs.Fields) == 0 {
			t.Error("healthy or not without a word")
		}
		carried(t, hccs)
	})
}

package ascend

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"devserver-agent/test/support/golden"
)

// reading is what the golden files hold: what was understood, or what was wrong.
type reading struct {
	Error string         `json:"error,omitempty"`
	Is    any            `json:"is,omitempty"`
	Says  map[string]any `json:"says,omitempty"` // the typed accessors
}

// testSamples reads every .txt of a folder of testdata and compares what was
// understood with the .golden beside it. A name that begins with "wrong-" must
// be refused, any other must not.
func testSamples[T any](t *testing.T, folder string, parse func([]byte) (T, error), says func(T) map[string]any) {
	for name, data := range samples(t, folder) {
		t.Run(strings.ReplaceAll(name, "-", " "), func(t *testing.T) {
			var got reading
			value, err := parse(data)
			if err != nil {
				got.Error = err.Error()
			} else {
				got.Is = value
				if says != nil {
					got.Says = says(value)
				}
			}
			if refused := err != nil; refused != strings.HasPrefix(name, "wrong-") {
				t.Errorf("error is %v", err)
			}
			compare(t, filepath.Join("testdata", folder, name+".golden"), got)
		})
	}
}

func compare(t *testing.T, file string, value any) {
	t.Helper()
	var text strings.Builder
	enc := json.NewEncoder(&text)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	if err := enc.Encode(value); err != nil {
		t.Fatal(err)
	}
	golden.Compare(t, file, text.String())
}

// samples are the .txt files of a folder of testdata by name.
func samples(t testing.TB, folder string) map[string][]byte {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("testdata", folder, "*.txt"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no samples in %s (%v)", folder, err)
	}
	found := map[string][]byte{}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		found[strings.TrimSuffix(filepath.Base(file), ".txt")] = data
	}
	return found
}

func TestCards(t *testing.T) { testSamples(t, "cards", ParseCards, nil) }

func TestBoard(t *testing.T) {
	parse := func(data []byte) (Board, error) { return ParseBoard(data, 3) }
	testSamples(t, "board", parse, func(b Board) map[string]any {
		return map[string]any{
			"driver": b.Driver(), "firmware": b.Firmware(), "compatibility": b.Compatibility(),
			"product": b.Product(), "model": b.Model(), "manufacturer": b.Manufacturer(), "serial": b.Serial(),
			"bus": b.Bus(), "chip": b.Chip(), "chips": b.Chips(),
		}
	})
}

func TestHealth(t *testing.T) { testSamples(t, "health", ParseHealth, nil) }

func TestCardHealth(t *testing.T) {
	testSamples(t, "cardhealth", func(data []byte) (Health, error) { return ParseCardHealth(data, 3) }, nil)
}

func TestVersionInfo(t *testing.T) {
	testSamples(t, "versioninfo", ParseVersionInfo, func(v VersionInfo) map[string]any {
		return map[string]any{
			"package": v.Package(), "drivers": declared(v.Drivers()), "firmwares": declared(v.Firmwares()), "same": declared(v.Same()),
		}
	})
}

func declared(ranges []Range, err error) any {
	if err != nil {
		return err.Error()
	}
	return ranges
}

func TestInstallInfo(t *testing.T) {
	testSamples(t, "installinfo", ParseInstallInfo, func(i InstallInfo) map[string]any {
		complete, known := i.DriverComplete()
		return map[string]any{
			"user": i.User(), "group": i.Group(), "for_all": i.ForAll(), "complete": complete, "told": known,
			"driver": i.DriverType() + " in " + i.DriverPath(), "firmware": i.FirmwareType() + " in " + i.FirmwarePath(),
		}
	})
}

func TestSummary(t *testing.T) { testSamples(t, "summary", ParseSummary, nil) }

func TestMapping(t *testing.T) { testSamples(t, "mapping", ParseMapping, nil) }

func TestReadings(t *testing.T) {
	parse := func(data []byte) (Readings, error) { return ParseReadings(data, 3) }
	testSamples(t, "readings", parse, func(r Readings) map[string]any {
		says := map[string]any{}
		for key, names := range map[string][]string{
			"temperature": {"NPU Temperature (C)", "Temperature(C)"}, "power": {"NPU Real-time Power(W)"}, "double bit": {"HBM Double Bit Error Count"},
		} {
			for _, chip := range r.Chips {
				figure, err := chip.Figure(names...)
				switch {
				case err != nil:
					says[fmt.Sprint(key, " of chip ", chip.Chip)] = err.Error()
				case figure != nil:
					says[fmt.Sprint(key, " of chip ", chip.Chip)] = *figure
				}
			}
		}
		return says
	})
}

func TestProcesses(t *testing.T) {
	testSamples(t, "processes", func(data []byte) (ProcessList, error) { return ParseProcesses(data, 3) }, nil)
}

func TestTopology(t *testing.T) { testSamples(t, "topology", ParseTopology, nil) }

func TestHCCS(t *testing.T) { testSamples(t, "hccs", ParseHCCS, nil) }

func TestPorts(t *testing.T) {
	testSamples(t, "link", ParseLink, nil)
	testSamples(t, "nethealth", ParseNetHealth, nil)
	testSamples(t, "address", ParseAddress, nil)
	testSamples(t, "port", ParsePort, nil)
}

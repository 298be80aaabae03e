package ascend

import (
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"
)

// layouts are what each family's tools print, on metal, in a virtual machine and in a
// container; each names its sources (test/fakehost/tool/testdata/layouts).
func layouts(t testing.TB) map[string]map[string][]byte {
	t.Helper()
	files, err := filepath.Glob("../../test/fakehost/tool/testdata/layouts/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no layouts (%v)", err)
	}
	found := map[string]map[string][]byte{}
	for _, file := range files {
		archive, err := txtar.ParseFile(file)
		if err != nil {
			t.Fatal(err)
		}
		answers := map[string][]byte{}
		for _, f := range archive.Files {
			if !strings.HasPrefix(f.Name, "source of ") {
				answers[f.Name] = f.Data
			}
		}
		found[strings.TrimSuffix(filepath.Base(file), ".txtar")] = answers
	}
	return found
}

// chipsOf are the chips of a card of each model.
var chipsOf = map[string]int{"310": 4, "310B": 1, "310P": 1, "Duo310P": 2, "910A": 1, "A2": 1, "A3": 2, "950": 1, "Duo": 2, "910B": 1}

func TestTheLayoutsOfEveryFamilyAreUnderstood(t *testing.T) {
	for name, answers := range layouts(t) {
		t.Run(name, func(t *testing.T) {
			model, _, _ := strings.Cut(strings.TrimPrefix(name, "release-"), "-")
			for line, answer := range answers {
				if err := understood(line, answer, chipsOf[model]); err != nil {
					t.Errorf("%s: %v\n%s", line, err, answer)
				}
			}
		})
	}
}

// understood reads an answer with the parser of its question; a sentence in the place of
// an answer has to be known as one.
func understood(line string, answer []byte, chips int) error {
	words := strings.Fields(line)
	if _, _, means := dialects[words[0]].recognise(answer); errors.Is(means, ErrUnsupported) {
		return nil
	}
	card := -1
	for i, word := range words {
		if word == "-i" {
			n, err := strconv.Atoi(words[i+1])
			if err != nil {
				return err
			}
			card = n
		}
	}
	ask := strings.Join(words[1:min(4, len(words))], " ")
	switch {
	case line == "npu-smi info":
		table, err := ParseSummary(answer)
		if err == nil && (len(table.Chips)%chips != 0 || table.Warnings != nil || table.Chips[0].Temperature == nil || table.Driver == "") {
			err = fmt.Errorf("it reads as %+v", table)
		}
		return err
	case line == "npu-smi info -l":
		list, err := ParseCards(answer)
		if err == nil && list.Cards[0].ChipCount() != chips {
			err = fmt.Errorf("it reads as %+v", list)
		}
		return err
	case line == "npu-smi info -m":
		_, err := ParseMapping(answer)
		return err
	case ask == "info -t board":
		board, err := ParseBoard(answer, card)
		if err == nil && (board.Driver() == "" || board.Firmware() == "" || max(board.Chips(), 1) != chips) {
			err = fmt.Errorf("it reads as %+v", board)
		}
		return err
	case ask == "info -t health" && strings.Contains(line, "-c"):
		health, err := ParseHealth(answer)
		if err == nil && (health.State != StateOK) != (health.Codes != nil) {
			err = fmt.Errorf("it reads as %+v", health)
		}
		return err
	case ask == "info -t health":
		health, err := ParseCardHealth(answer, card)
		if err == nil && len(health.Chips) != chips {
			err = fmt.Errorf("it reads as %+v", health)
		}
		return err
	case ask == "info -t proc-mem":
		_, err := ParseProcesses(answer, card)
		return err
	case ask == "info -t hccs":
		hccs, err := ParseHCCS(answer)
		if err == nil && hccs.Judged && !hccs.Healthy {
			err = fmt.Errorf("it reads as %+v", hccs)
		}
		return err
	case words[1] == "info":
		return figures(Topic(words[3]), answer, card, chips)
	}
	return ofPort(line, answer)
}

func figures(topic Topic, answer []byte, card, chips int) error {
	readings, err := ParseReadings(answer, card)
	if err != nil {
		return err
	}
	if len(readings.Chips)+len(readings.NoAnswer) != chips {
		return fmt.Errorf("it reads as %+v", readings)
	}
	keys := map[Topic][]string{
		TopicCommon: {"Temperature(C)"}, Topic("usages"): {"Aicore Usage Rate(%)"},
		TopicECC: {"HBM Double Bit Error Count", "DDR Double Bit Error Count", "Double-bit Error Count"},
	}
	for i, chip := range readings.Chips {
		figure, err := chip.Figure(keys[topic]...)
		if err != nil {
			return fmt.Errorf("chip %d: %w", i, err)
		}
		if figure == nil {
			return fmt.Errorf("chip %d tells no %v", i, keys[topic])
		}
		if topic == TopicCommon && readings.MCU != nil && *figure == 41 && chips > 1 {
			return fmt.Errorf("chip %d has the MCU's temperature", i)
		}
	}
	return nil
}

func ofPort(line string, answer []byte) error {
	switch {
	case strings.Contains(line, "-link "):
		up, err := ParseLink(answer)
		if err == nil && !up {
			err = fmt.Errorf("the link is down")
		}
		return err
	case strings.Contains(line, "-net_health "):
		_, err := ParseNetHealth(answer)
		return err
	case strings.Contains(line, "-ip "):
		_, err := ParseAddress(answer)
		return err
	case strings.Contains(line, "-link_stat "):
		history, err := ParseLinkHistory(answer)
		if err == nil && (history.Now.IsZero() || len(history.Changes) == 0) {
			err = fmt.Errorf("it reads as %+v", history)
		}
		return err
	}
	_, err := ParsePort(answer)
	return err
}

// A layout is a real answer for the fuzzer to begin with.
func seedLayouts(f *testing.F, topics ...string) {
	f.Helper()
	for _, answers := range layouts(f) {
		for line, answer := range answers {
			for _, topic := range topics {
				if strings.Contains(line, "-t "+topic+" ") {
					f.Add(answer)
				}
			}
		}
	}
}

package diagnosis_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"devserver-agent/executors"
	"devserver-agent/executors/diagnosis"
	"devserver-agent/protocol"
	"devserver-agent/test/fakehost"
	"devserver-agent/test/fakehost/tool"
	"devserver-agent/test/hosttest"
	"devserver-agent/test/support/golden"
	"devserver-agent/test/support/plainwords"
)

func TestMain(m *testing.M) { os.Exit(fakehost.Main(m)) }

// edited has the tools of a fake host print what edit makes of their answers.
func edited(fake *fakehost.Host, edit func(line, printed string) string) func(path string, args []string, out io.Writer) (int, bool) {
	play := tool.InProcess(fake)
	if edit == nil {
		return play
	}
	return func(path string, args []string, out io.Writer) (int, bool) {
		var printed bytes.Buffer
		status, played := play(path, args, &printed)
		if _, err := io.WriteString(out, edit(filepath.Base(path)+" "+strings.Join(args, " "), printed.String())); err != nil {
			return 1, played
		}
		return status, played
	}
}

func (s symptom) host(t *testing.T) (*fakehost.Host, *hosttest.Host) {
	t.Helper()
	model := s.model
	if model == "" {
		model = fakehost.A2
	}
	options := fakehost.Options{Place: s.place, Cards: 2}
	if s.whole {
		options.Cards = 0
	}
	fake := fakehost.ForTest(t, model, options)
	for f, args := range s.faults {
		if err := fake.SetFault(f, args...); err != nil {
			t.Fatal(err)
		}
	}
	if s.prepare != nil {
		s.prepare(t, fake)
	}
	host := hosttest.New(t, fake.Root())
	host.Play = edited(fake, s.edit)
	if _, hangs := s.faults[fakehost.SmiHang]; hangs {
		host.TimeoutOf = hosttest.Only("npu-smi", 100*time.Millisecond)
	}
	return fake, host
}

// machines are the checks whose words depend on the machine that runs the test.
var machines = []string{"disk"}

// Every symptom is reported, and each warning and failure with what to do about it.
func TestEverySymptomIsToldWithWhatToDo(t *testing.T) {
	var mu sync.Mutex
	told := map[string]diagnosis.Report{}
	t.Run("symptoms", func(t *testing.T) {
		for _, s := range symptoms {
			t.Run(s.name, func(t *testing.T) {
				t.Parallel()
				fake, host := s.host(t)
				report := s.examine(t, fake, host)
				s.check(t, report)
				if len(report.Checks) < len(diagnosis.Names()) {
					t.Errorf("%d checks were run", len(report.Checks))
				}
				for _, o := range report.Checks {
					if o.Examined == "" {
						t.Errorf("%s does not say what it examined", o.Check)
					}
					for _, f := range o.Findings {
						if f.Do == "" && (f.Grade == diagnosis.Warn || f.Grade == diagnosis.Fail) {
							t.Errorf("%s %s: %q comes without what to do", f.Grade, o.Check, f.What)
						}
					}
				}
				plain(t, report)
				mu.Lock()
				defer mu.Unlock()
				told[s.name] = report
			})
		}
	})
	if !t.Failed() && len(told) == len(symptoms) {
		golden.Compare(t, filepath.Join("..", "..", "docs", "diagnosis-troubleshooting.md"), troubleshooting(told))
	}
}

// plain checks what an operator reads of a report: each finding with its advice, and
// the task's message, which says what to do in place of its code.
func plain(t *testing.T, report diagnosis.Report) {
	t.Helper()
	for _, o := range report.Checks {
		for _, f := range o.Findings {
			plainwords.Check(t, "", strings.TrimSpace(strings.TrimSuffix(f.What, ".")+". "+f.Do))
		}
	}
	if report.Grade != diagnosis.Fail {
		return
	}
	message := report.Message()
	plainwords.Check(t, protocol.DiagnosisFailed, message)
	if remedy := protocol.Explain(protocol.DiagnosisFailed).Remedy; protocol.Beside(message, remedy) != "" {
		t.Errorf("it does not say what to do: %s", message)
	}
}

// Each fault of a fake host that a diagnosis sees has a row.
func TestEveryFaultThatADiagnosisSeesHasARow(t *testing.T) {
	var tested []fakehost.Fault
	for _, s := range symptoms {
		tested = slices.AppendSeq(tested, maps.Keys(s.faults))
	}
	if missing := fakehost.Missing(fakehost.Diagnosis, tested); missing != nil {
		t.Errorf("no row has %v", missing)
	}
}

// examine runs the light checks, or a task of the symptom's level, whose report is the
// last line of its output.
func (s symptom) examine(t *testing.T, fake *fakehost.Host, host *hosttest.Host) diagnosis.Report {
	t.Helper()
	d := diagnosis.Diagnosis{Root: fake.Root(), BusyPause: time.Millisecond}
	if s.level == "" {
		report, err := d.Examine(t.Context(), host, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		return report
	}
	_, err := d.Execute(t.Context(), host, executors.Spec{"level": string(s.level)})
	if failure := (*executors.Failure)(nil); err != nil && !errors.As(err, &failure) {
		t.Fatal(err)
	}
	var report diagnosis.Report
	output := strings.Split(strings.TrimSpace(host.Output()), "\n")
	if err := json.Unmarshal([]byte(output[len(output)-1]), &report); err != nil {
		t.Fatal(err)
	}
	return report
}

// check compares the findings with what is wanted; each wanted one is the beginning
// of one finding.
func (s symptom) check(t *testing.T, report diagnosis.Report) {
	t.Helper()
	wanted := slices.Clone(s.want)
	for _, o := range report.Checks {
		if slices.Contains(machines, o.Check) {
			continue
		}
		for _, f := range o.Findings {
			line := fmt.Sprintf("%s %s %s", f.Grade, o.Check, f.What)
			at := slices.IndexFunc(wanted, func(w string) bool { return strings.HasPrefix(line, w) })
			if at < 0 {
				t.Errorf("found: %s", line)
				continue
			}
			wanted = slices.Delete(wanted, at, at+1)
		}
	}
	for _, w := range wanted {
		t.Errorf("not found: %s", w)
	}
}

// troubleshooting is the page that operators look symptoms up in.
func troubleshooting(told map[string]diagnosis.Report) []byte {
	var page bytes.Buffer
	page.WriteString(`# What a diagnosis says, and what to do

What DIAGNOSIS and devserver-agent doctor say of a server, by symptom. The example ok
one with 910B cards. The code is that of the task, none if it ends well; the last
rows need level=performance. Every row is a test (executors/diagnosis/symptom_test.go),
which writes this page.

| symptom | code | what is said | what to do |
|---|---|---|---|
`)
	for _, s := range symptoms {
		var said, advice []string
		for _, o := range told[s.name].Checks {
			for _, f := range o.Findings {
				if slices.Contains(machines, o.Check) || f.Grade == diagnosis.Skip && len(s.want) > 6 {
					continue
				}
				said = append(said, fmt.Sprintf("%s %s: %s", f.Grade, o.Check, f.What))
				if f.Do != "" && !slices.Contains(advice, f.Do) {
					advice = append(advice, f.Do)
				}
			}
		}
		if len(said) == 0 {
			said = []string{"PASS"}
		}
		if len(advice) == 0 {
			advice = []string{"Nothing."}
		}
		code := ""
		if told[s.name].Grade == diagnosis.Fail {
			code = string(protocol.DiagnosisFailed)
		}
		fmt.Fprintf(&page, "| %s | %s | %s | %s |\n", s.name, code, strings.ReplaceAll(strings.Join(said, "<br>"), "|", "\\|"), strings.Join(advice, " "))
	}
	return page.Bytes()
}

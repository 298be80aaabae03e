package diagnosis_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"devserver-agent/executors"
	"devserver-agent/executors/diagnosis"
	"devserver-agent/protocol"
	"devserver-agent/test/fakehost"
)

// A task fails only on FAIL, with a line to act on; its output has the table and the
// report as JSON, which is kept on the host too.
func TestATaskFailsOnFailOnly(t *testing.T) {
	for name, c := range map[string]struct {
		faults  map[fakehost.Fault][]string
		spec    executors.Spec
		failed  bool
		message string
	}{
		"all is well": {spec: executors.Spec{"checks": "driver,cards,health"}, message: "PASS 3"},
		"a warning":   {spec: executors.Spec{"checks": "clock,driver"}, faults: one(fakehost.ClockUnsynced), message: "PASS 1, WARN 1 | clock: the clock is not synchronised"},
		"a failure": {spec: executors.Spec{"checks": "temperature,clock,pcie"}, failed: true, faults: map[fakehost.Fault][]string{fakehost.CardHot: nil, fakehost.ClockUnsynced: nil},
			message: "1 of 3 checks failed: temperature: card 7: 98 C, the limit is 95. Nothing was changed. Check fans, air flow and the room's temperature. Checks with warnings: 1."},
	} {
		t.Run(name, func(t *testing.T) {
			fake, host := symptom{faults: c.faults}.host(t)
			keep := filepath.Join(t.TempDir(), "kept")
			result, err := diagnosis.Diagnosis{Root: fake.Root(), Keep: keep}.Execute(t.Context(), host, c.spec)
			message := result.Message
			if c.failed {
				var failure *executors.Failure
				if !errors.As(err, &failure) || failure.Code != protocol.DiagnosisFailed {
					t.Fatalf("it ends with %v", err)
				}
				message = failure.Message
			} else if err != nil {
				t.Fatal(err)
			}
			if message != c.message {
				t.Errorf("it says %q, want %q", message, c.message)
			}
			output := strings.Split(strings.TrimSpace(host.Output()), "\n")
			var printed, kept diagnosis.Report
			if err := json.Unmarshal([]byte(output[len(output)-1]), &printed); err != nil {
				t.Fatalf("the output's last line is no report: %v", err)
			}
			files, err := diagnosis.ReportFiles(keep)
			if err != nil || len(files) != 1 {
				t.Fatalf("kept are %v, %v", files, err)
			}
			text, err := os.ReadFile(files[0])
			if err := errors.Join(err, json.Unmarshal(text, &kept)); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(printed, kept); diff != "" {
				t.Errorf("printed and kept differ:\n%s", diff)
			}
		})
	}
}

// Replayed after the agent died, it says what it said the first time, whatever the
// host is like by now.
func TestAReplaySaysTheSame(t *testing.T) {
	fake, host := symptom{}.host(t)
	keep := t.TempDir()
	d := diagnosis.Diagnosis{Root: fake.Root(), Keep: keep}
	first, err := d.Execute(t.Context(), host, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := fake.SetFault(fakehost.CardAlarm); err != nil {
		t.Fatal(err)
	}
	host.Replay()
	again, err := d.Execute(t.Context(), host, nil)
	if err != nil || again != first {
		t.Errorf("first %+v, then %+v, %v", first, again, err)
	}
	if files, err := diagnosis.ReportFiles(keep); err != nil || len(files) != 1 {
		t.Errorf("kept are %v, %v", files, err)
	}
}

func TestOnlyTheLatestReportsAreKept(t *testing.T) {
	dir := t.TempDir()
	for i := range 12 {
		write(t, filepath.Join(dir, fmt.Sprintf("diagnosis-20260302T0920%02d.000Z.json", i)), "{}\n")
	}
	fake, host := symptom{}.host(t)
	if _, err := (diagnosis.Diagnosis{Root: fake.Root(), Keep: dir}).Execute(t.Context(), host, executors.Spec{"checks": "clock"}); err != nil {
		t.Fatal(err)
	}
	files, err := diagnosis.ReportFiles(dir)
	if err != nil || len(files) != 10 || !strings.Contains(files[0], "092003") {
		t.Errorf("kept are %d, the first %v, %v", len(files), files[0], err)
	}
}

func TestDeepLevelsNeedAnIdleHost(t *testing.T) {
	for name, c := range map[string]struct {
		level   string
		faults  map[fakehost.Fault][]string
		prepare func(*testing.T, *fakehost.Host)
		failed  bool
		says    string
		starts  int
	}{
		"performance":                 {level: "performance", says: "PASS 2", starts: 1},
		"stress":                      {level: "stress", says: "PASS 2", starts: 1},
		"a test fails":                {level: "performance", faults: one(fakehost.DMIFails), failed: true, says: "1 of 2 checks failed: performance: bandwidth: EMERGENCY_WARN, bandwidth diagnosis failed on device 0.", starts: 1},
		"a card may stay in use":      {level: "performance", faults: one(fakehost.DMIFails, "word=GENERAL_WARN"), says: "PASS 1, WARN 1 | performance: bandwidth: GENERAL_WARN", starts: 1},
		"a repair is to be planned":   {level: "performance", faults: one(fakehost.DMIFails, "word=IMPORTANT_WARN"), says: "PASS 1, WARN 1 | performance: bandwidth: IMPORTANT_WARN", starts: 1},
		"a word that is not known":    {level: "performance", faults: one(fakehost.DMIFails, "word=MINOR_FAULT"), failed: true, says: "1 of 2 checks failed: performance: bandwidth: MINOR_FAULT, a word that this version does not know", starts: 1},
		"a test is skipped":           {level: "stress", faults: one(fakehost.DMIFails, "item=aicpu", "word=SKIP"), says: "PASS 1, SKIP 1", starts: 1},
		"a job runs":                  {level: "stress", faults: one(fakehost.BusyProcess), says: "PASS 1, SKIP 1"},
		"a container was given cards": {level: "stress", faults: one(fakehost.BusyContainer), says: "PASS 1, SKIP 1"},
		"there is no ascend-dmi":      {level: "stress", prepare: func(t *testing.T, fake *fakehost.Host) { remove(t, fake, "usr/local/Ascend/toolbox") }, says: "PASS 1, SKIP 1"},
	} {
		t.Run(name, func(t *testing.T) {
			fake, host := symptom{faults: c.faults, prepare: c.prepare}.host(t)
			spec := executors.Spec{"level": c.level, "checks": "clock"}
			for range 2 { // the second is a replay
				host.Replay()
				result, err := diagnosis.Diagnosis{Root: fake.Root()}.Execute(t.Context(), host, spec)
				message := result.Message
				if err != nil {
					message = err.Error()
				}
				if (err != nil) != c.failed || !strings.HasPrefix(message, c.says) {
					t.Errorf("it ends with %q, %v, want %q", message, err, c.says)
				}
			}
			if n := host.Starts(c.level); n != c.starts {
				t.Errorf("ascend-dmi was started %d times, want %d", n, c.starts)
			}
		})
	}
}

func TestATestThatWasCutIsNotStartedAgain(t *testing.T) {
	fake, host := symptom{}.host(t)
	host.Cut("stress")
	spec := executors.Spec{"level": "stress", "checks": "clock"}
	result, err := diagnosis.Diagnosis{Root: fake.Root()}.Execute(t.Context(), host, spec)
	if err != nil || !strings.Contains(result.Message, "stress: the test was cut in the middle") || host.Starts("stress") != 1 {
		t.Errorf("it ends with %+v, %v after %d starts", result, err, host.Starts("stress"))
	}
}

// It is cancelled while npu-smi hangs, which would do so for an hour.
func TestACancelledDiagnosisEndsWithTheCause(t *testing.T) {
	fake, host := symptom{faults: one(fakehost.SmiHang)}.host(t)
	host.TimeoutOf = nil
	host.QueryTimeout = time.Hour
	begun := announced(t, fake, "usr/local/sbin/npu-smi")
	ctx, cancel := context.WithCancelCause(t.Context())
	ended := make(chan error, 1)
	go func() {
		_, err := diagnosis.Diagnosis{Root: fake.Root(), Patience: time.Hour}.Execute(ctx, host, nil)
		ended <- err
	}()
	select {
	case err := <-ended:
		t.Fatalf("it ends with %v before npu-smi was begun", err)
	case err := <-begun:
		if err != nil {
			t.Fatal(err)
		}
	}
	cancel(executors.ErrCancelled)
	if err := <-ended; !errors.Is(err, executors.ErrCancelled) {
		t.Errorf("it ends with %v", err)
	}
}

// announced has a tool of a fake host say that it has begun, the first time, before it does
// what it does: it opens a pipe for writing, which waits for this test to read.
func announced(t *testing.T, fake *fakehost.Host, name string) <-chan error {
	t.Helper()
	path, pipe := fake.Path(name), filepath.Join(t.TempDir(), "begun")
	script := fmt.Sprintf("#!/bin/sh\nif [ -p '%[1]s' ]; then : >'%[1]s'; fi\nexec '%[2]s.own' \"$@\"\n", pipe, path)
	if err := errors.Join(syscall.Mkfifo(pipe, 0o600), os.Rename(path, path+".own"), os.WriteFile(path, []byte(script), 0o755)); err != nil {
		t.Fatal(err)
	}
	begun := make(chan error, 1)
	go func() {
		_, err := os.ReadFile(pipe)
		begun <- errors.Join(err, os.Remove(pipe))
	}()
	return begun
}

// Jobs are refused before they reach a host when they name a check that there is
// not, so the catalogue has to know them all.
func TestTheCatalogueKnowsTheChecks(t *testing.T) {
	kind, known := protocol.LookupType("DIAGNOSIS")
	if !known {
		t.Fatal("DIAGNOSIS is not in the catalogue")
	}
	if err := kind.CheckSpec(map[string]string{"checks": strings.Join(diagnosis.Names(), ",")}); err != nil {
		t.Error(err)
	}
	for _, p := range kind.Params {
		if want := "(" + strings.Join(diagnosis.Names(), "|") + ")"; p.Name == "checks" && !strings.HasPrefix(p.Pattern, want) {
			t.Errorf("the catalogue's pattern is %s, want %s first", p.Pattern, want)
		}
	}
	if kind.For(map[string]string{"level": "health"}).Exclusive || !kind.For(map[string]string{"level": "stress"}).Exclusive {
		t.Error("only deep levels have the host to themselves")
	}
}

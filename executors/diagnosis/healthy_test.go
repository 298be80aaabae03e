package diagnosis_test

import (
	"errors"
	"os"
	"slices"
	"syscall"
	"testing"
	"time"

	"devserver-agent/executors/diagnosis"
	"devserver-agent/test/fakehost"
	"devserver-agent/test/fakehost/tool"
	"devserver-agent/test/hosttest"
)

// A host that is well has no warning, whatever its family and on metal as in a virtual
// machine, and every check says what it examined.
func TestAHealthyHostHasNoWarning(t *testing.T) {
	for _, model := range fakehost.Models() {
		for _, place := range []fakehost.Place{fakehost.Metal, fakehost.VM} {
			t.Run(string(model)+" "+place.String(), func(t *testing.T) {
				t.Parallel()
				fake := fakehost.ForTest(t, model, fakehost.Options{Place: place, Cards: 2})
				host := hosttest.New(t, fake.Root())
				host.Play = tool.InProcess(fake)
				report, err := diagnosis.Diagnosis{Root: fake.Root(), BusyPause: time.Millisecond}.Examine(t.Context(), host, nil, nil)
				if err != nil {
					t.Fatal(err)
				}
				for _, o := range report.Checks {
					if o.Examined == "" {
						t.Errorf("%s does not say what it examined", o.Check)
					}
					if !slices.Contains(machines, o.Check) && (o.Grade == diagnosis.Warn || o.Grade == diagnosis.Fail) {
						t.Errorf("%s: %+v", o.Check, o.Findings)
					}
				}
				t.Log("\n" + report.Table())
			})
		}
	}
}

// What was found before time is up is judged: files can be read however long a tool
// hangs.
func TestTimeIsUpWhileTheCardsAreListed(t *testing.T) {
	fake := fakehost.ForTest(t, fakehost.A2, fakehost.Options{})
	if err := fake.SetFault(fakehost.SmiHang); err != nil {
		t.Fatal(err)
	}
	d := diagnosis.Diagnosis{Root: fake.Root(), BusyPause: time.Millisecond, Patience: 200 * time.Millisecond}
	report, err := d.Examine(t.Context(), hosttest.New(t, fake.Root()), []string{"driver", "cards", "health", "versions", "installation"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	symptom{want: []string{
		"SKIP driver not asked: the other tools took too long", "SKIP cards the driver lists no card", "INFO cards chips on the PCI bus: 8",
		"SKIP health the driver lists no card", "SKIP versions the driver lists no card",
	}}.check(t, report)
}

// A file system that does not answer holds up the one check that reads it. A pipe without
// a writer stands for it here: what opens it waits.
func TestACheckThatDoesNotEndIsSkipped(t *testing.T) {
	fake := fakehost.ForTest(t, fakehost.A2, fakehost.Options{Cards: 2})
	meminfo := fake.Path("proc/meminfo")
	if err := errors.Join(os.RemoveAll(meminfo), syscall.Mkfifo(meminfo, 0o600)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { // let it go
		writer, err := os.OpenFile(meminfo, os.O_WRONLY|syscall.O_NONBLOCK, 0)
		if err != nil {
			t.Error(err)
			return
		}
		_ = writer.Close()
	})
	host := hosttest.New(t, fake.Root())
	host.Play = tool.InProcess(fake)
	d := diagnosis.Diagnosis{Root: fake.Root(), BusyPause: time.Millisecond, Patience: time.Second}
	report, err := d.Examine(t.Context(), host, []string{"memory", "clock"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	symptom{want: []string{"SKIP memory it did not end in time"}}.check(t, report)
}

// The buffer of a kernel that says much is larger than what is read of a tool: the newest
// lines are what counts.
func TestTheKernelSaysMuch(t *testing.T) {
	const lost = "[99999.000001] [ascend] [drv_pcie] Device is abnormal. (dev_id=5; status=4)"
	flood := "yes '[    1.000000] usb 1-1: new high-speed USB device' | head -c 2000000"
	for name, c := range map[string]struct {
		warnings string
		want     []string
	}{
		"and little of it are warnings":   {"echo '" + lost + "'", []string{"INFO kernel dmesg has more than 1 MiB", "WARN kernel the kernel logged 1 error of the NPU driver, device 5"}},
		"and much of it are warnings too": {flood, []string{"SKIP kernel dmesg has more than 1 MiB of warnings"}},
	} {
		t.Run(name, func(t *testing.T) {
			fake := fakehost.ForTest(t, fakehost.A2, fakehost.Options{Cards: 2})
			write(t, fake.Path("/usr/bin/dmesg"), "#!/bin/sh\n[ $# -eq 0 ] || { "+c.warnings+"; exit; }\n"+flood+"\n")
			report, err := diagnosis.Diagnosis{Root: fake.Root()}.Examine(t.Context(), hosttest.New(t, fake.Root()), []string{"kernel"}, nil)
			if err != nil {
				t.Fatal(err)
			}
			symptom{want: c.want}.check(t, report)
		})
	}
}

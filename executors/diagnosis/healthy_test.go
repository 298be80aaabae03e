package diagnosis_test

import (
	"slices"
	"testing"
	"time"

	"devserver-agent/executors/diagnosis"
	"devserver-agent/test/fakehost"
	"devserver-agent/test/fakehost/tool"
	"devserver-agent/test/hosttest"
)

// A host that is well has no warning, whatever its family and on metal as in a virtual
// machine, and every check says what it looked at.
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
						t.Errorf("%s does not say what it looked at", o.Check)
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

package diagnosis_test

import (
	"testing"
	"time"

	"devserver-agent/executors/diagnosis"
	"devserver-agent/test/fakehost"
	"devserver-agent/test/hosttest"
)

// BenchmarkSlowTools examines a host with eight cards whose every tool call takes
// 300 ms. Its floor is the longest chain of calls that need each other: the list of
// cards, the mapping of ids, seven questions to a port.
func BenchmarkSlowTools(b *testing.B) {
	const call, chain, limit = 300 * time.Millisecond, 9, 10 * time.Second
	fake := fakehost.ForTest(b, fakehost.A2, fakehost.Options{})
	if err := fake.SetFault(fakehost.ToolsSlow, "ms=300"); err != nil {
		b.Fatal(err)
	}
	host := hosttest.New(b, fake.Root())
	for b.Loop() {
		report, err := diagnosis.Diagnosis{Root: fake.Root()}.Examine(b.Context(), host, nil, nil)
		if err != nil || report.Grade == diagnosis.Fail {
			b.Fatalf("%s, %v", report.Table(), err)
		}
	}
	took := b.Elapsed() / time.Duration(b.N)
	b.ReportMetric(took.Seconds(), "s/diagnosis")
	b.ReportMetric(float64(took)/float64(chain*call), "x-floor")
	if took > limit {
		b.Errorf("it took %v, the limit is %v", took, limit)
	}
}

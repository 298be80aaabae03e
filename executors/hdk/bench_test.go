package hdk_test

import (
	"testing"
	"time"

	"devserver-agent/executors/ascend"
	"devserver-agent/executors/hdk"
	"devserver-agent/protocol"
	"devserver-agent/test/fakehost"
	"devserver-agent/test/hosttest"
)

// BenchmarkQuerySlowTools queries a host with eight cards whose every call of npu-smi
// takes 0.6 s. Its floor is measured in the same run: the list of cards, and then as
// many calls after each other as are left when ascend.CardsAtOnce cards are asked at a
// time.
func BenchmarkQuerySlowTools(b *testing.B) {
	const count, limit = 8, 2 * time.Second
	fake := fakehost.ForTest(b, fakehost.A2, fakehost.Options{Release: a2Release})
	if err := fake.SetFault(fakehost.ToolsSlow, "ms=600"); err != nil {
		b.Fatal(err)
	}
	host := hosttest.New(b, fake.Root())
	call := func(argv ...string) time.Duration {
		began := time.Now()
		if _, err := host.Query(b.Context(), argv...); err != nil {
			b.Fatal(err)
		}
		return time.Since(began)
	}
	const rounds = (count + ascend.CardsAtOnce - 1) / ascend.CardsAtOnce
	floor := call("npu-smi", "info", "-l") + rounds*call("npu-smi", "info", "-t", "board", "-i", "0")
	for b.Loop() {
		result, err := hdk.Query{}.Execute(b.Context(), host, nil)
		if err != nil || result.Message != a2 || result.Code != protocol.Code("") {
			b.Fatalf("%+v, %v", result, err)
		}
	}
	took := b.Elapsed() / time.Duration(b.N)
	b.ReportMetric(took.Seconds(), "s/query")
	b.ReportMetric(float64(took)/float64(floor), "x-floor")
	if took > limit {
		b.Errorf("it took %v, the limit is %v", took, limit)
	}
}

package step

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"devserver-agent/executors"
)

// BenchmarkStep takes an action from its folder to its end. x-floor is its time
// by that of the same program bare: fork, exec, wait.
func BenchmarkStep(b *testing.B) {
	folder, n := b.TempDir(), 0
	compare(b, func() error {
		n++
		dir := filepath.Join(folder, fmt.Sprint(n))
		spec := Spec{Argv: []string{"/bin/true"}, Output: filepath.Join(folder, "output"), Boot: boot, Kill: executors.KillTree}
		if err := Prepare(dir, spec); err != nil {
			return err
		}
		gone, err := surroundings().Start(dir, spec)
		if err != nil {
			return err
		}
		_, err = Attempt{Dir: dir, Boot: boot}.Wait(context.Background(), gone)
		return err
	})
}

// BenchmarkQuery asks a program that has nothing to say.
func BenchmarkQuery(b *testing.B) {
	compare(b, func() error {
		_, err := Query(context.Background(), "/bin/true", []string{"true"}, nil)
		return err
	})
}

func compare(b *testing.B, ours func() error) {
	var took, bare time.Duration
	for b.Loop() {
		begin := time.Now()
		if err := ours(); err != nil {
			b.Fatal(err)
		}
		took += time.Since(begin)
		begin = time.Now()
		if err := command("/bin/true").Run(); err != nil {
			b.Fatal(err)
		}
		bare += time.Since(begin)
	}
	b.ReportMetric(float64(took)/float64(bare), "x-floor")
	b.ReportMetric(float64(took.Microseconds())/float64(b.N), "µs/call")
}

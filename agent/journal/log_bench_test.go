package journal

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"devserver-agent/protocol"
)

// BenchmarkAppend takes a record to disk. x-floor is its time by that of the
// same bytes written and synced to a bare file in the same run.
func BenchmarkAppend(b *testing.B) {
	s := open(b, options(b.TempDir()))
	task := admit(b, s, "task-1")
	floor, err := os.OpenFile(filepath.Join(b.TempDir(), "floor"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	must(b, err)
	var ours, bare time.Duration
	for b.Loop() {
		size := task.log.size
		begin := time.Now()
		must(b, task.PutMemo(MemoRecord{Name: "memo", Value: []byte(`"` + string(protocol.Running) + `"`)}))
		ours += time.Since(begin)
		line := make([]byte, task.log.size-size)
		begin = time.Now()
		_, err := floor.Write(line)
		must(b, err)
		must(b, floor.Sync())
		bare += time.Since(begin)
	}
	b.ReportMetric(float64(ours)/float64(bare), "x-floor")
	b.ReportMetric(float64(ours.Microseconds())/float64(b.N), "µs/append")
	must(b, floor.Close())
}

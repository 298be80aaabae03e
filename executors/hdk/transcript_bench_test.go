package hdk

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"devserver-agent/executors"
)

// BenchmarkTranscriptOfAFlood takes in as much as an installer's output is heard of, in
// other lines each and in the same ones. Its floor, in the same run, is to find the ends of
// the lines.
func BenchmarkTranscriptOfAFlood(b *testing.B) {
	var other bytes.Buffer
	for n := 0; other.Len() < executors.WatchLimit; n++ {
		fmt.Fprintf(&other, "[Driver] [2026-11-28 10:31:02] [INFO]copying part %d of the driver\n", n)
	}
	same := bytes.Repeat([]byte("ERR_NO:0x0002;ERR_DES:input error, please input again!\n"), executors.WatchLimit/55)
	for name, text := range map[string][]byte{"other lines": other.Bytes(), "the same line": same} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				(&transcript{}).write(text)
			}
			took := b.Elapsed()
			began := time.Now()
			for range b.N {
				bytes.Count(text, []byte("\n"))
			}
			b.ReportMetric(float64(took)/float64(time.Since(began)), "x-floor")
		})
	}
}

package diagnosis

import (
	"context"
	"fmt"
	"strings"

	"devserver-agent/executors/ascend"
)

// ecc reads the error counters of the chips' memory. Pages that wait for isolation
// are taken out of use by the next reset.
type ecc struct{}

func (ecc) run(_ context.Context, p *probe) (string, []Finding) {
	chips := each(p, func(ctx context.Context, card ascend.CardReport) (ascend.Readings, error) {
		return p.node.Readings(ctx, ascend.TopicECC, card.ID)
	})
	return p.examinedCards(), p.judge(chips, func(_ int, chip ascend.Reading) []Finding { return judgeECC(chip) })
}

// eccKey evens out the keys of families and releases: a 310 writes double-bit, and some
// shorten count.
var eccKey = strings.NewReplacer("-", " ", "error cnt", "error count")

// judgeECC sums up the counters of one kind, of HBM and DDR.
func judgeECC(chip ascend.Reading) []Finding {
	sum := map[string]float64{}
	var found []Finding
	for _, f := range chip.Fields {
		key := eccKey.Replace(strings.ToLower(f.Key))
		figure, err := chip.Figure(f.Key)
		if err != nil {
			found = append(found, Finding{Warn, err.Error(), "Run npu-smi info -t ecc by hand; if it prints no figure there either, see whether the card is well and compare npu-smi -v with the installed driver."})
		}
		if err != nil || figure == nil {
			continue
		}
		for _, kind := range []string{"next isolated pages", "isolated pages", "double bit error count", "single bit error count"} {
			if strings.Contains(key, kind) {
				sum[kind] += *figure
				break
			}
		}
	}
	if n := sum["double bit error count"]; n > 0 {
		found = append(found, Finding{Warn, fmt.Sprintf("%.0f double-bit errors since the last reset", n), "Restart the job that ran on the card; if they come again, have the card repaired."})
	}
	if n := sum["next isolated pages"]; n > 0 {
		found = append(found, Finding{Warn, fmt.Sprintf("%.0f pages wait for isolation", n), "When the card is idle, reset it (npu-smi set -t reset) or restart the host."})
	}
	if n := sum["isolated pages"]; n > 0 {
		found = append(found, Finding{Grade: Info, What: fmt.Sprintf("%.0f pages are isolated", n)})
	}
	if n := sum["single bit error count"]; n > 0 {
		found = append(found, Finding{Grade: Info, What: fmt.Sprintf("%.0f single-bit errors, corrected", n)})
	}
	return found
}

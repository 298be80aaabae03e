package diagnosis

import (
	"context"
	"errors"

	"devserver-agent/executors/ascend"
)

// driver fails when the driver lists no cards.
type driver struct{}

func (driver) run(_ context.Context, p *probe) (string, []Finding) {
	switch err := p.inventory.Err; {
	case errors.Is(err, errNoTime):
		return "npu-smi's list of cards", []Finding{unanswered(err)}
	case err != nil:
		return "npu-smi's list of cards", []Finding{{Fail, ascend.Reason(err), ascend.Remedy(err)}}
	}
	var found []Finding
	for _, warning := range p.inventory.List.Warnings {
		found = append(found, Finding{Warn, "npu-smi warns: " + warning, "Run npu-smi info -l by hand and see dmesg; if the driver is not installed whole: " + installAgain})
	}
	return "npu-smi's list of " + count(len(p.cards()), "card"), found
}

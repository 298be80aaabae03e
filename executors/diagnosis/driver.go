package diagnosis

import (
	"context"
	"errors"

	"devserver-agent/executors"
	"devserver-agent/executors/ascend"
)

// driver fails when the driver lists no cards.
type driver struct{}

func (driver) look(_ context.Context, s *survey) []Finding {
	list, err := s.list()
	if err != nil {
		return []Finding{{Fail, ascend.Why(err), revive(err)}}
	}
	var found []Finding
	for _, warning := range list.Warnings {
		found = append(found, Finding{Grade: Warn, What: "npu-smi warns: " + warning})
	}
	return found
}

// revive is what to do about a driver that lists no cards.
func revive(err error) string {
	switch {
	case errors.Is(err, executors.ErrNotFound):
		return "Install the HDK; if it is installed, check host.root and tools.npu_smi in the agent's configuration."
	case errors.Is(err, ascend.ErrInUse):
		return "Find who holds the device (fuser -v /dev/davinci*) and wait or stop it."
	case errors.Is(err, ascend.ErrNoCards):
		return "Check that the NPUs are on the PCI bus (lspci -d 19e5:); if not, power the host off and on."
	case errors.Is(err, executors.ErrTimeout):
		return "Restart the host when its work allows: a driver that hangs does not come back by itself."
	default:
		return "See dmesg and /var/log/ascend_seclog/ascend_install.log; after an update of the kernel install the HDK again."
	}
}

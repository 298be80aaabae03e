package diagnosis

import (
	"context"
	"errors"

	"devserver-agent/executors"
	"devserver-agent/executors/ascend"
)

// driver fails when the driver lists no cards.
type driver struct{}

func (driver) run(_ context.Context, p *probe) (string, []Finding) {
	if err := p.inventory.Err; err != nil {
		return "npu-smi's list of cards", []Finding{{Fail, ascend.Reason(err), driverRemedy(err)}}
	}
	var found []Finding
	for _, warning := range p.inventory.List.Warnings {
		found = append(found, Finding{Grade: Warn, What: "npu-smi warns: " + warning})
	}
	return "npu-smi's list of " + count(len(p.cards()), "card"), found
}

// driverRemedy is what to do about a driver that lists no cards.
func driverRemedy(err error) string {
	switch {
	case errors.Is(err, executors.ErrNotFound):
		return "Install the HDK; if it is installed, check host.root and tools.npu_smi in the agent's configuration."
	case errors.Is(err, ascend.ErrNotLoaded):
		return "The tool does not find its libraries, the driver itself may run: add /usr/local/Ascend/driver/lib64, its common and its driver " +
			"to a file in /etc/ld.so.conf.d and run ldconfig, or to LD_LIBRARY_PATH; if the libraries are not there, the driver's installation is not complete: install the HDK again."
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

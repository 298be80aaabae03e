package ascend

import (
	"errors"

	"devserver-agent/executors"
)

// Remedy is what to do about a driver that lists no cards, or a card that does not
// answer, for the error that a Node returned.
func Remedy(err error) string {
	switch {
	case errors.Is(err, executors.ErrNotFound):
		return "Install the HDK; if it is installed, check host.root and tools.npu_smi in the agent's configuration."
	case errors.Is(err, ErrNotLoaded):
		return "The tool does not find its libraries, the driver itself may run: add /usr/local/Ascend/driver/lib64, its common and its driver " +
			"to a file in /etc/ld.so.conf.d and run ldconfig, or to LD_LIBRARY_PATH; if the libraries are not there, the driver's installation is not complete: install the HDK again."
	case errors.Is(err, ErrInUse):
		return "Find who holds the device (fuser -v /dev/davinci*) and wait or stop it."
	case errors.Is(err, ErrNoCards):
		return "Check that the NPUs are on their bus (on PCI: lspci -d 19e5:, which does not list cards on UB); if not, power the host off and on."
	case errors.Is(err, executors.ErrTimeout), errors.Is(err, ErrNotAsked), errors.Is(err, ErrTooSlow):
		return "Run npu-smi info -l by hand and see dmesg; if it hangs, restart the host when its work allows: a driver that hangs does not come back by itself."
	case errors.Is(err, ErrGarbled), errors.Is(err, executors.ErrFlood):
		return "Run npu-smi info -l by hand; if it prints garbage there, too, compare npu-smi -v with the installed driver and install the HDK again."
	case errors.Is(err, ErrNoCard):
		return "Power the host off and on; if the card stays away, have it repaired."
	default:
		return "See dmesg and /var/log/ascend_seclog/ascend_install.log; after an update of the kernel install the HDK again."
	}
}

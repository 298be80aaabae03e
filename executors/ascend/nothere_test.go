package ascend

import (
	"errors"
	"strings"
	"testing"

	"devserver-agent/executors"
)

// Tools say in many words, and with any exit status, that something is not to be had
// on this host. The published ones and others of the kind mean the same.
func TestNotHereInManyWords(t *testing.T) {
	for said, want := range map[string]error{
		"The VM does not support this command.":                                  ErrUnsupported,
		"The command is not supported on this product.":                          ErrUnsupported,
		"This command cannot be executed on a common container.":                 ErrUnsupported,
		"This command can not be executed in a virtual machine.":                 ErrUnsupported,
		"Not supported in virtualization scenario.":                              ErrUnsupported,
		"Device 0 not support this item.":                                        ErrUnsupported,
		"hccn_tool: command not available in virtual machine":                    ErrUnsupported,
		"This operation is not permitted in a container.":                        ErrUnsupported,
		"unsupported command":                                                    ErrUnsupported,
		"The VM doesn't support this command.":                                   ErrUnsupported,
		"Current environment is a virtual machine, cannot execute this command.": ErrUnsupported,
		"This command is forbidden in a virtual machine.":                        ErrUnsupported,
		"This function is unavailable in container.":                             ErrUnsupported,
		"Command can only be executed on a physical machine.":                    ErrUnsupported,
		"This product has no network port.":                                      ErrUnsupported,
		"This command is forbidden in the container.":                            ErrUnsupported,
		"Permission denied in the container.":                                    ErrUnsupported,
		"hccn_tool: permission denied: running inside docker":                    ErrUnsupported,
		"This device does not have this function.":                               ErrUnsupported,
		"The card doesn't have such a capability.":                               ErrUnsupported,
		"The command is unable to run in the current environment.":               ErrUnsupported,
		"hccn_tool is unable to run":                                             ErrUnsupported,
		"hccn_tool is invalid in vm":                                             ErrUnsupported,
		"This option is invalid in virtual machines.":                            ErrUnsupported,
		"This command does not apply to virtual machines.":                       ErrUnsupported,
		"Not applicable to Atlas 300I Duo":                                       ErrUnsupported,
		"Only physical machines support this command.":                           ErrUnsupported,
		"This function is only for bare metal servers.":                          ErrUnsupported,
		"The product has no RoCE port.":                                          ErrUnsupported,
		"There is no network port on this card.":                                 ErrUnsupported,
		"This board does not have a NIC.":                                        ErrUnsupported,
		"Operation not permitted.":                                               ErrUnsupported,
		"The operation is not permitted":                                         ErrUnsupported,
		"Not allowed in docker environment.":                                     ErrUnsupported,
		"Please run this command on the physical machine.":                       ErrUnsupported,
		"You have no permission to query it in a pod":                            ErrUnsupported,
		"This feature is disabled for guests":                                    ErrUnsupported,
		"RoCE is not available on this product.":                                 ErrUnsupported,
		"This item is prohibited under the current mode":                         ErrUnsupported,
		"The function cannot be used on this board.":                             ErrUnsupported,
		"Getting link is restricted to the hypervisor's host":                    ErrUnsupported,
		"Failed to get link: this device does not support it.":                   ErrUnsupported,
		"Permission denied.":                                                     ErrFailed,
		"Failed to query link in the container.":                                 ErrFailed,
		"Cmd execute failed in virtual machine!":                                 ErrFailed,
		"open /dev/hisi_hdc failed: Operation not permitted":                     ErrFailed,
		"The device is lost in the VM.":                                          ErrFailed,
		"Device 3 is lost, it cannot be queried on this host.":                   ErrFailed,
		"Query timeout in the container.":                                        ErrFailed,
		"Query timed out, the device does not support a retry":                   ErrFailed,
		"This device cannot be opened.":                                          ErrFailed,
		"The chip is not available.":                                             ErrFailed,
		"This command cannot be executed, please try again later.":               ErrFailed,
		"Device is used by another container and cannot be queried.":             ErrFailed,
		"The virtual device cannot be found.":                                    ErrFailed,
		"The card is abnormal and only the physical machine can reset it.":       ErrFailed,
		"no response from port 3":                                                ErrFailed,
		"no link on the port":                                                    ErrFailed,
		"Out of memory, this command cannot be executed.":                        ErrFailed,
		"hdc session in the guest was refused: driver error":                     ErrFailed,
		"The device on this server is offline and not available.":                ErrFailed,
		"Cmd execute failed! This product does not support the command.":         ErrUnsupported,
		"For bare metal only.":                                                   ErrUnsupported,
		"This product does not have RoCE.":                                       ErrUnsupported,
		"This command can only be run on the physical host":                      ErrUnsupported,
		"There is no network connection.":                                        ErrFailed,
		"Only 3 of 8 devices in the container answered.":                         ErrFailed,
		"invalid virtual device id":                                              ErrFailed,
		"connection refused by the hypervisor":                                   ErrFailed,
		"/var/lib/docker/x: Permission denied":                                   ErrFailed,
		"permission denied: /run/container/lock":                                 ErrFailed,
		"Get invalid device id.":                                                 ErrNoCard,
		"Cmd execute failed!":                                                    ErrFailed,
		"Cmd execute failed! The device is BUSY.":                                ErrBusy,
		"hccn_tool: error while loading shared libraries: libdrv.so:":            ErrNotLoaded,
	} {
		for _, status := range []int{0, 1, 13} {
			err := dialects["hccn_tool"].refusal("hccn_tool -i 0 -link -g", executors.Reply{Output: []byte(said + "\n"), Code: status}, errors.New("has no field"))
			if errors.Is(want, ErrFailed) && status == 0 && errors.Is(err, ErrGarbled) {
				continue // a sentence that is not known, and is quoted
			}
			if !errors.Is(err, want) {
				t.Errorf("%q with status %d means %v, want %v", said, status, err, want)
			}
		}
	}
}

// A value that is not supported is no refusal of the whole answer, and what makes no
// sense is quoted.
func TestAnAnswerThatMakesNoSenseIsQuoted(t *testing.T) {
	for answer, want := range map[string]string{
		"\tNPU ID                         : 4\n\tSoftware Version               : 24.1.0\n\tCompatibility                  : NOT SUPPORT\n": `npu-smi's answer is about card "4", not card 3 (it is "NPU ID : 4 / Software Version : 24.1.0 / Compatibility : NOT SUPPORT")`,
		"Segmentation violation\r\n\r\ncore kept\n": `npu-smi's answer is not board information (it is "Segmentation violation / core kept")`,
		" \n": "npu-smi's answer is not board information: it is empty",
		"\x1b[31mwhat\x00?\x1b[0m" + strings.Repeat("long ", 100): `npu-smi's answer is not board information (it is "what.?` + strings.Repeat("long ", 22) + `long...")`,
	} {
		_, wrong := ParseBoard([]byte(answer), 3)
		err := dialects["npu-smi"].refusal("npu-smi info", executors.Reply{Output: []byte(answer)}, wrong)
		if got := Reason(err); got != want || !errors.Is(err, ErrGarbled) {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}

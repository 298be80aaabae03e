package ascend

import (
	"errors"
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
		"Cmd execute failed!":                                                    ErrFailed,
		"Cmd execute failed! The device is BUSY.":                                ErrBusy,
		"hccn_tool: error while loading shared libraries: libdrv.so:":            ErrNotLoaded,
	} {
		for _, status := range []int{0, 1, 13} {
			err := dialects["hccn_tool"].refusal("hccn_tool -i 0 -link -g", executors.Reply{Output: []byte(said + "\n"), Code: status}, errors.New("has no field"))
			if !errors.Is(err, want) {
				t.Errorf("%q with status %d means %v, want %v", said, status, err, want)
			}
		}
	}
}

package ascend

import (
	"errors"
	"strings"
	"testing"

	"devserver-agent/executors"
)

func TestRefusals(t *testing.T) {
	parse := func(out []byte) error { _, err := ParseBoard(out, 3); return err }
	for name, c := range map[string]struct {
		said string
		code int
		want error
		dcmi int
		text string
	}{
		"driver down": {
			"dcmi module initialize failed. ret is -8005\n", 187, ErrDriverDown, -8005,
			`npu-smi: the driver does not run ("dcmi module initialize failed. ret is -8005"), exit status 187`},
		"driver down after a line of libdrv": {
			"DrvMngGetConsoleLogLevel failed. (ret=4)\ndcmi module initialize failed. ret is -8005\n", 187, ErrDriverDown, -8005,
			`npu-smi: the driver does not run ("dcmi module initialize failed. ret is -8005"), exit status 187`},
		"driver down, told in colour and with exit status 0": {
			"\x1b[31mdcmi module initialize failed. ret is -8005\x1b[0m\r\n", 0, ErrDriverDown, -8005,
			`npu-smi: the driver does not run ("dcmi module initialize failed. ret is -8005")`},
		"driver down, told by the status alone": {
			"", 187, ErrDriverDown, -8005, "npu-smi: the driver does not run, exit status 187"},
		"initialisation failed for another reason": {
			"dcmi module initialize failed. ret is -8012\n", 180, ErrDriverDown, -8012,
			`npu-smi: the driver does not run ("dcmi module initialize failed. ret is -8012"), exit status 180`},
		"device in use": {
			"dcmi model initialized failed, because the device is used. ret is -8020\n", 172, ErrInUse, -8020,
			`npu-smi: the device is in use ("dcmi model initialized failed, because the device is used. ret is -8020"), exit status 172`},
		"device in use, in the other words": {
			"dcmi module initialize failed. ret is -8020\n", 172, ErrInUse, -8020,
			`npu-smi: the device is in use ("dcmi module initialize failed. ret is -8020"), exit status 172`},
		"board type unknown to a driver that is down": {
			"npu get board type failed. ret is -8005\n", 187, ErrDriverDown, -8005,
			`npu-smi: the driver does not run ("npu get board type failed. ret is -8005"), exit status 187`},
		"card fell off the bus": {
			"Invalid card id.\nError parameter of -i\nUsage: npu-smi info <watch|proc> [Options...]\n", 215, ErrNoCard, 0,
			`npu-smi: no such card ("Invalid card id."), exit status 215`},
		"device does not exist, told by the status": {
			"Failed to query \"board\" info.\n", 184, ErrNoCard, -8008,
			`npu-smi: no such card ("Failed to query \"board\" info."), exit status 184`},
		"query failed": {
			"Failed to query \"board\" info.\n", 197, ErrFailed, 0,
			`npu-smi: ended with an error ("Failed to query \"board\" info."), exit status 197`},
		"query ran out of time inside the driver": {
			"Failed to query \"board\" info.\n", 186, ErrFailed, -8006,
			`npu-smi: ended with an error ("Failed to query \"board\" info."), exit status 186`},
		"no card": {
			"There is no NPU card on this server.\n", 0, ErrNoCards, 0,
			`npu-smi: no NPU card on this host ("There is no NPU card on this server.")`},
		"not supported with exit status 0": {
			"This device does not support querying board.\n", 0, ErrUnsupported, 0,
			`npu-smi: not supported here ("This device does not support querying board.")`},
		"not supported, in words of a tool's own": {
			"\tThe query is not supported in the current scenario.\n", 0, ErrUnsupported, 0,
			`npu-smi: not supported here ("The query is not supported in the current scenario.")`},
		"a library is missing": {
			"npu-smi: error while loading shared libraries: libc_sec.so: cannot open shared object file: No such file or directory\n", 127, ErrNotLoaded, 0,
			`npu-smi: cannot be loaded ("npu-smi: error while loading shared libraries: libc_sec.so: cannot open shared object file: No such file or directory"), exit status 127`},
		"a symbol is missing": {
			"npu-smi: symbol lookup error: npu-smi: undefined symbol: dcmi_get_card_list_v2\n", 127, ErrNotLoaded, 0,
			`npu-smi: cannot be loaded ("npu-smi: symbol lookup error: npu-smi: undefined symbol: dcmi_get_card_list_v2"), exit status 127`},
		"not in a container": {
			"This command cannot be executed on a common container.\n", 0, ErrUnsupported, 0,
			`npu-smi: not supported here ("This command cannot be executed on a common container.")`},
		"not supported, told by the status alone": {
			"", 193, ErrUnsupported, -8255, "npu-smi: not supported here, exit status 193"},
		"not permitted, which root is everywhere but in a container or a virtual machine": {
			"npu get board type failed. ret is -8002\n", 190, ErrUnsupported, -8002,
			`npu-smi: not supported here ("npu get board type failed. ret is -8002"), exit status 190`},
		"not in a container, told by the code": {
			"npu get board type failed. ret is -8013\n", 179, ErrUnsupported, -8013,
			`npu-smi: not supported here ("npu get board type failed. ret is -8013"), exit status 179`},
		"one bad card": {
			"npu_get_card_device_id failed. err is -8008\nFailed to query card total info.\n", 211, ErrNoCard, -8008,
			`npu-smi: no such card ("npu_get_card_device_id failed. err is -8008"), exit status 211`},
		"killed": {
			"", 139, ErrFailed, 0, "npu-smi: ended with an error, exit status 139"},
		"nothing at all": {
			"", 0, ErrGarbled, 0, "npu-smi: the answer cannot be understood: it is not board information"},
		"bytes": {
			"\x00\xff\xfe| NPU \x1b[2J Total Count\t:: \x00\n", 0, ErrGarbled, 0,
			`npu-smi: the answer cannot be understood: it is not board information ("...| NPU Total Count :: .")`},
		"a long story": {
			strings.Repeat("blah ", 1000), 1, ErrFailed, 0,
			`npu-smi: ended with an error ("` + strings.Repeat("blah ", 24) + `..."), exit status 1`},
	} {
		t.Run(name, func(t *testing.T) {
			err := dialects["npu-smi"].refusal("npu-smi", executors.Reply{Output: []byte(c.said), Code: c.code}, parse([]byte(c.said)))
			if !errors.Is(err, c.want) || err.DCMI != c.dcmi || err.Error() != c.text {
				t.Errorf("got  %s (dcmi %d)\nwant %s (dcmi %d, %v)", err, err.DCMI, c.text, c.dcmi, c.want)
			}
		})
	}
}

// hccn_tool's exit status is the low byte of codes of several families.
func TestRefusalsOfHCCNTool(t *testing.T) {
	parse := func(out []byte) error { _, err := ParseLink(out); return err }
	for said, want := range map[string]error{
		"Get invalid device id.\n":                                ErrNoCard,
		"The command is not supported on this product.\n":         ErrUnsupported,
		"hccn_tool is busy, please try again later.\n":            ErrBusy,
		"[devid 3]UDA_BUSY\n":                                     ErrBusy,
		"The cmd line execute timeout!\n":                         ErrFailed,
		"Cmd execute failed!\n":                                   ErrFailed,
		"dcmi module initialize failed. ret is -8005 elsewhere\n": ErrGarbled,
		"link status: SIDEWAYS\n":                                 ErrGarbled,
	} {
		err := dialects["hccn_tool"].refusal("hccn_tool", executors.Reply{Output: []byte(said)}, parse([]byte(said)))
		if !errors.Is(err, want) {
			t.Errorf("%q means %v, want %v", said, err, want)
		}
	}
	err := dialects["hccn_tool"].refusal("hccn_tool", executors.Reply{Code: 187}, nil)
	if !errors.Is(err, ErrFailed) {
		t.Errorf("exit status 187 of hccn_tool means %v", err)
	}
}

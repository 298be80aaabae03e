package hdk_test

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"
	"unicode"

	"devserver-agent/executors"
	"devserver-agent/executors/hdk"
	"devserver-agent/protocol"
)

// said is a host whose tools and files say what the fuzzer makes up; starting a
// process for each would be too slow.
type said struct {
	list, board string
	status      int
	files       fstest.MapFS
}

func (s said) Query(_ context.Context, argv ...string) (executors.Reply, error) {
	if len(argv) == 3 {
		return executors.Reply{Output: []byte(s.list), Code: s.status >> 8}, nil
	}
	return executors.Reply{Output: []byte(strings.ReplaceAll(s.board, "$card", argv[len(argv)-1])), Code: s.status & 0xff}, nil
}

func (s said) Files() fs.FS                        { return s.files }
func (said) Boot() string                          { return "" }
func (said) Restart(context.Context, string) error { return executors.ErrNoRestart }
func (said) Scratch() (string, error)              { return "", errors.ErrUnsupported }
func (s said) Progress(int, string)                {}
func (s said) Printf(string, ...any)               {}

func (s said) Memo(context.Context, string, func(context.Context) (json.RawMessage, error)) (json.RawMessage, error) {
	return nil, errors.New("a query records nothing")
}

func (s said) Command(context.Context, executors.Command) (executors.Exit, error) {
	return executors.Exit{}, errors.New("a query does not act")
}

// Whatever a host says, the answer is one line that a terminal can show and a
// status can carry.
func FuzzQuery(f *testing.F) {
	const list = "\tTotal Count : 2\n\n\tNPU ID : 0\n\n\tNPU ID : 5\n"
	const board = "\tNPU ID : $card\n\tSoftware Version : 24.1.0.3\n\tFirmware Version : 7.5.0.5.220\n"
	f.Add(list, board, 0, "Version=24.1.0.3\n", "Version=7.5.0.5.220\n")
	f.Add(list, "Invalid card id.\n", 215, "", "Version=\x1b[2J\n")
	f.Add("dcmi module initialize failed. ret is -8005\n", "", 187<<8, "Version=x\x00", "")
	f.Add("\xff\xfe\x1b[31m", "This device does not support \u202e querying\n", 0, "Version=1.0\nVersion=2.0\n", "\r\r")
	f.Fuzz(func(t *testing.T, list, board string, status int, driver, firmware string) {
		host := said{list: list, board: board, status: status, files: fstest.MapFS{
			"usr/local/Ascend/driver/version.info":   {Data: []byte(driver)},
			"usr/local/Ascend/firmware/version.info": {Data: []byte(firmware)},
		}}
		result, err := hdk.Query{}.Execute(context.Background(), host, nil)
		message := result.Message
		if failure := (*executors.Failure)(nil); errors.As(err, &failure) {
			message = failure.Message
		} else if err != nil {
			t.Fatal(err)
		}
		if message == "" || len(message) > protocol.MaxMessage {
			t.Errorf("message has %d bytes", len(message))
		}
		if strings.ContainsFunc(message, func(r rune) bool { return !unicode.IsPrint(r) }) {
			t.Errorf("message is %q", message)
		}
	})
}

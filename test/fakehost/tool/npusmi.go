package tool

import (
	"fmt"
	"os"
	"slices"
	"time"

	"devserver-agent/test/fakehost"
)

// Return codes as in npucli's npu_error_code.h; the shell sees them & 0xFF.
const (
	rcInvalid    = -9001
	rcUnknown    = -9005
	rcNotReady   = -8005
	rcCallFailed = -9019
	rcNotLoaded  = 127 // of ld.so
)

const usage = `Usage: npu-smi {info|set|upgrade|-v|-h} [Options...]
Options:
       %-14s : %s
`

// npuSmi plays npu-smi: arguments, then the driver, then the board type, then the command.
func npuSmi(c *call, args []string) int {
	if len(args) == 0 {
		c.usage()
		return rcInvalid
	}
	if !slices.Contains([]string{"info", "set", "upgrade", "-v", "-h"}, args[0]) {
		c.printf("Command or option is not found.\n")
		c.usage()
		return rcUnknown
	}
	if _, missing := c.trip(fakehost.LibraryMissing); missing {
		// The loader says it, and on standard error: the program never began.
		fmt.Fprint(os.Stderr, "npu-smi: error while loading shared libraries: libc_sec.so: cannot open shared object file: No such file or directory\n")
		return rcNotLoaded
	}
	c.linger()
	if done, status := c.disturbed(); done {
		return status
	}
	if rc := c.driverError(); rc != 0 {
		return rc
	}
	switch args[0] {
	case "-v":
		c.printf("npu-smi version: %s\n", c.state.Installed.Driver)
		return 0
	case "-h":
		c.usage()
		return 0
	case "info":
		return c.info(args[1:])
	}
	if args[0] == "upgrade" && c.state.Place != fakehost.Metal {
		c.printf("This command cannot be executed on a VM or container.\n")
		return 0
	}
	if args[0] == "upgrade" && c.state.Profile().Server {
		return c.upgrade(args[1:])
	}
	c.printf("This device does not support %s.\n", args[0])
	return 0
}

func (c *call) usage() {
	c.printf(usage, "info", "Display summary of information about NPU")
}

// disturbed plays the faults in which npu-smi does not behave as a program should.
func (c *call) disturbed() (done bool, status int) {
	if args, on := c.trip(fakehost.SmiHang); on {
		// Not for ever in one piece: a test that forgets it leaves a process that ends.
		time.Sleep(time.Duration(args.Int("seconds", 3600)) * time.Second)
		return true, 0
	}
	if _, on := c.trip(fakehost.SmiGarbage); on {
		c.printf("\x00\xff\xfe| NPU \x1b[2J Total Count\t:: \x00\x01+===+\r\nSoftware Version : \xc3\x28\n%%s%%n|||\n")
		return true, 0
	}
	if args, on := c.trip(fakehost.SmiFlood); on {
		line := fmt.Sprintf("%1023s\n", "| 0     910B2 |")
		for range args.Int("mb", 100) * 1024 {
			if _, err := c.out.WriteString(line); err != nil {
				return true, 1
			}
		}
		return true, 0
	}
	return false, 0
}

// driverError prints why DCMI cannot be used; 0 if it can.
func (c *call) driverError() int {
	code := 0
	args, down := c.trip(fakehost.DriverDown)
	_, untilReboot := c.state.Fault(fakehost.DriverDownUntilReboot)
	switch {
	case down:
		code = args.Int("code", rcNotReady)
		if args.Int("log", 0) == 1 {
			c.printf("DrvMngGetConsoleLogLevel failed. (ret=4)\n")
		}
	case !c.state.Loaded(), untilReboot && c.state.Pending.Driver != "":
		code = rcNotReady
	}
	switch code {
	case 0:
	case -8020:
		c.printf("dcmi model initialized failed, because the device is used. ret is -8020\n")
	default:
		c.printf("dcmi module initialize failed. ret is %d\n", code)
	}
	return code
}

// trip is Host.Trip for a fault that was set when the tool was started.
func (c *call) trip(f fakehost.Fault) (fakehost.Args, bool) {
	if _, set := c.state.Fault(f); !set {
		return nil, false
	}
	args, on, err := c.host.Trip(f, nil)
	if err != nil {
		fmt.Fprintln(os.Stderr, "fakehost:", err)
	}
	return args, on
}

func (c *call) info(args []string) int {
	if len(args) == 0 {
		c.table()
		return 0
	}
	switch args[0] {
	case "-l":
		return c.list()
	case "-m":
		return c.mapping()
	case "-t":
		return c.query(args)
	}
	c.printf("Error parameter of %s\n", args[0])
	c.usage()
	return rcInvalid
}

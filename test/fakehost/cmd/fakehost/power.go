package main

import (
	"errors"
	"flag"
	"os"
	"time"

	"devserver-agent/test/fakehost"
	"devserver-agent/test/fakehost/pid1"
)

// boot is the host's init in this process.
func boot(args []string) error {
	var o pid1.Options
	restart, untilEOF := true, false
	h, argv, err := parse("boot", args, func(f *flag.FlagSet) {
		f.BoolVar(&restart, "restart", true, "start the command again when it ended by itself")
		f.DurationVar(&o.Grace, "grace", time.Duration(0), "time between SIGTERM and SIGKILL at a reboot")
		f.DurationVar(&o.Delay, "delay", time.Duration(0), "how long a reboot takes to begin")
		f.BoolVar(&untilEOF, "until-eof", false, "end with the standard input")
	})
	if err != nil {
		return err
	}
	if untilEOF {
		o.Until = os.Stdin
	}
	o.Argv, o.NoRestart = argv, !restart
	return pid1.Run(h, o)
}

// power makes a command of one position of the switch. What follows --dir D is
// ignored, so that it can stand for programs like reboot, which have options.
func power(turn func(*fakehost.Host) error) func([]string) error {
	return func(args []string) error {
		if len(args) < 2 {
			return errors.New("--dir is missing")
		}
		h, _, err := parse("power", args[:2], nil)
		if err != nil {
			return err
		}
		return turn(h)
	}
}

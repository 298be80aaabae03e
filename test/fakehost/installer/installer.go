// Package installer plays install.sh of Ascend HDK driver and firmware packages on a
// fake host: its arguments, checks, texts, exit codes and what it leaves on disk.
//
// A driver installation alters the host in this order, and a process killed between
// two lines leaves just what stands above it:
//
//	version.info and tools of the old driver are deleted   -> no driver is installed, the loaded one runs on
//	the new ones are written                               -> the new one is installed, not loaded
//	it is loaded, or noted as pending for the next boot
//
// A firmware installation writes everything at its end. Exit codes are those of the
// HDK driver package scripts: 0 done, 1 failed, 2 a reboot is needed. Firmware exits
// with 0 and says in its text that it takes effect after a reboot.
package installer

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"devserver-agent/test/fakehost"
)

// Exit codes.
const (
	done         = 0
	failed       = 1
	rebootNeeded = 2
)

// run is one run of an installer.
type run struct {
	host    *fakehost.Host
	state   fakehost.State // as it was at the start
	pkg     content
	args    []string
	options options
	in      *bufio.Reader
	out     io.Writer
	release func() // gives up the lock against parallel runs
}

// Run plays the installer of the package unpacked in args[0] with the arguments after
// that, and returns the exit status. The run is in the host's journal.
func Run(h *fakehost.Host, args []string, in io.Reader, out io.Writer) int {
	if len(args) == 0 {
		fmt.Fprintln(out, "usage: ascend-fake-installer FOLDER ARGS...")
		return failed
	}
	pkg, err := readContent(args[0])
	if err != nil {
		fmt.Fprintln(out, "ascend-fake-installer:", err)
		return failed
	}
	return play(h, pkg, args[1:], in, out)
}

// Uninstall plays /usr/local/Ascend/<kind>/script/uninstall.sh.
func Uninstall(h *fakehost.Host, kind string, args []string, in io.Reader, out io.Writer) int {
	s, err := h.State()
	if err != nil {
		fmt.Fprintln(out, err)
		return failed
	}
	pkg := content{kind: kind, chip: s.Profile().Chip, arch: s.Arch}
	return play(h, pkg, append([]string{"--uninstall"}, args...), in, out)
}

func play(h *fakehost.Host, pkg content, args []string, in io.Reader, out io.Writer) int {
	s, err := h.State()
	kind := fakehost.KindStart
	if slices.Contains(args, "--check") {
		kind = fakehost.KindCheck
	}
	if err == nil {
		err = h.Record(fakehost.Event{Kind: kind, Name: pkg.installer(), Argv: args, Boot: s.Boots, Note: pkg.version})
	}
	if err != nil {
		fmt.Fprintln(out, err)
		return failed
	}
	r := &run{host: h, state: s, pkg: pkg, args: args, in: bufio.NewReader(in), out: out, release: func() {}}
	status := r.main()
	r.release()
	if kind == fakehost.KindCheck {
		return status
	}
	if err := h.Record(fakehost.Event{Kind: fakehost.KindEnd, Name: pkg.installer(), Boot: s.Boots, Note: pkg.version, Exit: &status}); err != nil {
		fmt.Fprintln(out, err)
	}
	return status
}

func (r *run) main() int {
	var problem string
	if r.options, problem = parseArgs(r.args, r.state.Profile().Chip); problem != "" {
		return r.refuse("0x0004", problem)
	}
	switch r.options.mode {
	case "help":
		fmt.Fprintln(r.out, "Usage: --full|--upgrade|--uninstall [--quiet] [--force] [--install-for-all] [--install-username= --install-usergroup=]")
		return done
	case "version":
		fmt.Fprintln(r.out, r.pkg.version)
		return done
	}
	r.info("Start time: " + now())
	r.info("LogFile: /var/log/ascend_seclog/ascend_install.log")
	r.info("OperationLogFile: /var/log/ascend_seclog/operation.log")
	if r.options.mode == "check" { // as a capture of a 910B's packages shows
		r.info("End time: " + now())
		return done
	}
	status, err := r.act()
	if err != nil {
		r.fail(err.Error())
		status = failed
	}
	r.operation(status)
	r.info("End time: " + now())
	return status
}

func (r *run) act() (int, error) {
	if r.options.mode == "uninstall" {
		return r.uninstall()
	}
	if r.pkg.kind == fakehost.Driver {
		return r.driver()
	}
	return r.firmware()
}

// alone takes the lock that keeps installers from running in parallel.
func (r *run) alone() bool {
	f, err := os.OpenFile(filepath.Join(r.host.Dir(), "run", "installer.lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err == nil {
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	}
	if err != nil {
		r.refuse("0x0094", "There is already a process being executed,please do not execute multiple tasks at the same time")
		return false
	}
	r.release = func() { f.Close() }
	return true
}

// step waits until the installation has come to percent, prints the progress and
// reports whether the fault makes it fail here.
func (r *run) step(from, percent int, format string) (ok bool, err error) {
	pace := r.state.Pace
	takesTime := func(a fakehost.Args) bool { return r.meant(a) && percent > from }
	if args, slow, err := r.host.Trip(fakehost.InstallSlow, takesTime); err != nil {
		return false, err
	} else if slow {
		pace *= time.Duration(args.Int("factor", 10))
	}
	time.Sleep(pace * time.Duration(percent-from) / 100)
	r.info(fmt.Sprintf(format, percent))
	due := func(a fakehost.Args) bool { return r.meant(a) && percent >= a.Int("percent", 50) }
	_, fails, err := r.host.Trip(fakehost.InstallFailsAt, due)
	return !fails, err
}

// meant tells whether a fault applies to this kind of package.
func (r *run) meant(a fakehost.Args) bool { return a.Applies(r.pkg.kind) }

// begin notes that all checks are passed and the host is altered from here on.
func (r *run) begin() error {
	return r.host.Record(fakehost.Event{Kind: fakehost.KindChange, Name: r.pkg.installer(), Note: r.pkg.version})
}

// confirm asks a question; n and the end of input mean no.
func (r *run) confirm(question string) bool {
	fmt.Fprintf(r.out, "%s  [y/n]", question)
	answer, _ := r.in.ReadString('\n')
	answer = strings.ToLower(strings.TrimSpace(answer))
	return answer == "y" || answer == "yes"
}

func now() string { return time.Now().Format(time.DateTime) }

const (
	red    = "\x1b[31m"
	yellow = "\x1b[33m"
	plain  = "\x1b[0m"
)

func (r *run) info(text string)    { r.say("INFO", text, "") }
func (r *run) warning(text string) { r.say("WARNING", text, yellow) }
func (r *run) fail(text string)    { r.say("ERROR", text, red) }

// refuse prints a numbered error and is the exit status for it.
func (r *run) refuse(number, text string) int {
	r.fail("ERR_NO:" + number + ";ERR_DES:" + text)
	return failed
}

// say prints a line, coloured where the vendor colours it, and logs it without colour.
func (r *run) say(level, text, colour string) {
	head := fmt.Sprintf("[%s] [%s] [%s]", title(r.pkg.kind), now(), level)
	r.log("ascend_install.log", head+text)
	if colour != "" {
		text = colour + text + plain
	}
	fmt.Fprintln(r.out, head+text)
}

// operation writes the line operation.log keeps of every run.
func (r *run) operation(status int) {
	verb, weight := "Install", "SUGGESTION"
	switch r.options.mode {
	case "upgrade":
		verb, weight = "Upgrade", "MINOR"
	case "uninstall":
		verb, weight = "Uninstall", "MAJOR"
	}
	result := "success"
	if status == failed {
		result = "failed"
	}
	r.log("operation.log", fmt.Sprintf("%s %s root %s 127.0.0.1 %s-%s.run %s cmdlist=%s",
		verb, weight, now(), r.pkg.kind, r.pkg.version, result, strings.Join(r.args, " ")))
}

func (r *run) log(file, line string) {
	f, err := os.OpenFile(r.host.Path("/var/log/ascend_seclog/"+file), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o640)
	if err != nil {
		return
	}
	_, err = fmt.Fprintln(f, line)
	if err = errors.Join(err, f.Close()); err != nil {
		fmt.Fprintln(os.Stderr, "fakehost:", err)
	}
}

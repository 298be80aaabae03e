package hdk

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"devserver-agent/executors/lazyregexp"
)

// transcript is what an installer prints, understood as it comes: how far it is,
// what it says it came to, what it complains of. Terminal sequences are left out;
// a carriage return ends a line as a newline does. It keeps a bounded amount
// however much is printed, and what it does not know is passed over: it is
// in the task's output.
type transcript struct {
	percent  int
	success  string   // the sentence that claims success
	pending  bool     // it takes effect after a restart
	atOnce   bool     // it has taken effect
	stopped  bool     // it gave up and calls that no failure
	errors   []string // what it complains of, in order
	remedy   string   // for the first complaint that is known
	line     []byte   // not ended yet
	progress func(percent int)
}

const (
	maxLine   = 4096 // bytes of one line that are read
	maxErrors = 8
	maxError  = 300 // bytes of one complaint
)

var (
	terminal  = lazyregexp.New(`\x1b\[[0-?]*[ -/]*[@-~]`) // ECMA-48 CSI
	stamp     = lazyregexp.New(`^\[(?i:driver|firmware)\]\s*\[[^\]]*\]\s*`)
	level     = lazyregexp.New(`^\[(INFO|WARNING|ERROR)\]\s*`)
	progress  = lazyregexp.New(`^upgradePercentage:\s*([0-9]{1,3})%`) // "10%" of the driver, " 0%" of the firmware
	errNumber = lazyregexp.New(`^ERR_NO:0x[0-9A-Fa-f]+;ERR_DES:\s*`)
	number    = lazyregexp.New(`^ERR_NO:(0x[0-9A-Fa-f]+)`)

	succeeded = lazyregexp.New(`(?i)package (?:installed|upgraded) successfully!|package install(?:ed)? success!|package installed finished!`)
	needsBoot = lazyregexp.New(`(?i)reboot needed|reboot now or after|check after reboot`)
	immediate = lazyregexp.New(`(?i)takes effect immediately`)
	// What other programs complain of: rpm, to which a script that fails after the
	// installation is no failure, dpkg, and whatever unpacks onto a full disk.
	foreign = lazyregexp.New(`^(?:error: |dpkg(?:-deb)?: error|warning: %\w+\(.*\) scriptlet failed)|No space left on device|Not enough space left in `)
)

// complaint is a sentence with which an installer fails, and what to do then.
// The texts are those of Huawei's installer scripts.
type complaint struct {
	text   *lazyregexp.Regexp
	number string // ERR_NO, if it has one of its own
	remedy string
}

var complaints = []complaint{
	{text(`davinci nodes are occupied`), "", "Stop what uses the NPUs, containers too, and create the job again."},
	{text(`already a process being executed`), "0x0094", "Wait for the other installer to end, then create the job again."},
	{text(`(?:user|group).* not exists! Please add|not exists! Please add`), "0x0091", "Add the user and group it names, then create the job again."},
	{text(`is not in the group`), "0x0096", "Put the user into the group, then create the job again."},
	{text(`same .*user|user.*last`), "0x0095", "Use the user of the last installation (/etc/ascend_install.info)."},
	{text(`root permission|not root`), "0x0093", "Run the agent as root."},
	{text(`^Arch mismatch|environment is not match`), "", "Correct the repository's index: the package is for another chip or architecture."},
	{text(`free space only`), "", "Make room on the host's disk, then create the job again."},
	{text(`list of missing tools`), "", "Install the tools it names, then create the job again."},
	{text(`please use (?:version )?\S+ or later`), "", "The hardware needs a newer version: create the job with the one it names."},
	{text(`Download and install the \S+ driver package`), "", "Upgrade to the version it names first, then to this one."},
	{text(`crl_check failed|signature verification failed`), "", "Get the package from Huawei again; its signature or the host's revocation list does not fit."},
	{text(`Dkms install failed|Driver_ko_install`), "", "The kernel module could not be built or loaded: install gcc, make, dkms and the headers of the running kernel, remove /var/lib/dkms/davinci_ascend, then create the job again."},
	{text(`No space left on device|Not enough space left`), "", "Make room on the host's disk, then create the job again."},
	{text(`Device startup (?:fail|timeout)`), "", "The chips did not start: restart the host, then create the job again."},
	{text(`driver is not running`), "", "Restart the host or install the driver first, then create the job again."},
	{text(`retry after uninstall and reboot`), "", "The former version is gone and the new one not complete: create the job again, with is_reboot; if it fails again, uninstall, restart and install anew."},
	{text(`(?:transaction|frontend) lock`), "", "Another package is being installed on the host: wait for it to end, then create the job again."},
	{text(`Failed dependencies|dependency problems`), "", "Install what the package depends on (the task's output names it), then create the job again."},
	{text(`not an rpm package|not a Debian format archive`), "", "Put the right file into the repository and write its index again."},
	{text(`only support one type|Unrecognized|cannot be used with`), "0x0004", "The package knows other options: report its name and version."},
}

func text(pattern string) *lazyregexp.Regexp { return lazyregexp.New(`(?i)` + pattern) }

// write takes in a piece of what is printed.
func (t *transcript) write(piece []byte) {
	for len(piece) > 0 {
		end := strings.IndexAny(string(piece), "\r\n")
		if end < 0 {
			t.keep(piece)
			return
		}
		t.keep(piece[:end])
		t.end()
		piece = piece[end+1:]
	}
}

func (t *transcript) keep(piece []byte) {
	t.line = append(t.line, piece[:min(len(piece), maxLine-len(t.line))]...)
}

// end takes the line in.
func (t *transcript) end() {
	line := strings.TrimSpace(terminal.ReplaceAllString(string(t.line), ""))
	t.line = t.line[:0]
	line = stamp.ReplaceAllString(line, "")
	weight := ""
	if match := level.FindStringSubmatch(line); match != nil {
		weight, line = match[1], strings.TrimSpace(line[len(match[0]):])
	}
	if line == "" {
		return
	}
	if match := progress.FindStringSubmatch(line); match != nil {
		t.advance(match[1])
		return
	}
	switch {
	case strings.Contains(line, "installation Stoped!"): // the installer's own spelling
		t.stopped = true
	case succeeded.MatchString(line):
		t.success = printable(line)
	}
	t.pending = t.pending || needsBoot.MatchString(line)
	t.atOnce = t.atOnce || immediate.MatchString(line)
	if weight == "ERROR" || foreign.MatchString(line) || weight == "" && errNumber.MatchString(line) {
		t.complain(line)
	}
}

// advance never goes back: installers repeat themselves.
func (t *transcript) advance(digits string) {
	percent, err := strconv.Atoi(digits)
	if err != nil || percent > 100 || percent <= t.percent {
		return
	}
	t.percent = percent
	if t.progress != nil {
		t.progress(percent)
	}
}

func (t *transcript) complain(line string) {
	code := ""
	if match := number.FindStringSubmatch(line); match != nil {
		code = match[1]
	}
	line = errNumber.ReplaceAllString(line, "")
	if len(t.errors) < maxErrors {
		t.errors = append(t.errors, printable(line))
	}
	for _, c := range complaints {
		if t.remedy == "" && (c.number != "" && strings.EqualFold(c.number, code) || c.text.MatchString(line)) {
			t.remedy = c.remedy
		}
	}
}

// close takes in a last line that was not ended.
func (t *transcript) close() { t.end() }

// said are the installer's words for a message.
func (t *transcript) said() string {
	if len(t.errors) == 0 {
		return "it gave no reason"
	}
	said := t.errors[:min(len(t.errors), 3)]
	text := strings.Join(said, " / ")
	if more := len(t.errors) - len(said); more > 0 {
		text += fmt.Sprintf(" (and %d more)", more)
	}
	return strings.TrimRight(text, ".! ")
}

// printable makes a line of foreign text fit to be shown.
func printable(line string) string {
	line = strings.Map(func(r rune) rune {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			return '.'
		}
		return r
	}, line)
	for len(line) > maxError {
		_, size := utf8.DecodeLastRuneInString(line)
		line = line[:len(line)-size]
	}
	return line
}

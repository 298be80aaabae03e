package e2e

import (
	"bufio"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"devserver-agent/protocol"
	"devserver-agent/test/support/programs"
	"devserver-agent/test/support/wait"
	"devserver-agent/test/trial"
)

// TestSyncedBeforeItIsSaidOrDone watches the system calls of an agent and its shims. A power
// cut must not take back what others have heard of or what the host has felt, so
//
//   - when a status is told, its record is on the disk, with the mark of an open task;
//   - when output is sent, or counted in a verdict, the disk has it;
//   - when the program of a step is started, the disk has what says that it was, and the end
//     of the step before it;
//   - what is moved to its place was synced before.
//
// TestVMPowerCuts cuts for real; this one looks at every such moment, in seconds.
func TestSyncedBeforeItIsSaidOrDone(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.binary = programs.TestAgent.Path(t) // the race detector's own calls would be in the way
	r.start()
	r.give("before", "before:ok") // its end says that the agent is at rest
	r.ends("before", protocol.Success, "")
	calls := r.traced(func() {
		r.give("well", "a:chatty:5000", "b:ok")
		r.ends("well", protocol.Success, "")
		r.give("badly", "c:fail:3")
		r.ends("badly", protocol.Failed, protocol.StepFailed)
		// Nobody reads output, and so syncs it, before the verdict does.
		r.give("offline", "e:gate", "f:chatty:5000")
		r.awaitProgram("e")
		r.net.become(down)
		r.open("e")
		wait.Until(t, "the verdict is written", func() error {
			log, err := os.ReadFile(filepath.Join(r.stateDir(), "tasks", "offline", "log"))
			if err == nil && !strings.Contains(string(log), `"SUCCESS"`) {
				err = errors.New("it is not")
			}
			return err
		})
		r.net.become(fair)
		r.ends("offline", protocol.Success, "")
		r.give("cancelled", "d:gate")
		r.awaitProgram("d")
		r.list(r.cancel("cancelled"))
		r.deliver()
		r.ends("cancelled", protocol.Deleted, protocol.TaskCancelled)
	})
	d := newDiskModel(r.stateDir())
	for _, c := range calls {
		d.happens(c)
	}
	for _, wrong := range d.wrong {
		t.Error(wrong)
	}
	if d.told < 12 || d.verdicts < 4 || d.started != 6 || d.sent < 5 {
		t.Errorf("%d statuses were told, %d verdicts among them, %d programs started, %d pieces of output sent: the trace has not all of it", d.told, d.verdicts, d.started, d.sent)
	}
}

// call is a system call, when it is entered and when it has returned.
type call struct {
	entered  bool
	returned bool
	text     string // name(arguments) = result, as strace -y prints it; no result before it returned
}

// traced is what the agent called while do went on, in order.
func (r *rig) traced(do func()) []call {
	r.t.Helper()
	file := r.path("trace")
	strace := exec.Command("strace", "-f", "-y", "-s", "65536", "-o", file,
		"-e", "trace=openat,mkdirat,renameat,renameat2,linkat,write,pwrite64,writev,ftruncate,fsync,fdatasync,execve",
		"-p", fmt.Sprint(r.agent.cmd.Process.Pid))
	said, err := strace.StderrPipe()
	r.must(err)
	if err := strace.Start(); err != nil {
		r.t.Fatalf("%v (scripts/test installs strace)", err)
	}
	lines := bufio.NewScanner(said)
	if !lines.Scan() || !strings.Contains(lines.Text(), "attached") {
		r.t.Fatalf("strace says %q", lines.Text())
	}
	go func() {
		for lines.Scan() { // the pipe must not fill
		}
	}()
	do()
	r.must(strace.Process.Signal(syscall.SIGINT))
	_ = strace.Wait() // it ends by the signal
	raw, err := os.ReadFile(file)
	r.must(err)
	return parseTrace(string(raw))
}

var resumed = regexp.MustCompile(`^<\.\.\. \w+ resumed>`)

// parseTrace reads what strace -f -y -o writes: a line begins with the thread; a call that
// others run beside is in two lines (strace(1), "unfinished" and "resumed").
func parseTrace(text string) (calls []call) {
	unfinished := map[string]string{}
	for line := range strings.Lines(text) {
		thread, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		rest = strings.TrimSpace(rest)
		if head, cut := strings.CutSuffix(rest, "<unfinished ...>"); cut {
			unfinished[thread] = strings.TrimSpace(head)
			calls = append(calls, call{entered: true, text: unfinished[thread]})
		} else if mark := resumed.FindString(rest); mark != "" {
			calls = append(calls, call{returned: true, text: unfinished[thread] + strings.TrimPrefix(rest, mark)})
		} else {
			calls = append(calls, call{entered: true, returned: true, text: rest})
		}
	}
	return calls
}

// diskModel knows what of a folder would be lost if the power went now. What was written to
// a file is safe when the file was synced after it, a name when its folder was: "Calling
// fsync() does not necessarily ensure that the entry in the directory containing the file
// has also reached disk" (fsync(2)).
type diskModel struct {
	folder   string
	clock    int
	files    map[string]int    // path -> when it was last written, if that is not safe
	names    map[string]int    // path -> when it was made, if its folder was not synced since
	known    map[string]bool   // paths that were made before
	syncing  map[string]int    // path -> when the sync that runs began
	statuses map[string]record // by the id of their message
	attempt  string            // folder of the step that was started last
	length   map[string]int64  // path -> bytes that were written
	synced   map[string]int64  // path -> those of them that are safe
	reached  map[string]int64  // path -> those that were written when the sync that runs began

	told, verdicts, sent, started int
	wrong                         []string
}

// record is a status in a log.
type record struct {
	file string
	at   int
	safe bool
}

func newDiskModel(folder string) *diskModel {
	return &diskModel{
		folder: folder, files: map[string]int{}, names: map[string]int{}, known: map[string]bool{}, syncing: map[string]int{},
		statuses: map[string]record{}, length: map[string]int64{}, synced: map[string]int64{}, reached: map[string]int64{},
	}
}

var (
	callName = regexp.MustCompile(`^\w+`)
	openFile = regexp.MustCompile(`^\w+\(\d+<([^>]*)>`) // write(7</path>, ...
	quoted   = regexp.MustCompile(`"([^"]*)"`)
	inLog    = regexp.MustCompile(`\\"msg_id\\":\\"(\w+)\\"`)
	told     = regexp.MustCompile(`Nats-Msg-Id: (\w+)`)
	counted  = regexp.MustCompile(`\\"task_id\\":\\"(\w+)\\".*?\\"items\\":\[\{\\"bytes\\":(\d+)`)
	chunk    = regexp.MustCompile(`\\"task_id\\":\\"(\w+)\\"[^}]*?\\"offset\\":(\d+),\\"data\\":\\"([^\\]*)`)
	returned = regexp.MustCompile(`\) += (\d+)$`)
)

func (d *diskModel) happens(c call) {
	d.clock++
	done := c.returned && !strings.Contains(c.text, ") = -1 ")
	var file string
	if m := openFile.FindStringSubmatch(c.text); m != nil {
		file = m[1]
	}
	var words []string
	for _, m := range quoted.FindAllStringSubmatch(c.text, 8) {
		words = append(words, m[1])
	}
	switch callName.FindString(c.text) {
	case "write", "pwrite64", "writev", "ftruncate":
		d.written(c, file)
	case "fsync", "fdatasync":
		if c.entered {
			d.syncing[file], d.reached[file] = d.clock, d.length[file]
		}
		if done {
			d.sync(file, d.syncing[file])
		}
	case "openat":
		if done && strings.Contains(c.text, "O_CREAT") {
			d.named(words[0])
		}
	case "mkdirat":
		if done {
			d.named(words[0])
		}
	case "renameat", "renameat2", "linkat":
		if done {
			d.renamed(words[0], words[1])
		}
	case "execve":
		if c.entered {
			d.executed(words)
		}
	}
}

func (d *diskModel) written(c call, file string) {
	subject := func(s string) bool {
		return c.entered && strings.HasPrefix(file, "socket:") && strings.Contains(c.text, "PUB "+s)
	}
	switch {
	case d.below(file):
		d.files[file] = d.clock
		if m := returned.FindStringSubmatch(c.text); m != nil && strings.HasPrefix(c.text, "write(") {
			d.length[file] += number(m[1])
		}
		if m := counted.FindStringSubmatch(c.text); m != nil && c.entered {
			d.verdicts++
			d.mustHaveOutput(m[1], number(m[2]), "its verdict is written")
		}
		for _, m := range inLog.FindAllStringSubmatch(c.text, -1) {
			d.statuses[m[1]] = record{file: file, at: d.clock}
		}
	case subject(protocol.StatusSubject("server-1")):
		for _, m := range told.FindAllStringSubmatch(c.text, -1) {
			d.tells(m[1])
		}
	case subject(protocol.OutputSubject("server-1", "")):
		for _, m := range chunk.FindAllStringSubmatch(c.text, -1) {
			d.sent++
			data, _ := base64.StdEncoding.DecodeString(m[3]) // what cannot be read is shorter
			d.mustHaveOutput(m[1], number(m[2])+int64(len(data)), "it is sent")
		}
	}
}

// tells looks at the record of a status that is told.
func (d *diskModel) tells(id string) {
	d.told++
	r, logged := d.statuses[id]
	switch {
	case !logged:
		d.report("status %s is told and was never written", id)
	case !r.safe:
		d.report("status %s is told before %s was synced", id, r.file)
	}
	d.mustHaveName(r.file, "status "+id+" is told")
	d.mustHaveName(filepath.Join(d.folder, "open", filepath.Base(filepath.Dir(r.file))), "status "+id+" is told")
}

func (d *diskModel) mustHaveOutput(task string, bytes int64, what string) {
	if safe := d.synced[filepath.Join(d.folder, "tasks", task, "output", "0")]; safe < bytes {
		d.report("output of %s: %s up to byte %d, and %d were synced", task, what, bytes, safe)
	}
}

func number(text string) int64 {
	n, _ := strconv.ParseInt(text, 10, 64) // of digits
	return n
}

// executed looks at the start of a shim, and at that of the program that it starts.
func (d *diskModel) executed(words []string) {
	switch {
	case len(words) == 4 && words[2] == "step":
		d.attempt = words[3]
	case slices.Contains(words, trial.Arg):
		if !d.below(d.attempt) {
			d.report("a program is started by no shim: %v", words)
		}
		d.started++
		what := "the program of " + d.attempt + " is started"
		for _, file := range []string{"spec.json", "started"} {
			path := filepath.Join(d.attempt, file)
			d.mustHaveName(path, what)
			if _, unsafe := d.files[path]; unsafe {
				d.report("%s before %s was synced", what, path)
			}
		}
		for path := range d.names {
			if filepath.Base(path) == "exit.json" {
				d.report("%s before the folder of %s was synced", what, path)
			}
		}
	}
}

// mustHaveName reports what has a name, or is below one, that a power cut takes away.
func (d *diskModel) mustHaveName(path, what string) {
	for ; d.below(path); path = filepath.Dir(path) {
		if _, unsafe := d.names[path]; unsafe {
			d.report("%s before the folder of %s was synced", what, path)
		}
	}
}

func (d *diskModel) below(path string) bool { return strings.HasPrefix(path, d.folder+"/") }

func (d *diskModel) named(path string) {
	if d.below(path) && !d.known[path] {
		d.known[path] = true
		d.names[path] = d.clock
	}
}

// renamed moves what is known of a path, and of all below it.
func (d *diskModel) renamed(from, to string) {
	moved := func(path string) (string, bool) {
		rest, below := strings.CutPrefix(path, from)
		return to + rest, below && (rest == "" || rest[0] == '/')
	}
	for path := range d.files {
		_, is := moved(path)
		again := filepath.Base(to) == "cursor" || filepath.Base(to) == "sent.json" // what they forget was told is told again
		if is && d.below(to) && !again {
			d.report("%s is moved to %s before %s was synced", from, to, path)
		}
	}
	for _, times := range []map[string]int{d.files, d.names} {
		for path, at := range maps.Clone(times) {
			if now, is := moved(path); is {
				delete(times, path)
				times[now] = at
			}
		}
	}
	for id, r := range d.statuses {
		if now, is := moved(r.file); is {
			r.file = now
			d.statuses[id] = r
		}
	}
	if d.below(to) {
		d.known[to] = true
		d.names[to] = d.clock
	}
}

func (d *diskModel) sync(path string, since int) {
	d.synced[path] = max(d.synced[path], d.reached[path])
	if at, written := d.files[path]; written && at < since {
		delete(d.files, path)
	}
	for id, r := range d.statuses {
		if r.file == path && r.at < since {
			r.safe = true
			d.statuses[id] = r
		}
	}
	for name, at := range d.names {
		if filepath.Dir(name) == path && at < since {
			delete(d.names, name)
		}
	}
}

func (d *diskModel) report(format string, args ...any) {
	d.wrong = append(d.wrong, fmt.Sprintf(format, args...))
}

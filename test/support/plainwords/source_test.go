package plainwords

import (
	"io/fs"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"devserver-agent/protocol"
)

// verb is a verb of a format; ends is how a format ends as a sentence: with a full stop
// or with a value that is a sentence. An error is none: it has no full stop.
var (
	verb = regexp.MustCompile(`%[-+# 0]*(?:\d+|\*)?(?:\.\d+)?[a-zA-Z]`)
	ends = regexp.MustCompile(`\.$|^%[svw]$|%s$`)
	name = regexp.MustCompile(`[._/]\S`)
)

// judge says what is wrong with a failure, as far as its source tells.
func (f failure) judge() []string {
	printed := strings.ReplaceAll(verb.ReplaceAllStringFunc(f.format, func(v string) string {
		if strings.HasSuffix(v, "d") {
			return "4"
		}
		return "X"
	}), "%%", "%")
	problems := Problems(f.code, printed)
	if f.part {
		return problems
	}
	if !ends.MatchString(f.format) {
		problems = append(problems, "it does not end as a sentence")
	}
	if word, _, _ := strings.Cut(f.format, " "); !name.MatchString(word) && word[0] >= 'a' && word[0] <= 'z' {
		problems = append(problems, "it does not begin as a sentence")
	}
	if remedy := protocol.Explain(f.code).Remedy; remedy != "" && strings.Contains(f.format, strings.TrimSuffix(remedy, ".")) {
		problems = append(problems, "it repeats the remedy of its code, which is printed beside it")
	}
	return problems
}

// TestEveryMessageOfTheSourceSuitsItsCode reads every program of the repository.
func TestEveryMessageOfTheSourceSuitsItsCode(t *testing.T) {
	root := filepath.Join("..", "..", "..")
	r := newReader(t, root)
	for _, folder := range []string{"agent", "cmd", "controlplane", "docs", "executors"} {
		err := filepath.WalkDir(filepath.Join(root, folder), func(name string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
				return err
			}
			return r.read(name, nil)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	const known = 75 // failures there were when this was written, about
	if len(r.found) < known {
		t.Errorf("only %d failures were found: does the reader still know how they are written?", len(r.found))
	}
	for _, f := range r.found {
		for _, problem := range f.judge() {
			t.Errorf("%s: %s %q: %s", f.at, f.code, f.format, problem)
		}
	}
}

// TestWhatIsWrongInASourceIsFound has the texts that were wrong once.
func TestWhatIsWrongInASourceIsFound(t *testing.T) {
	for name, c := range map[string]struct{ source, want string }{
		"a good one":     {`executors.Fail(protocol.StepFailed, "Step %s ended with exit code %d.", name, 1)`, ""},
		"an error":       {`executors.Fail(protocol.StepFailed, "Step %s failed: %w.", name, err)`, ""},
		"a passed one":   {`executors.Fail(failed.Code, "%s", failed.Message)`, ""},
		"a notice":       {`m.refused.add(protocol.NoticeUnparsable, "", "", fmt.Errorf("resend: %w", err))`, ""},
		"part of a list": {`finding(protocol.HDKDiskSpace, fmt.Sprintf("/%s has %d MiB free", dir, free))`, ""},
		"a parameter":    {`executors.Fail(protocol.SpecInvalid, "spec.version: %w.", err)`, ""},

		"a plug-in that wants a restart": {`executors.Fail(protocol.RebootUnavailable,
			"The plug-in wants the host restarted, which the task does not allow; create the job with is_reboot.")`, "with and without a restart"},
		"a cancelled job": {`t.overdue(protocol.Deleted, protocol.TaskWithheld,
			"The job was cancelled before the task's turn came. See why the others failed, then create a job.")`, "a failure of others"},
		"no full stop":      {`executors.Fail(protocol.StepFailed, "The result cannot be read: %w", err)`, "it does not end as a sentence"},
		"a small letter":    {`executors.Fail(protocol.StepFailed, "the result cannot be read.")`, "it does not begin as a sentence"},
		"a repeated remedy": {`executors.Fail(protocol.StepFailed, "It failed. Read the message and the task's output.")`, "it repeats the remedy"},
		"two sentences":     {`executors.Fail(failed.Code, "Nothing was changed here. Nothing was changed here. %s", now)`, "it is said twice"},
		"a lie about what was done": {`executors.Fail(protocol.HDKInUse, "The driver was installed, then %s came.", who)`,
			"the code means that nothing was done"},
		"a literal":                   {`protocol.Status{Code: protocol.StepFailed, Message: fmt.Sprintf("it failed (%s).", why)}`, "it does not begin"},
		"a constant":                  {`func() (protocol.Code, string) { const nothing = " Nothing was started"; return protocol.SpecInvalid, fmt.Sprintf("No %s.", x) + nothing }`, "it does not end"},
		"an empty slot of the source": {`executors.Fail(protocol.StepFailed, "It failed (), see the output.")`, "empty brackets"},
	} {
		r := newReader(t, filepath.Join("..", "..", ".."))
		if err := r.read("x.go", "package x\nvar _ = "+c.source); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		var got []string
		for _, f := range r.found {
			got = append(got, f.judge()...)
		}
		if c.want == "" && got != nil || c.want != "" && (len(got) != 1 || !strings.HasPrefix(got[0], c.want)) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

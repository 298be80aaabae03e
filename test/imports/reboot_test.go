package imports

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
)

// A restart of the host can be asked of the kernel, of logind or by a program.
var (
	restartCalls   = map[string]bool{"Reboot": true, "LINUX_REBOOT_CMD_RESTART": true, "LINUX_REBOOT_CMD_POWER_OFF": true, "LINUX_REBOOT_CMD_KEXEC": true}
	restartPhrases = regexp.MustCompile(`\bsystemctl\s+(-\S+\s+)*(reboot|poweroff|kexec|halt)\b|\bshutdown\s+-|\binit\s+6\b|^/?(usr/)?s?bin/(reboot|shutdown|poweroff)$|login1\.Manager\.(Reboot|PowerOff)|sysrq-trigger`)
)

func TestOnlyPowerRestartsTheHost(t *testing.T) {
	for _, p := range tree(t) {
		if under(p.name(), "agent/power", "test") {
			continue
		}
		for _, name := range append(p.GoFiles, p.IgnoredGoFiles...) {
			for _, found := range restarts(t, filepath.Join(p.Dir, name), nil) {
				t.Errorf("%s/%s: %s; the host is restarted by agent/power", p.name(), name, found)
			}
		}
	}
}

func TestRestartsAreSeen(t *testing.T) {
	for name, c := range map[string]struct {
		source string
		seen   bool
	}{
		"a call of the kernel":            {`package p; import "golang.org/x/sys/unix"; var _ = unix.Reboot(unix.LINUX_REBOOT_CMD_RESTART)`, true},
		"a call of the kernel by syscall": {`package p; import "syscall"; func f() { syscall.Reboot(1) }`, true},
		"a shell's words":                 {`package p; var _ = "sync; systemctl --no-wall reboot"`, true},
		"logind":                          {`package p; const m = "org.freedesktop.login1.Manager.Reboot"`, true},
		"a program":                       {`package p; var _ = []string{"/sbin/reboot"}`, true},
		"the word in a comment":           {"package p // unix.Reboot, systemctl reboot\n", false},
		"the word in a message":           {`package p; var _ = "What was installed becomes active after a reboot."`, false},
		"a method of our own":             {`package p; func f(r interface{ Reboot() }) { r.Reboot() }`, false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := restarts(t, "p.go", c.source); (len(got) > 0) != c.seen {
				t.Errorf("found %q", got)
			}
		})
	}
}

// restarts finds what restarts a host in a file, or in source if it is given.
func restarts(t *testing.T, file string, source any) []string {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), file, source, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	ast.Inspect(parsed, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.SelectorExpr:
			if of, ok := n.X.(*ast.Ident); ok && (of.Name == "unix" || of.Name == "syscall") && restartCalls[n.Sel.Name] {
				found = append(found, of.Name+"."+n.Sel.Name)
			}
		case *ast.BasicLit:
			if text, err := strconv.Unquote(n.Value); err == nil && n.Kind == token.STRING && restartPhrases.MatchString(text) {
				found = append(found, text)
			}
		}
		return true
	})
	return found
}

package step

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestAStepIsAnInstanceOfItsUnit(t *testing.T) {
	for dir, want := range map[string]string{
		"/var/lib/devserver-agent/tasks/0af3-77/steps/0/01-install-firmware": "0af3-77:0:01-install-firmware",
		"/srv/agent/tasks/t1/steps/12/03-x/":                                 "t1:12:03-x",
		"/steps":                                                             "",
		"/var/lib/tasks/t 1/steps/0/01-x":                                    "",
		"/var/lib/tasks/t@1/steps/0/01-x":                                    "",
		"/var/lib/tasks/t/steps/0/" + strings.Repeat("x", 250):               "",
	} {
		got, err := instanceOf(dir)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%s is %q, %v; want %q", dir, got, err, want)
		}
	}
}

func TestWhatTheShimIsGivenIsAFolderOrAnInstance(t *testing.T) {
	dir := t.TempDir()
	if got, err := resolve(dir); got != dir || err != nil {
		t.Errorf("%s is %q, %v", dir, got, err)
	}
	for _, unknown := range []string{"nobody:0:01-started-it", "", "..", "a b", "%i", strings.Repeat("x", 300)} {
		if got, err := resolve(unknown); err == nil {
			t.Errorf("%.80q is %q", unknown, got)
		}
		if err := Shim(unknown); err == nil || !strings.HasPrefix(err.Error(), "step: ") {
			t.Errorf("the shim of %.80q says %v", unknown, err)
		}
	}
}

// Where systemd is not PID 1 steps are sessions of their own.
func TestAHostWithoutSystemdStartsShimsItself(t *testing.T) {
	if _, err := os.Stat("/run/systemd/system"); err == nil {
		if got := Here([]string{"shim"}); hasTemplate() != (got == Surroundings(Systemd{})) {
			t.Errorf("with systemd, templates %v, it is %T", hasTemplate(), got)
		}
		return
	}
	p, ok := Here([]string{"shim", "step"}).(Process)
	if !ok || filepath.Join(p.Shim...) != "shim/step" {
		t.Errorf("it is %+v", p)
	}
	if err := (Systemd{}).Ready(t.Context()); err == nil || !strings.Contains(err.Error(), "systemd cannot be reached") {
		t.Errorf("systemd is ready: %v", err)
	}
}

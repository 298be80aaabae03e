package step

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	systemd "github.com/coreos/go-systemd/v22/dbus"
	"github.com/godbus/dbus/v5"

	"devserver-agent/executors"
)

const (
	// LinkDir is where a step's unit finds the step: a link with the name of the
	// unit's instance. It is gone after a restart of the host, and so are the units.
	LinkDir = "/run/devserver-steps"
	// The template units of the package, systemd/devserver-{step,flash}@.service.
	// A flash waits for its program even when the host is shut down.
	stepUnit, flashUnit = "devserver-step@", "devserver-flash@"

	// Where systemd keeps the limits of a unit until the next boot, from 230 on.
	runtimeDir = "/run/systemd/system.control"

	startTimeout = 30 * time.Second
)

// ErrUnreachable says that the host's service manager does not answer, so nothing
// can be started on it now.
var ErrUnreachable = errors.New("systemd cannot be reached")

// Systemd starts shims as instances of the package's template units, so that
// neither a stop nor an upgrade nor the death of the agent's own unit touches
// them. It needs root, and works from systemd 219 on.
type Systemd struct{}

// Start implements Surroundings. The end of a shim is seen by its lock: once it
// has begun, neither systemd nor the bus is needed any more.
func (s Systemd) Start(dir string, spec Spec) (<-chan struct{}, error) {
	instance, err := instanceOf(dir)
	if err != nil {
		return nil, fmt.Errorf("start step: %w", err)
	}
	if err := link(dir, instance); err != nil {
		return nil, fmt.Errorf("start step: %w", err)
	}
	unit := stepUnit + instance + ".service"
	if spec.Kill == executors.KillNever {
		unit = flashUnit + instance + ".service"
	}
	if err := startUnit(unit, spec.Limits); err != nil {
		return nil, fmt.Errorf("start step: %w", err)
	}
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		for pause := 5 * time.Millisecond; !begun(dir) && isAlive(unit); pause = min(2*pause, time.Second) {
			time.Sleep(pause)
		}
		<-Attempt{Dir: dir}.released()
		_ = os.Remove(filepath.Join(LinkDir, instance)) // a link too many harms nobody, nor do
		_ = os.RemoveAll(filepath.Join(runtimeDir, unit+".d"))
	}()
	return gone, nil
}

// instancePattern has what a unit's name may have without being escaped
// (systemd.unit(5)).
var instancePattern = regexp.MustCompile(`^[A-Za-z0-9:_.-]{1,200}$`)

// instanceOf names an attempt's folder, .../tasks/ID/steps/ITEM/NN-NAME, as
// ID:ITEM:NN-NAME.
func instanceOf(dir string) (string, error) {
	parts := strings.Split(filepath.Clean(dir), string(filepath.Separator))
	if len(parts) < 4 {
		return "", fmt.Errorf("%s is not the folder of a step", dir)
	}
	own := parts[len(parts)-4:]
	name := own[0] + ":" + own[2] + ":" + own[3]
	if !instancePattern.MatchString(name) {
		return "", fmt.Errorf("%s cannot be the name of a unit", name)
	}
	return name, nil
}

// resolve is the folder of the step that the argument of "devserver-agent step"
// means: the folder itself, or an instance of a unit.
func resolve(argument string) (string, error) {
	if strings.ContainsRune(argument, filepath.Separator) {
		return argument, nil
	}
	if !instancePattern.MatchString(argument) {
		return "", fmt.Errorf("%.200q is neither a folder nor an instance of a unit", argument)
	}
	dir, err := os.Readlink(filepath.Join(LinkDir, argument))
	if err != nil {
		return "", fmt.Errorf("%w; only the agent starts this unit", err)
	}
	return dir, nil
}

func link(dir, instance string) error {
	if err := os.MkdirAll(LinkDir, 0o700); err != nil {
		return err
	}
	path := filepath.Join(LinkDir, instance)
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return os.Symlink(dir, path)
}

func begun(dir string) bool {
	return exists(dir, startedFile) || exists(dir, exitFile) || exists(dir, abandonedFile)
}

// connect reaches systemd on its private socket, which needs no bus, and on the
// bus where that is refused.
func connect(ctx context.Context) (*systemd.Conn, error) {
	conn, err := systemd.NewSystemdConnectionContext(ctx)
	if err == nil {
		return conn, nil
	}
	conn, busErr := systemd.NewSystemConnectionContext(ctx)
	if busErr != nil {
		return nil, fmt.Errorf("%w: %w; on the bus: %w", ErrUnreachable, err, busErr)
	}
	return conn, nil
}

// startUnit returns an error only if the unit certainly does not run. Where the
// answer is missing it may, and whoever follows it will see.
func startUnit(unit string, limits Limits) error {
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	conn, err := connect(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	_ = conn.ResetFailedUnitContext(ctx, unit) // of a former attempt, which there is hardly ever
	if err := limit(ctx, conn, unit, limits); err != nil {
		return err
	}
	_, err = conn.StartUnitContext(ctx, unit, "fail", nil)
	var answer dbus.Error
	if errors.As(err, &answer) {
		return fmt.Errorf("start %s: %w", unit, answer)
	}
	return nil
}

// limit sets what a unit may take, until the next boot. systemd before 231 has
// its own word for memory; one before 227 counts no tasks, where there is then no
// limit of theirs.
func limit(ctx context.Context, conn *systemd.Conn, unit string, limits Limits) error {
	for _, p := range []struct {
		value uint64
		names []string // the newest first
		must  bool
	}{
		{limits.Memory, []string{"MemoryMax", "MemoryLimit"}, true},
		{limits.Tasks, []string{"TasksMax"}, false},
	} {
		if p.value == 0 {
			continue
		}
		var err error
		for _, name := range p.names {
			err = conn.SetUnitPropertiesContext(ctx, unit, true, systemd.Property{Name: name, Value: dbus.MakeVariant(p.value)})
			if err == nil {
				break
			}
		}
		if answer := (dbus.Error{}); err != nil && !errors.As(err, &answer) {
			return fmt.Errorf("%w: %w", ErrUnreachable, err)
		}
		if err != nil && p.must {
			return fmt.Errorf("limit what %s may take: %w", unit, err)
		}
	}
	return nil
}

// isAlive reports whether a unit may still run, or begin to: until its turn comes
// a unit that was asked for is inactive, with a job. One that nobody can ask about
// may.
func isAlive(unit string) bool {
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	conn, err := connect(ctx)
	if err != nil {
		return true
	}
	defer conn.Close()
	properties, err := conn.GetUnitPropertiesContext(ctx, unit) // all at one moment
	if err != nil {
		return true
	}
	if job, ok := properties["Job"].([]any); !ok || len(job) == 0 || job[0] != uint32(0) {
		return true
	}
	return properties["ActiveState"] != "inactive" && properties["ActiveState"] != "failed"
}

// Ready implements Surroundings.
func (s Systemd) Ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	conn, err := connect(ctx)
	if err != nil {
		return err
	}
	conn.Close()
	return nil
}

func (s Systemd) String() string {
	return "units of systemd, in devserver-tasks.slice"
}

// unitFolders are where packages and operators put units (systemd.unit(5)).
var unitFolders = []string{"/etc/systemd/system", "/run/systemd/system", "/usr/local/lib/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system"}

// Here chooses what is right on this host: units where systemd is PID 1 and has
// the templates, or where the agent is a unit itself, whose stop would take
// everything along. shim is the argv of Shim elsewhere.
func Here(shim []string) Surroundings {
	if _, err := os.Stat("/run/systemd/system"); err != nil { // sd_booted(3)
		return Process{Shim: shim}
	}
	unit := os.Getenv("INVOCATION_ID") != "" && os.Getppid() == 1 // systemd.exec(5)
	if unit || hasTemplate() {
		return Systemd{}
	}
	return Process{Shim: shim}
}

func hasTemplate() bool {
	for _, folder := range unitFolders {
		if _, err := os.Stat(filepath.Join(folder, stepUnit+".service")); err == nil {
			return true
		}
	}
	return false
}

package fakehost

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// The kinds of events.
const (
	KindStart  = "start"  // a tool or an installer was started
	KindCheck  = "check"  // an archive checked itself, and nothing else
	KindChange = "change" // an installer passed its checks and begins to alter the host
	KindEnd    = "end"    // it ended; a killed one has no such event
	KindPower  = "power"  // boot, reboot, poweroff, power-cut
	KindAgent  = "agent"  // init started, lost or gave up its command
	KindFault  = "fault"  // a fault was set or cleared
)

// The names of installers in events; tools go by their own names.
const (
	DriverInstaller   = "driver-installer"
	FirmwareInstaller = "firmware-installer"
)

// Event is one line of the host's journal.
type Event struct {
	At   time.Time `json:"at"`
	Kind string    `json:"kind"`
	Name string    `json:"name"`
	Argv []string  `json:"argv,omitempty"` // without the program's name
	PID  int       `json:"pid"`
	PPID int       `json:"ppid"`
	Boot int       `json:"boot"` // which boot of the host, counted from 1
	Exit *int      `json:"exit,omitempty"`
	Note string    `json:"note,omitempty"`
}

// Journal is what happened on a host, oldest first.
type Journal []Event

// Of returns the events of one kind and name; an empty name means every name.
func (j Journal) Of(kind, name string) Journal {
	var found Journal
	for _, e := range j {
		if e.Kind == kind && (name == "" || e.Name == name) {
			found = append(found, e)
		}
	}
	return found
}

// Events reads the journal. It is append-only; a line in the making is left out.
func (h *Host) Events() (Journal, error) {
	raw, err := os.ReadFile(h.eventsPath())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var all Journal
	for line := range bytes.Lines(raw) {
		if !bytes.HasSuffix(line, []byte("\n")) {
			break
		}
		var e Event
		if err := json.Unmarshal(line, &e); err != nil {
			return all, fmt.Errorf("fakehost: %s: %w", h.eventsPath(), err)
		}
		all = append(all, e)
	}
	return all, nil
}

// Record appends an event; time, pid, parent and boot are filled in where they are zero.
func (h *Host) Record(e Event) error {
	if e.At.IsZero() {
		e.At = time.Now().UTC()
	}
	if e.PID == 0 {
		e.PID, e.PPID = os.Getpid(), os.Getppid()
	}
	if e.Boot == 0 {
		s, err := h.State()
		if err != nil {
			return err
		}
		e.Boot = s.Boots
	}
	line, err := json.Marshal(e)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(h.eventsPath(), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	// One write: lines of different processes do not mix.
	_, err = f.Write(append(line, '\n'))
	return errors.Join(err, f.Close())
}

func (h *Host) eventsPath() string { return filepath.Join(h.dir, "state", "events.jsonl") }

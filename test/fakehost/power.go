package fakehost

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// Reboot restarts the host: every process of it is killed, what is pending becomes what
// runs, the boot id changes and init starts its command again. It returns when that
// was done; if the caller belongs to the host, it is killed instead. Without a running
// init there are no processes to kill and the rest is done at once.
func (h *Host) Reboot() error { return h.ask("reboot", func() error { return h.StartBoot("reboot") }) }

// PowerOff kills every process of the host; the command stays down until PowerOn.
func (h *Host) PowerOff() error {
	return h.ask("poweroff", func() error { return h.StopBoot("poweroff") })
}

// PowerCut is PowerOff as a pulled plug: nothing is warned.
func (h *Host) PowerCut() error {
	return h.ask("power-cut", func() error { return h.StopBoot("power-cut") })
}

// PowerOn boots a host that is off; one that is on is an error.
func (h *Host) PowerOn() error {
	return h.ask("poweron", func() error { return h.StartBoot("poweron") })
}

// StartBoot does what a boot does to the state. It is for the init of a host; everybody
// else uses Reboot and PowerOn.
func (h *Host) StartBoot(why string) error {
	err := h.Update(func(s *State) error {
		if why == "poweron" && s.Power == On {
			return errors.New("fakehost: the host is on")
		}
		s.Power = On
		s.Boots++
		s.BootID = s.bootID()
		s.activate()
		return nil
	})
	if err != nil {
		return err
	}
	return h.Record(Event{Kind: KindPower, Name: "boot", Note: why})
}

// StopBoot notes that the host is off. It is for the init of a host.
func (h *Host) StopBoot(why string) error {
	err := h.Update(func(s *State) error { s.Power = Off; return nil })
	if err != nil {
		return err
	}
	return h.Record(Event{Kind: KindPower, Name: why})
}

// activate makes what is installed run, as far as the faults let it.
func (s *State) activate() {
	args, stays := s.Fault(VersionStaysOld)
	s.endDriverDown("reboot")
	if !stays || !args.Applies(Driver) {
		s.loadDriver()
	}
	if !stays || !args.Applies(Firmware) {
		s.loadFirmware()
	}
	if args, on := s.Fault(OtherKernel); on {
		delete(s.Faults, OtherKernel)
		s.Kernel = args.String("release", "5.10.0-216.0.0.119.oe2203sp4")
		s.Faults[DriverDown] = Args{}
	}
	if args, on := s.Fault(CardGoneAfterReboot); on {
		delete(s.Faults, CardGoneAfterReboot)
		s.Faults[CardLost] = args
	}
	delete(s.Faults, BusyProcess)
	delete(s.Faults, BusyContainer)
}

func (s *State) loadDriver() {
	if s.Pending.Driver != "" {
		s.endDriverDown("install")
	}
	for i := range s.Chips {
		s.Chips[i].Running.Driver = s.Installed.Driver
	}
	s.Pending.Driver = ""
}

func (s *State) loadFirmware() {
	if s.Pending.Firmware == "" {
		return
	}
	for i := range s.Chips {
		s.Chips[i].Running.Firmware = s.Pending.Firmware
	}
	s.Pending.Firmware = ""
}

// endDriverDown takes the fault away if it was set to last until this.
func (s *State) endDriverDown(until string) {
	if args, on := s.Fault(DriverDown); on && args["until"] == until {
		delete(s.Faults, DriverDown)
	}
}

// LoadDriver makes the installed driver run at once, or none if none is installed. If
// one ran before, this is a hot reset, which also starts pending firmware.
func (s *State) LoadDriver() {
	if s.Loaded() {
		s.loadFirmware()
	}
	s.loadDriver()
}

// ask sends one request to the running init and waits for its answer; cold is done
// instead when no init runs.
func (h *Host) ask(request string, cold func() error) error {
	conn, err := h.dialInit()
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) {
		return cold()
	}
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := fmt.Fprintln(conn, request); err != nil {
		return fmt.Errorf("fakehost: ask init for %s: %w", request, err)
	}
	answer, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		return fmt.Errorf("fakehost: init did not answer %s: %w", request, err)
	}
	if answer = strings.TrimSpace(answer); answer != "done" {
		return fmt.Errorf("fakehost: %s: %s", request, answer)
	}
	return nil
}

func (h *Host) dialInit() (net.Conn, error) {
	var conn net.Conn
	err := h.viaRunDir(func(path string) (err error) {
		conn, err = net.Dial("unix", path)
		return err
	})
	return conn, err
}

// ListenInit opens the socket on which init takes requests, one a connection, a word a
// request. A socket left by a dead init is replaced; a live init is an error.
func (h *Host) ListenInit() (net.Listener, error) {
	if conn, err := h.dialInit(); err == nil {
		conn.Close()
		return nil, fmt.Errorf("fakehost: an init already runs for %s", h.dir)
	}
	var l net.Listener
	err := h.viaRunDir(func(path string) (err error) {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		l, err = net.Listen("unix", path)
		return err
	})
	if err != nil {
		return nil, err
	}
	// The name goes through a descriptor that is closed by now; init's end leaves the file.
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	return l, nil
}

// viaRunDir calls use with a short name of the socket: a socket's name has 108 bytes,
// and test folders are deep.
func (h *Host) viaRunDir(use func(path string) error) error {
	dir, err := os.Open(filepath.Join(h.dir, "run"))
	if err != nil {
		return err
	}
	defer dir.Close()
	return use(fmt.Sprintf("/proc/self/fd/%d/init.sock", dir.Fd()))
}

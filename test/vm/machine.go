// Package vm runs virtual machines with a kernel of their own, for tests of what a
// restart of a real host and a pulled plug do: what was not synced to the disk is
// lost with them. It needs root and the Debian packages qemu-system-x86, qemu-utils,
// mmdebstrap, socat and openssh-client. The machines are emulated, so they boot in half a
// minute.
//
// A machine's disk is a copy of a Debian that all share, and is gone with the test.
// Its /srv is a folder of this machine (virtiofs): what is written there is not lost
// when the plug is pulled. It reaches one address of this machine's network, and
// nothing else.
package vm

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
)

// patience is how long a machine may take to boot.
const patience = 5 * time.Minute

// Outside is where a machine reaches the address that it was given.
const Outside = "10.0.2.100:4222"

// Machine is one that runs. Its methods may be called concurrently.
type Machine struct {
	t       testing.TB
	image   string
	dir     string
	reaches string
	port    int // of its ssh, on the loopback
	signer  ssh.Signer
	done    chan struct{} // closed when it is given up

	mu     sync.Mutex
	boots  int
	power  *exec.Cmd // qemu of this boot
	down   bool      // no further boot is wanted
	client *ssh.Client
}

// Start boots a machine that reaches an address at Outside, and ends it with the test.
func Start(t testing.TB, reaches string) *Machine {
	t.Helper()
	image, err := image()
	if err != nil {
		t.Fatal(err)
	}
	m := &Machine{t: t, image: image, dir: t.TempDir(), reaches: reaches, done: make(chan struct{})}
	key, err := os.ReadFile(filepath.Join(image, keyFile))
	m.must(err)
	m.signer, err = ssh.ParsePrivateKey(key)
	m.must(err)
	m.port, err = freePort()
	m.must(err)
	m.must(os.Mkdir(m.share(), 0o755))
	m.must(exec.Command("qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", filepath.Join(image, diskFile), m.path(diskFile)).Run())
	go m.run()
	t.Cleanup(m.remove)
	m.AwaitBoot(1)
	return m
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	return l.Addr().(*net.TCPAddr).Port, l.Close()
}

func (m *Machine) must(err error) {
	m.t.Helper()
	if err != nil {
		m.t.Fatal(err)
	}
}

func (m *Machine) path(name string) string { return filepath.Join(m.dir, name) }
func (m *Machine) share() string           { return m.path("srv") }

// Path is where this machine sees a file of the other one's /srv.
func (m *Machine) Path(name string) string {
	m.t.Helper()
	below, ok := strings.CutPrefix(name, "/srv/")
	if !ok {
		m.t.Fatalf("%s is not in /srv, which is all that can be seen from here", name)
	}
	return filepath.Join(m.share(), below)
}

// Boots is how often it was booted.
func (m *Machine) Boots() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.boots
}

// run boots it again and again, whatever it went down for.
func (m *Machine) run() {
	defer close(m.done)
	runtime.LockOSThread() // for child: what it started would end with the thread
	for {
		m.mu.Lock()
		down := m.down
		m.mu.Unlock()
		if down {
			return
		}
		if err := m.boot(); err != nil {
			m.t.Errorf("boot %d: %v", m.Boots(), err)
			return
		}
	}
}

// boot runs qemu from one boot to the next: it ends when the machine restarts.
func (m *Machine) boot() error {
	log, err := os.OpenFile(m.path("console.log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	socket := m.path("share.sock")
	if err := os.Remove(socket); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	share := child("/usr/lib/qemu/virtiofsd", "-f", "--socket-path="+socket, "-o", "source="+m.share(), "-o", "cache=auto", "-o", "sandbox=chroot", "-o", "xattr")
	share.Stdout, share.Stderr = log, log
	if err := share.Start(); err != nil {
		return err
	}
	defer func() {
		_ = share.Process.Kill() // it ends with qemu, if that has begun
		_ = share.Wait()
	}()
	if err := appears(socket); err != nil {
		return err
	}
	qemu := child("qemu-system-x86_64", m.argv(socket)...)
	qemu.Stdout, qemu.Stderr = log, log
	m.mu.Lock()
	if m.down {
		m.mu.Unlock()
		return nil
	}
	err = qemu.Start()
	m.boots++
	m.power, m.client = qemu, nil
	m.mu.Unlock()
	if err != nil {
		return err
	}
	err = qemu.Wait()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) && exit.ExitCode() > 0 {
		said, _ := os.ReadFile(m.path("console.log")) // it says why, or nothing does
		return fmt.Errorf("qemu: %w\n%s", err, said[max(0, len(said)-4000):])
	}
	return nil
}

func (m *Machine) argv(socket string) []string {
	return []string{
		"-machine", "q35,hpet=off,memory-backend=mem", "-cpu", "max", "-accel", "tcg,thread=multi,tb-size=256", "-smp", "2", "-m", "1024",
		"-object", "memory-backend-memfd,id=mem,size=1024M,share=on",
		"-no-reboot", "-display", "none", "-nodefaults", "-serial", "file:" + m.path("serial.log"),
		"-kernel", filepath.Join(m.image, kernelFile), "-initrd", filepath.Join(m.image, initrdFile),
		"-append", "root=/dev/vda rw console=ttyS0 net.ifnames=0 mitigations=off panic=-1 quiet",
		"-drive", "if=none,id=disk,format=qcow2,cache=writeback,file=" + m.path(diskFile), "-device", "virtio-blk-pci,drive=disk",
		"-chardev", "socket,id=srv,path=" + socket, "-device", "vhost-user-fs-pci,chardev=srv,tag=srv",
		"-netdev", fmt.Sprintf("user,id=net,restrict=on,hostfwd=tcp:127.0.0.1:%d-:22,guestfwd=tcp:%s-cmd:socat STDIO TCP:%s", m.port, Outside, m.reaches),
		"-device", "virtio-net-pci,netdev=net,romfile=", "-device", "virtio-rng-pci",
	}
}

// child is a program that ends with the thread that starts it, and so with the test's
// process at the latest.
func child(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(name, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	return cmd
}

func appears(path string) error {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for range 1000 {
		if _, err := os.Stat(path); err == nil {
			return nil
		}
		<-tick.C
	}
	return fmt.Errorf("%s does not appear", path)
}

// PowerCut ends it in the middle of whatever it does, and boots it again.
func (m *Machine) PowerCut() {
	m.t.Helper()
	n := m.Boots()
	m.Unplug()
	m.AwaitBoot(n + 1)
}

// Unplug is PowerCut without waiting for the boot, which may be cut as well.
func (m *Machine) Unplug() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.power != nil && m.power.Process != nil {
		_ = m.power.Process.Kill() // it may have ended by itself
	}
}

// AwaitBoot waits until the nth boot is up.
func (m *Machine) AwaitBoot(n int) {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	state := ""
	for {
		if m.Boots() >= n {
			// It says why it is not: "starting", "degraded".
			state, _ = m.Run("systemctl", "is-system-running")
			if state == "running" || state == "degraded" {
				return
			}
		}
		select {
		case <-tick.C:
		case <-m.done:
			m.t.Fatal("the machine is gone")
		case <-ctx.Done():
			said, _ := os.ReadFile(m.path("serial.log")) // it says why, or nothing does
			m.t.Fatalf("boot %d is not up: %s\n%s", n, state, said[max(0, len(said)-4000):])
		}
	}
}

func (m *Machine) remove() {
	if m.t.Failed() {
		if log, err := m.Run("journalctl", "--no-pager", "--output=short-monotonic", "--merge"); err == nil {
			m.t.Logf("journal (the end of %d bytes):\n%s", len(log), log[max(0, len(log)-20000):])
		}
	}
	m.mu.Lock()
	m.down = true
	m.mu.Unlock()
	m.Unplug()
	<-m.done
}

package journal

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"devserver-agent/protocol"
)

// mounted runs a test again in a process whose mounts nobody else sees, and
// there calls inside with a folder that is a file system of its own. Where it
// may not mount, as without root or user namespaces, the test fails and says so.
func mounted(t *testing.T, kind, data string, inside func(t *testing.T, dir string)) {
	t.Helper()
	const marker = "JOURNAL_TEST_INSIDE"
	if os.Getenv(marker) == t.Name() {
		dir := t.TempDir()
		if err := unix.Mount("none", dir, kind, 0, data); err != nil {
			t.Fatalf("mount %s (needs CAP_SYS_ADMIN): %v", kind, err)
		}
		t.Cleanup(func() {
			if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
				t.Error(err)
			}
		})
		inside(t, dir)
		return
	}
	cmd := exec.Command(os.Args[0], "-test.run=^"+strings.ReplaceAll(t.Name(), "/", "$/^")+"$", "-test.v")
	cmd.Env = append(os.Environ(), marker+"="+t.Name(), "GORACE=atexit_sleep_ms=0")
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
	if os.Geteuid() != 0 {
		cmd.SysProcAttr.Unshareflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("with %s mounted in a namespace of its own: %v\n%s", kind, err, out)
	}
	if want := "--- PASS: " + t.Name(); !bytes.Contains(out, []byte(want)) {
		t.Fatalf("the test did not run inside:\n%s", out)
	}
}

// fill takes all the room there is on a file system and gives back a way to
// make room again.
func fill(t *testing.T, dir string) (release func()) {
	t.Helper()
	path := filepath.Join(dir, "filler")
	file, err := os.Create(path)
	must(t, err)
	page := make([]byte, os.Getpagesize())
	for err == nil {
		_, err = file.Write(page)
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
	must(t, file.Close())
	return func() { must(t, os.Remove(path)) }
}

// The promise of the reserve: a task that runs comes to its verdict on a full
// disk, nothing new is accepted, and once there is room all is as before.
func TestARunningTaskReachesItsVerdictOnAFullDisk(t *testing.T) {
	mounted(t, "tmpfs", "size=4m", func(t *testing.T, dir string) {
		s := open(t, options(filepath.Join(dir, "state")))
		task := admit(t, s, "task-1")
		say(t, task, protocol.Processing, protocol.Running)
		release := fill(t, dir)

		memo := bytes.Repeat([]byte("7"), os.Getpagesize())
		for i := range 20 {
			must(t, task.PutMemo(MemoRecord{Name: fmt.Sprint("memo-", i), Value: memo}))
		}
		if _, err := os.Stat(s.reserve.path); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("the reserve was not given up: %v", err)
		}
		fill(t, dir) // somebody takes what the reserve gave
		for i := 0; ; i++ {
			err := task.PutMemo(MemoRecord{Name: fmt.Sprint("more-", i), Value: memo})
			if errors.Is(err, ErrDiskFull) {
				break
			}
			must(t, err)
		}
		if _, err := s.Admit(order(t, "task-2")); !errors.Is(err, ErrDiskFull) {
			t.Errorf("Admit on a full disk gave %v, want ErrDiskFull", err)
		}
		if !s.Full() {
			t.Error("the disk does not count as full")
		}
		s = crash(t, s) // and an agent that starts on a full disk
		task = s.Open("task-1")
		if task == nil || task.Damage() != nil {
			t.Fatal("the task did not survive")
		}
		if _, ok := task.Memo(0, "memo-19"); !ok {
			t.Error("a memo that was recorded is lost")
		}

		release()
		say(t, task, protocol.Success, protocol.Done)
		if s.Full() {
			t.Fatal("there is room again and the disk counts as full")
		}
		admit(t, s, "task-2")
		if !s.reserve.whole() {
			t.Error("the reserve was not made again")
		}
		if left, err := os.ReadDir(s.temp()); err != nil || len(left) != 0 {
			t.Errorf("left over of what was not accepted: %v, %v", left, err)
		}
		finish(t, s, s.Open("task-2"))
	})
}

func TestTheVerdictItselfFitsIntoTheReserve(t *testing.T) {
	mounted(t, "tmpfs", "size=3m", func(t *testing.T, dir string) {
		s := open(t, options(filepath.Join(dir, "state")))
		var tasks []*Task
		for i := range protocol.MaxOpenTasks {
			tasks = append(tasks, admit(t, s, fmt.Sprint("task-", i)))
		}
		fill(t, dir)
		for _, task := range tasks {
			must(t, task.PrepareOutput(0))
			_, err := task.Say(protocol.Status{Status: protocol.Failed, Phase: protocol.Done, Message: strings.Repeat("m", protocol.MaxMessage)})
			must(t, err)
			deliver(t, task)
		}
	})
}

func TestADamagedLogOnAFullDiskStopsNobody(t *testing.T) {
	mounted(t, "tmpfs", "size=3m", func(t *testing.T, dir string) {
		s := open(t, options(filepath.Join(dir, "state")))
		say(t, admit(t, s, "task-1"), protocol.Processing, protocol.Running)
		admit(t, s, "task-2")
		spoil(1)(t, s, logOf(s, "task-1"))
		fill(t, dir)
		s = crash(t, s)
		if !errors.Is(s.Open("task-1").Damage(), ErrDamaged) || s.Open("task-2").Damage() != nil {
			t.Fatal("the wrong task is damaged")
		}
		say(t, s.Open("task-1"), protocol.Failed, protocol.Done)
	})
}

// The reserve is made again by whoever asks whether the disk is full, which may
// be at the moment that it is given up for a record.
func TestTheReserveIsNotTakenBackFromTheWriteItWasGivenUpFor(t *testing.T) {
	t.Parallel()
	s := open(t, options(t.TempDir()))
	var tries int
	err := s.Write(func() error {
		if tries++; tries == 1 {
			return syscall.ENOSPC
		}
		if !s.Full() {
			t.Error("the disk counts as having room while the reserve is spent")
		}
		if _, err := os.Stat(s.reserve.path); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("the reserve is there while it is spent: %v", err)
		}
		return nil
	})
	must(t, err)
	if tries != 2 || s.Full() || !s.reserve.whole() {
		t.Errorf("after %d tries: full %v, reserve whole %v", tries, s.Full(), s.reserve.whole())
	}
}

func TestAReserveWithoutBlocksIsNone(t *testing.T) {
	t.Parallel()
	s := open(t, options(t.TempDir()))
	must(t, os.Truncate(s.reserve.path, 0))
	must(t, os.Truncate(s.reserve.path, reserveSize))
	s = crash(t, s)
	var stat unix.Stat_t
	must(t, unix.Stat(s.reserve.path, &stat))
	if stat.Blocks*512 < reserveSize {
		t.Errorf("the reserve has %d bytes of blocks", stat.Blocks*512)
	}
}

func TestAFolderThatCannotBeWrittenIsAnErrorThatSaysWhy(t *testing.T) {
	for name, hinder := range map[string]func(t *testing.T, dir string) error{
		"read-only file system": func(t *testing.T, dir string) error {
			must(t, unix.Mount("none", dir, "tmpfs", unix.MS_REMOUNT|unix.MS_RDONLY, ""))
			return syscall.EROFS
		},
		"no permission": func(t *testing.T, dir string) error {
			for _, open := range []string{dir, filepath.Dir(dir)} {
				must(t, os.Chmod(open, 0o755))
			}
			must(t, syscall.Setresuid(-1, 65534, -1))
			t.Cleanup(func() { must(t, syscall.Setresuid(-1, 0, -1)) })
			return syscall.EACCES
		},
	} {
		t.Run(name, func(t *testing.T) {
			mounted(t, "tmpfs", "size=3m", func(t *testing.T, dir string) {
				state := filepath.Join(dir, "state")
				must(t, open(t, options(state)).Close())
				want := hinder(t, dir)
				for _, at := range []string{state, filepath.Join(dir, "another")} {
					if _, err := Open(options(at)); !errors.Is(err, want) || !strings.Contains(err.Error(), at) {
						t.Errorf("Open(%s) gave %v; want %v and the folder's name", at, err, want)
					}
				}
			})
		})
	}
}

// ramfs has neither fallocate nor holes, as some network file systems.
func TestAFileSystemWithoutHolesIsNoError(t *testing.T) {
	mounted(t, "ramfs", "", func(t *testing.T, dir string) {
		s := open(t, options(filepath.Join(dir, "state")))
		if s.Full() {
			t.Fatal("the disk counts as full")
		}
		task := admit(t, s, "task-1")
		must(t, os.Truncate(grow(t, task, 0, 0), protocol.OutputHead+protocol.OutputTail+4*trimStep))
		end, err := task.TrimOutput(0, 0)
		if want := int64(protocol.OutputHead + 4*trimStep); end != want || err != nil {
			t.Errorf("TrimOutput gave %d, %v; want %d", end, err, want)
		}
	})
}

func TestManyWritersShareTheReserve(t *testing.T) {
	mounted(t, "tmpfs", "size=3m", func(t *testing.T, dir string) {
		s := open(t, options(filepath.Join(dir, "state")))
		var tasks []*Task
		for i := range 8 {
			tasks = append(tasks, admit(t, s, fmt.Sprint("task-", i)))
		}
		fill(t, dir)
		var wg sync.WaitGroup
		for _, task := range tasks {
			wg.Go(func() {
				for i := range 8 {
					if err := task.PutMemo(MemoRecord{Name: fmt.Sprint(i), Value: bytes.Repeat([]byte("7"), 4096)}); err != nil {
						t.Error(err)
					}
					s.Full()
					if err := s.Write(func() error { return task.PrepareOutput(i % 2) }); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
	})
}

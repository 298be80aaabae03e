package launch

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// written is a program's file that is still open for writing.
func written(t *testing.T) *os.File {
	t.Helper()
	file, err := os.OpenFile(filepath.Join(t.TempDir(), "program"), os.O_CREATE|os.O_WRONLY, 0o700)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = file.Close() }) // the test may have closed it
	if _, err := file.WriteString("#!/bin/sh\nexit 7\n"); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestAProgramIsStartedWhenItsWriterIsDone(t *testing.T) {
	file, builds := written(t), 0
	cmd, err := Start(func() *exec.Cmd {
		if builds++; builds == 3 {
			if err := file.Close(); err != nil {
				t.Fatal(err)
			}
		}
		return exec.Command(file.Name())
	})
	if err != nil || builds != 3 {
		t.Fatalf("%d attempts, %v", builds, err)
	}
	var ended *exec.ExitError
	if err := cmd.Wait(); !errors.As(err, &ended) || ended.ExitCode() != 7 {
		t.Errorf("it ended with %v", err)
	}
}

func TestAProgramThatStaysOpenIsNotStarted(t *testing.T) {
	file := written(t)
	if _, err := within(20*time.Millisecond, func() *exec.Cmd { return exec.Command(file.Name()) }); !errors.Is(err, syscall.ETXTBSY) {
		t.Errorf("got %v", err)
	}
}

func TestOtherErrorsAreReturnedAtOnce(t *testing.T) {
	builds := 0
	_, err := Start(func() *exec.Cmd { builds++; return exec.Command("/nowhere/program") })
	if !errors.Is(err, fs.ErrNotExist) || builds != 1 {
		t.Errorf("%d attempts, %v", builds, err)
	}
}

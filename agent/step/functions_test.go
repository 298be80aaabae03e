package step

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"
)

// A program that is a function is one attempt like any other: it is seen running,
// its output and its end are on disk, and it is never run twice.
func TestAFunctionIsAnAttemptLikeAnyOther(t *testing.T) {
	tr := try(t, "")
	tr.spec.Argv, tr.spec.Output = []string{"play", "it"}, filepath.Join(tr.folder, "output")
	tr.prepare()
	begun, end, runs := make(chan struct{}), make(chan struct{}), 0
	play := Functions{Run: func(spec Spec, out io.Writer) Exit {
		runs++
		fmt.Fprintln(out, spec.Argv)
		close(begun)
		<-end
		return Exit{Code: 2}
	}}
	gone, err := play.Start(tr.Dir, tr.spec)
	if err != nil {
		t.Fatal(err)
	}
	<-begun
	if _, running, err := tr.Look(); !running || err != nil {
		t.Errorf("it is not seen running: %v", err)
	}
	close(end)
	exit, err := tr.wait(gone)
	if said, _ := os.ReadFile(tr.spec.Output); err != nil || exit.Code != 2 || string(said) != "[play it]\n" {
		t.Errorf("it ended with %+v, %v and said %q", exit, err, said)
	}
	if gone, err = play.Start(tr.Dir, tr.spec); err != nil {
		t.Fatal(err)
	}
	if exit, err := tr.wait(gone); err != nil || exit.Code != 2 || runs != 1 {
		t.Errorf("started again it ended with %+v, %v after %d runs", exit, err, runs)
	}
}

func TestAFunctionThatCannotBeStartedIsAbandoned(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "attempt") // nobody prepared it
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	play := Functions{Run: func(Spec, io.Writer) Exit { panic("it must not run") }}
	gone, err := play.Start(dir, Spec{})
	if err != nil {
		t.Fatal(err)
	}
	<-gone
	a := Attempt{Dir: dir, Boot: boot}
	if _, _, err := a.Look(); !errors.Is(err, ErrAbandoned) || a.ShimLog() == "" {
		t.Errorf("it is %v, and says %q", err, a.ShimLog())
	}
}

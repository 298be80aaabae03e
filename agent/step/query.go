package step

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"syscall"
	"time"

	"devserver-agent/executors"
)

// Query runs a program that only reads; the contract is executors.Host.Query's.
// path is the program's file, argv its arguments, its name first. It returns at
// its deadline even if the program cannot be killed, as one that hangs in a
// driver cannot.
func Query(ctx context.Context, path string, argv, env []string) (executors.Reply, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, executors.QueryTimeout, executors.ErrTimeout)
	defer cancel()
	read, write, err := os.Pipe()
	if err != nil {
		return executors.Reply{}, fmt.Errorf("query %s: %w", argv[0], err)
	}
	cmd := exec.Command(path)
	cmd.Args, cmd.Env = argv, env
	cmd.Stdout, cmd.Stderr = write, write
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	err = cmd.Start()
	if closeErr := write.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		_ = read.Close()
		if errors.Is(err, fs.ErrNotExist) {
			err = executors.ErrNotFound
		}
		return executors.Reply{}, fmt.Errorf("query %s: %w", argv[0], err)
	}
	return await(ctx, cmd, read)
}

type answer struct {
	reply executors.Reply
	err   error
}

func await(ctx context.Context, cmd *exec.Cmd, output *os.File) (executors.Reply, error) {
	done := make(chan answer, 1)
	go func() { done <- collect(cmd, output) }()
	var a answer
	select {
	case a = <-done:
	case <-ctx.Done():
		killGroup(cmd)
		// What keeps the pipe open may be out of reach; what came is enough.
		_ = output.SetReadDeadline(time.Now())
		select {
		case a = <-done:
		case <-time.After(time.Second):
		}
		a.err = context.Cause(ctx)
	}
	if a.err != nil {
		return a.reply, fmt.Errorf("query %s: %w", cmd.Args[0], a.err)
	}
	return a.reply, nil
}

// collect reads the output to its end or its limit, then waits for the program.
func collect(cmd *exec.Cmd, output *os.File) (a answer) {
	a.reply.Output, a.err = io.ReadAll(io.LimitReader(output, executors.QueryLimit+1))
	if len(a.reply.Output) > executors.QueryLimit {
		a.reply.Output = a.reply.Output[:executors.QueryLimit]
		a.err = executors.ErrFlood
		killGroup(cmd)
	}
	_ = output.Close()
	_ = cmd.Wait() // its state says it better
	if cmd.ProcessState != nil {
		a.reply.Code, _ = ended(cmd.ProcessState)
	}
	return a
}

func killGroup(cmd *exec.Cmd) {
	_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // it may have ended
}

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

	"golang.org/x/sys/unix"

	"devserver-agent/agent/step/launch"
	"devserver-agent/executors"
)

const (
	// leftover is how long a pipe is read on that a program's children hold when
	// it has ended itself.
	leftover = 500 * time.Millisecond
	// lastWords is how long it is read on when its time is over.
	lastWords = 100 * time.Millisecond
	// killed is how long a killed program may take to be gone before it counts
	// as one that cannot be.
	killed = time.Second
)

// Query runs a program that only reads; the contract is executors.Host.Query's.
// path is the program's file, argv its arguments, its name first. It returns at
// its deadline even if the program cannot be killed, as one that hangs in a
// driver cannot; such a one costs a goroutine until it ends. What it leaves
// behind in its process group is killed.
func Query(ctx context.Context, path string, argv, env []string) (executors.Reply, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, executors.QueryTimeout, executors.ErrTimeout)
	defer cancel()
	q, err := startQuery(ctx, path, argv, env)
	if errors.Is(err, fs.ErrNotExist) {
		err = executors.ErrNotFound
	}
	if err != nil {
		return executors.Reply{}, fmt.Errorf("query %s: %w", argv[0], err)
	}
	reply, err := q.await(ctx)
	if err != nil {
		return reply, fmt.Errorf("query %s: %w", argv[0], err)
	}
	return reply, nil
}

// query is a program that was started and what comes of it.
type query struct {
	cmd    *exec.Cmd
	output *os.File
	text   chan []byte   // all it printed, once
	exited chan struct{} // closed when it has ended; it is a zombie until reap
}

func startQuery(ctx context.Context, path string, argv, env []string) (*query, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	read, write, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	cmd, err := launch.Start(func() *exec.Cmd {
		cmd := exec.Command(path)
		cmd.Args, cmd.Env = argv, env
		cmd.Stdout, cmd.Stderr = write, write
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		return cmd
	})
	_ = write.Close() // the program's copy is what counts
	if err != nil {
		return nil, errors.Join(err, read.Close())
	}
	q := &query{cmd: cmd, output: read, text: make(chan []byte, 1), exited: make(chan struct{})}
	go q.read()
	go q.watch()
	return q, nil
}

// read reads to the output's end, its limit or its deadline.
func (q *query) read() {
	text, _ := io.ReadAll(io.LimitReader(q.output, executors.QueryLimit+1))
	_ = q.output.Close()
	q.text <- text
}

// watch waits for the end and leaves the zombie: as long as there is one, its
// number and its group's are nobody else's.
func (q *query) watch() {
	for {
		err := unix.Waitid(unix.P_PID, q.cmd.Process.Pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if !errors.Is(err, unix.EINTR) {
			close(q.exited)
			return
		}
	}
}

// await gives the answer when the program has ended and all it printed is read,
// or at the end of ctx what came until then.
func (q *query) await(ctx context.Context) (reply executors.Reply, err error) {
	exited, read := q.exited, q.text
	for exited != nil || read != nil {
		select {
		case reply.Output = <-read:
			read = nil
			if len(reply.Output) > executors.QueryLimit {
				reply.Output, err = reply.Output[:executors.QueryLimit], executors.ErrFlood
				q.kill()
			}
		case <-exited:
			exited = nil
			q.kill() // what is left in its group may hold the pipe
			_ = q.output.SetReadDeadline(time.Now().Add(leftover))
		case <-ctx.Done():
			return q.giveUp(reply, read), context.Cause(ctx)
		}
	}
	reply.Code = q.reap()
	return reply, err
}

// giveUp ends a query that has no more time. read is nil if all was read.
func (q *query) giveUp(reply executors.Reply, read <-chan []byte) executors.Reply {
	q.kill()
	// What keeps the pipe open may be out of reach; what came is enough. A deadline
	// that is over already would leave it in the pipe.
	_ = q.output.SetReadDeadline(time.Now().Add(lastWords))
	if read != nil {
		reply.Output = <-read
		reply.Output = reply.Output[:min(len(reply.Output), executors.QueryLimit)]
	}
	select {
	case <-q.exited:
		reply.Code = q.reap()
	case <-time.After(killed):
		go func() {
			<-q.exited
			q.reap()
		}()
	}
	return reply
}

func (q *query) kill() {
	_ = syscall.Kill(-q.cmd.Process.Pid, syscall.SIGKILL) // there may be nobody left
}

// reap takes the zombie away.
func (q *query) reap() (code int) {
	_ = q.cmd.Wait() // its state says it better
	if q.cmd.ProcessState == nil {
		return -1
	}
	status, _ := q.cmd.ProcessState.Sys().(syscall.WaitStatus)
	code, _ = ended(status)
	return code
}

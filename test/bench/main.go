// Command bench measures what the agent costs and prints it as a table. Every
// figure that depends on the machine stands beside a floor taken in the same
// run. scripts/bench runs it.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"text/tabwriter"
	"time"
)

// figure is one line of the table.
type figure struct {
	what   string
	value  string
	floor  string // "" where there is none
	ratio  string
	limit  string // what the project holds itself to
	missed bool
}

// bench is one run: programs and a folder to work in.
type bench struct {
	bin, dir string
}

func main() {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case floorArg:
			floorAgent(os.Args[2:])
			return
		case simulateArg:
			simulate(os.Args[2:])
			return
		}
	}
	bin := flag.String("bin", "bin", "folder of the programs")
	out := flag.String("out", "", "Markdown file to write the table to")
	only := flag.String("only", "", "run only the parts whose name contains this")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *bin, *out, *only); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, bin, out, only string) error {
	bin, err := filepath.Abs(bin)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "devserver-bench.")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	var figures []figure
	for _, part := range []struct {
		name string
		run  func(context.Context, bench) ([]figure, error)
	}{
		{"size", size}, {"idle", idle}, {"start", start}, {"output", output}, {"security", security}, {"round", round}, {"upgrade", upgrade}, {"fleet", thousand},
	} {
		if !strings.Contains(part.name, only) {
			continue
		}
		fmt.Fprintf(os.Stderr, "measuring: %s\n", part.name)
		sub := filepath.Join(dir, part.name)
		if err := os.Mkdir(sub, 0o700); err != nil {
			return err
		}
		found, err := part.run(ctx, bench{bin: bin, dir: sub})
		if err != nil {
			return fmt.Errorf("%s: %w", part.name, err)
		}
		figures = append(figures, found...)
	}
	print(figures)
	if out != "" {
		return os.WriteFile(out, markdown(figures), 0o644)
	}
	return nil
}

func print(figures []figure) {
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "WHAT\tVALUE\tFLOOR\tRATIO\tLIMIT\t")
	for _, f := range figures {
		note := ""
		if f.missed {
			note = "MISSED"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", f.what, f.value, f.floor, f.ratio, f.limit, note)
	}
	_ = w.Flush()
}

func markdown(figures []figure) []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "# Measured\n\nWritten by `scripts/bench`. %s, %s, Linux %s, %d CPUs, %s, %s.\nA ratio is to a floor taken in the same run; absolute times are this machine's.\n\n",
		time.Now().UTC().Format(time.DateOnly), cpu(), kernel(), runtime.NumCPU(), runtime.GOARCH, runtime.Version())
	b.WriteString("| what | value | floor | ratio | limit |\n|---|--:|--:|--:|--:|\n")
	for _, f := range figures {
		limit := f.limit
		if f.missed {
			limit += " (missed)"
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", f.what, f.value, f.floor, f.ratio, limit)
	}
	return []byte(b.String())
}

func cpu() string {
	raw, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(raw)) {
		if name, ok := strings.CutPrefix(line, "model name"); ok {
			return strings.TrimLeft(strings.TrimSpace(name), ": \t")
		}
	}
	return "unknown CPU"
}

func kernel() string {
	raw, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	return strings.TrimSpace(string(raw))
}

// size builds nothing: it looks at what scripts/build made.
func size(_ context.Context, b bench) ([]figure, error) {
	info, err := os.Stat(filepath.Join(b.bin, "devserver-agent"))
	if err != nil {
		return nil, err
	}
	mb := float64(info.Size()) / 1e6
	return []figure{{what: "agent's binary, stripped", value: fmt.Sprintf("%.1f MB", mb), limit: "12 MB", missed: mb > 12}}, nil
}

// until polls a condition; it fails after a minute.
func until(ctx context.Context, what string, done func() bool) error {
	return within(ctx, time.Minute, time.Millisecond, what, done)
}

// within polls a condition now and then; it fails after some time.
func within(ctx context.Context, limit, every time.Duration, what string, done func() bool) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	tick := time.NewTicker(every)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("waiting for %s: %w", what, ctx.Err())
		}
	}
	return nil
}

// program starts a program that ends with the bench; its log goes to a file.
func (b bench) program(ctx context.Context, log string, argv ...string) (*exec.Cmd, error) {
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	file, err := os.Create(filepath.Join(b.dir, log))
	if err != nil {
		return nil, err
	}
	cmd.Stdout, cmd.Stderr = file, file
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	return cmd, file.Close()
}

func median(d []time.Duration) time.Duration {
	sorted := append([]time.Duration(nil), d...)
	for i := range sorted {
		for j := i; j > 0 && sorted[j] < sorted[j-1]; j-- {
			sorted[j], sorted[j-1] = sorted[j-1], sorted[j]
		}
	}
	return sorted[len(sorted)/2]
}

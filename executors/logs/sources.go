package logs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"devserver-agent/executors"
)

const noFollow = unix.O_NOFOLLOW | unix.O_NONBLOCK

// folders of the host that go into a bundle, the most telling first: a bundle that is
// full has them.
var folders = []string{
	"/var/log/ascend_seclog",       // the installers' logs
	"/var/log/nputools",            // npu-smi's, upgrade-tool's
	"/var/log/npu",                 // device logs: slog, hisi_logs
	"/root/ascend/log",             // of programs that ran as root
	"/var/log/ascend_check",        // ascend-dmi's results
	"/var/lib/dkms/davinci_ascend", // with make.log of a build that failed
}

// files of the host.
var files = []string{
	"/etc/ascend_install.info",
	"/usr/local/Ascend/driver/version.info",
	"/usr/local/Ascend/firmware/version.info",
	"/var/log/nputools_LOG_ERR.log",
	"/var/log/nputools_LOG_INFO.log",
	"/var/log/upgradetool_LOG_ERR.log",
}

// question is a program whose answer goes into a bundle.
type question struct {
	name string // of the file
	argv []string
}

func questions(o order) []question {
	since := fmt.Sprintf("-%dh", o.hours)
	return []question{
		{"npu-smi/info.txt", []string{"npu-smi", "info"}},
		{"npu-smi/list.txt", []string{"npu-smi", "info", "-l"}},
		{"npu-smi/mapping.txt", []string{"npu-smi", "info", "-m"}},
		{"npu-smi/topology.txt", []string{"npu-smi", "info", "-t", "topo"}},
		{"upgrade-tool/version.txt", []string{"upgrade-tool", "--device_index", "-1", "--component", "-1", "--version"}},
		{"host/dmesg.txt", []string{"dmesg"}},
		{"host/lspci.txt", []string{"lspci", "-vvd", "19e5:"}},
		{"host/agent.txt", []string{"journalctl", "--unit", "devserver-agent.service", "--since", since, "--lines", "5000", "--no-pager", "--output", "short-iso"}},
		{"host/kernel.txt", []string{"journalctl", "--dmesg", "--since", since, "--lines", "5000", "--no-pager", "--output", "short-iso"}},
	}
}

// fill puts everything in.
func (c Collect) fill(ctx context.Context, host executors.Host, o order, scratch string, p *packer) error {
	for _, q := range questions(o) {
		if err := ask(ctx, host, q, p); err != nil {
			return err
		}
	}
	root := cmp.Or(c.Root, "/")
	for _, name := range files {
		if err := p.single(filepath.Join(root, name), filepath.Join("host", name)); err != nil {
			return err
		}
	}
	if c.StateDir != "" {
		if err := p.folder(ctx, filepath.Join(c.StateDir, "diagnosis"), "diagnosis"); err != nil {
			return err
		}
	}
	if err := p.folder(ctx, filepath.Join(scratch, reportStep), reportStep); err != nil {
		return err
	}
	for _, name := range folders {
		if err := p.folder(ctx, filepath.Join(root, name), filepath.Join("host", name)); err != nil {
			return err
		}
	}
	return nil
}

// ask adds a program's answer. One that is cut short is better than none.
func ask(ctx context.Context, host executors.Host, q question, p *packer) error {
	reply, err := host.Query(ctx, q.argv...)
	switch {
	case errors.Is(err, executors.ErrNotFound):
		p.omit("%s: %s is not installed", q.name, q.argv[0])
	case err != nil:
		p.omit("%s: %v", q.name, err)
	}
	return p.text(q.name, string(reply.Output))
}

// single adds one file, which need not be there.
func (p *packer) single(file, as string) error {
	root, err := os.OpenRoot(filepath.Dir(file))
	switch {
	case errors.Is(err, os.ErrNotExist):
	case err != nil:
		p.omit("%s: %v", as, err)
	default:
		defer root.Close()
		base := filepath.Base(file)
		if _, err := root.Lstat(base); !errors.Is(err, os.ErrNotExist) {
			return p.file(root, base, as)
		}
	}
	return nil
}

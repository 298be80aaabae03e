// Package tool plays the programs an Ascend driver package brings - npu-smi,
// hccn_tool, upgrade-tool -, ascend-dmi, docker, dmesg, timedatectl,
// journalctl, rpm and dpkg, from the state of a fake host.
package tool

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"devserver-agent/test/fakehost"
)

// call is one run of a tool.
type call struct {
	host  *fakehost.Host
	state fakehost.State
	out   *bufio.Writer
	width int // of the keys of a query
}

var tools = map[string]func(*call, []string) int{
	"npu-smi":      npuSmi,
	"hccn_tool":    hccnTool,
	"upgrade-tool": upgradeTool,
	"docker":       docker,
	"dmesg":        dmesg,
	"timedatectl":  timedatectl,
	"ascend-dmi":   ascendDMI,
	"msnpureport":  msnpureport,
	"journalctl":   journalctl,
	"rpm":          rpm,
	"dpkg":         dpkg,
}

// Run plays the tool with these arguments (without its name) and returns the exit
// status. Like the real ones the tools print everything, errors too, on standard
// output. The run is in the host's journal.
func Run(h *fakehost.Host, name string, args []string, stdout io.Writer) int {
	play, known := tools[name]
	s, err := h.State()
	if err != nil || !known {
		fmt.Fprintln(os.Stderr, "fakehost: no tool", name, err)
		return 127
	}
	record(h, fakehost.Event{Kind: fakehost.KindStart, Name: name, Argv: args, Boot: s.Boots})
	c := &call{host: h, state: s, out: bufio.NewWriter(stdout), width: 30}
	status := play(c, args) & 0xFF
	if err := c.out.Flush(); err != nil {
		status = 1
	}
	record(h, fakehost.Event{Kind: fakehost.KindEnd, Name: name, Boot: s.Boots, Exit: &status})
	return status
}

func record(h *fakehost.Host, e fakehost.Event) {
	if err := h.Record(e); err != nil {
		fmt.Fprintln(os.Stderr, "fakehost:", err)
	}
}

// linger takes the time that a slow tool takes.
func (c *call) linger() {
	if args, slow := c.state.Fault(fakehost.ToolsSlow); slow {
		time.Sleep(time.Duration(args.Int("ms", 300)) * time.Millisecond)
	}
}

func (c *call) printf(format string, args ...any) { fmt.Fprintf(c.out, format, args...) }

// field prints one line of a query as npu-smi does: a tab and the key, padded.
func (c *call) field(key string, value any) { c.printf("\t%-*s : %v\n", c.width, key, value) }

// option is the value after a flag, "" if it is not there.
func option(args []string, name string) string {
	for i := range len(args) - 1 {
		if args[i] == name {
			return args[i+1]
		}
	}
	return ""
}

// docker answers what the installer's check and an agent ask of it: the running
// containers and what they map. `ps [-q]` lists, `inspect ID...` describes.
func docker(c *call, args []string) int {
	var ids []string
	for _, p := range c.state.Processes() {
		if p.Container != "" {
			ids = append(ids, p.Container)
		}
	}
	switch line := strings.Join(args, " "); {
	case strings.HasPrefix(line, "ps"):
		for _, id := range ids {
			if strings.Contains(line, "--no-trunc") {
				c.printf("%s\n", id)
			} else {
				c.printf("%s\n", id[:min(12, len(id))])
			}
		}
	case strings.HasPrefix(line, "inspect"):
		for _, p := range c.state.Processes() {
			if p.Container == "" {
				continue
			}
			c.printf(`[{"Id":%q,"Name":"/%s","State":{"Status":"running","Pid":%d},"HostConfig":{"Devices":[`+
				`{"PathOnHost":"/dev/davinci%d"},{"PathOnHost":"/dev/davinci_manager"},{"PathOnHost":"/dev/devmm_svm"},{"PathOnHost":"/dev/hisi_hdc"}]}}]`+"\n",
				p.Container, p.Name, p.PID, p.Logic)
		}
	default:
		c.printf("docker: '%s' is not a docker command.\n", line)
		return 1
	}
	return 0
}

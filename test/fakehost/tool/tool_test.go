package tool_test

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"devserver-agent/test/fakehost"
	"devserver-agent/test/fakehost/tool"
	"devserver-agent/test/support/golden"
)

func TestMain(m *testing.M) { os.Exit(fakehost.Main(m)) }

type faults map[fakehost.Fault][]string

func TestToolsPrintWhatTheirGoldenFilesSay(t *testing.T) {
	tests := []struct {
		name   string
		model  fakehost.Model
		option fakehost.Options
		faults faults
		line   string
		status int
	}{
		{name: "info_a2_layout_e", model: fakehost.A2, line: "npu-smi info", faults: faults{
			fakehost.CardAlarm: {"card=1"}, fakehost.BusyProcess: {"card=2"},
		}},
		{name: "info_a3_layout_f", model: fakehost.A3, line: "npu-smi info"},
		{name: "info_310p_layout_d", model: fakehost.P310, line: "npu-smi info"},
		{name: "info_duo_layout_d", model: fakehost.Duo310P, line: "npu-smi info", faults: faults{fakehost.BusyProcess: {"card=16"}}},
		{
			name: "info_a2_layout_g", model: fakehost.A2, line: "npu-smi info",
			option: fakehost.Options{Release: fakehost.Release{Driver: "26.1.0"}},
			faults: faults{fakehost.BusyContainer: {"card=3", "name=vllm"}, fakehost.CardAlarm: {"card=0", "health=Warning"}},
		},
		{name: "info_card_lost", model: fakehost.Duo310P, line: "npu-smi info", faults: faults{fakehost.CardLost: {"card=8"}}},
		{name: "list_a2", model: fakehost.A2, line: "npu-smi info -l"},
		{name: "list_310p", model: fakehost.P310, line: "npu-smi info -l"},
		{name: "list_card_lost", model: fakehost.A3, line: "npu-smi info -l", faults: faults{fakehost.CardLost: {"card=5"}}},
		{name: "mapping_a2", model: fakehost.A2, line: "npu-smi info -m"},
		{name: "mapping_a3", model: fakehost.A3, line: "npu-smi info -m"},
		{name: "mapping_310b", model: fakehost.B310, line: "npu-smi info -m"},
		{name: "board_a2", model: fakehost.A2, line: "npu-smi info -t board -i 3"},
		{name: "board_a3", model: fakehost.A3, line: "npu-smi info -t board -i 7"},
		{name: "board_chip_a3", model: fakehost.A3, line: "npu-smi info -t board -i 7 -c 1"},
		{name: "board_310p", model: fakehost.P310, line: "npu-smi info -t board -i 16"},
		{name: "board_disagrees", model: fakehost.A2, line: "npu-smi info -t board -i 2", faults: faults{
			fakehost.CardsDisagree: {"card=2", "driver=23.0.7", "firmware=7.1.0.11.220"},
		}},
		{name: "board_card_lost", model: fakehost.A2, line: "npu-smi info -t board -i 7", status: 215, faults: faults{fakehost.CardLost: nil}},
		{name: "board_no_such_chip", model: fakehost.A2, line: "npu-smi info -t board -i 7 -c 1", status: 215},
		{name: "health_ok", model: fakehost.A2, line: "npu-smi info -t health -i 0"},
		{name: "health_alarm", model: fakehost.A2, line: "npu-smi info -t health -i 7 -c 0", faults: faults{
			fakehost.CardAlarm: {"health=Critical", "codes=80E01801 80E18402"},
		}},
		{name: "ecc_a2", model: fakehost.A2, line: "npu-smi info -t ecc -i 1", faults: faults{fakehost.CardAlarm: {"card=1"}}},
		{name: "usages_a2", model: fakehost.A2, line: "npu-smi info -t usages -i 1"},
		{name: "common_310p", model: fakehost.P310, line: "npu-smi info -t common -i 8"},
		{name: "memory_a3", model: fakehost.A3, line: "npu-smi info -t memory -i 1 -c 0"},
		{name: "temp_a2", model: fakehost.A2, line: "npu-smi info -t temp -i 1"},
		{name: "power_a2", model: fakehost.A2, line: "npu-smi info -t power -i 1"},
		{name: "proc_mem_a2", model: fakehost.A2, line: "npu-smi info -t proc-mem -i 0", faults: faults{fakehost.BusyProcess: nil}},
		{name: "topo_duo", model: fakehost.Duo310P, line: "npu-smi info -t topo"},
		{name: "not_supported", model: fakehost.A2, line: "npu-smi info -t ecc -i 0", faults: faults{fakehost.NotSupported: {"type=ecc"}}},
		{name: "version", model: fakehost.A2, line: "npu-smi -v"},
		{name: "no_arguments", model: fakehost.A2, line: "npu-smi", status: 215},
		{name: "unknown_command", model: fakehost.A2, line: "npu-smi inof", status: 211},
		{name: "unknown_type", model: fakehost.A2, line: "npu-smi info -t nonsense -i 0", status: 215},
		{name: "driver_down", model: fakehost.A2, line: "npu-smi -v", status: 187, faults: faults{fakehost.DriverDown: nil}},
		{name: "driver_down_log", model: fakehost.A2, line: "npu-smi info", status: 187, faults: faults{fakehost.DriverDown: {"log=1"}}},
		{name: "device_used", model: fakehost.A2, line: "npu-smi info", status: 172, faults: faults{fakehost.DriverDown: {"code=-8020"}}},
		{name: "garbage", model: fakehost.A2, line: "npu-smi info", faults: faults{fakehost.SmiGarbage: nil}},
		{name: "hccs_a2", model: fakehost.A2, line: "npu-smi info -t hccs -i 0 -c 0"},
		{name: "hccs_down", model: fakehost.A3, line: "npu-smi info -t hccs -i 7 -c 1", faults: faults{fakehost.HCCSDown: nil}},
		{name: "hccs_310p", model: fakehost.P310, line: "npu-smi info -t hccs -i 8 -c 0"},
		{name: "hccn_busy", model: fakehost.A2, line: "hccn_tool -i 0 -link -g", status: 11, faults: faults{fakehost.HCCNBusy: nil}},
		{name: "hccn_stat_errors", model: fakehost.A2, line: "hccn_tool -i 7 -stat -g", faults: faults{fakehost.PortErrors: nil}},
		{name: "dmesg_errors", model: fakehost.A2, line: "dmesg", faults: faults{fakehost.KernelErrors: nil}},
		{name: "clock_unsynced", model: fakehost.A2, line: "timedatectl status", faults: faults{fakehost.ClockUnsynced: nil}},
		{name: "dmi_performance", model: fakehost.A2, option: fakehost.Options{Arch: "aarch64"}, line: "ascend-dmi --dg --se performanceCheck -q", faults: faults{fakehost.DMIFails: nil}},
		{name: "dmi_stress", model: fakehost.A3, option: fakehost.Options{Arch: "aarch64"}, line: "ascend-dmi --dg --se stressTest -q"},
		{name: "dmi_asks", model: fakehost.A3, line: "ascend-dmi --dg --se stressTest"},
		{name: "dmi_wrong", model: fakehost.A3, line: "ascend-dmi --dg --se everything -q", status: 3},
		{name: "hccn_link_up", model: fakehost.A2, line: "hccn_tool -i 0 -link -g"},
		{name: "hccn_link_down", model: fakehost.A3, line: "hccn_tool -i 15 -link -g", faults: faults{fakehost.LinkDown: nil}},
		{name: "hccn_net_health_down", model: fakehost.A3, line: "hccn_tool -i 2 -net_health -g", faults: faults{fakehost.LinkDown: {"card=1"}}},
		{name: "hccn_ip", model: fakehost.A2, line: "hccn_tool -i 3 -ip -g"},
		{name: "hccn_optical", model: fakehost.A2, line: "hccn_tool -i 3 -optical -g"},
		{name: "hccn_link_stat", model: fakehost.A2, line: "hccn_tool -i 3 -link_stat -g"},
		{name: "hccn_invalid_device", model: fakehost.A2, line: "hccn_tool -i 9 -link -g", status: 3},
		{name: "hccn_unknown_item", model: fakehost.A2, line: "hccn_tool -i 0 -linc -g", status: 1},
		{name: "hccn_310p", model: fakehost.P310, line: "hccn_tool -i 0 -link -g", status: 13},
		{name: "upgrade_tool_version", model: fakehost.P310, line: "upgrade-tool --device_index -1 --component -1 --version"},
		{name: "upgrade_tool_one_component", model: fakehost.A2, line: "upgrade-tool --device_index 2 --component 0 --version"},
		{name: "upgrade_tool_status", model: fakehost.P310, line: "upgrade-tool --device_index -1 --status"},
		{name: "upgrade_tool_boot_status", model: fakehost.A2, line: "upgrade-tool --device_index 0 --boot_status"},
		{name: "upgrade_tool_mini_devices", model: fakehost.A2, line: "upgrade-tool --mini_devices"},
		{name: "list_sparse", model: fakehost.P310, option: fakehost.Options{Sparse: true}, line: "npu-smi info -l"},
		{name: "ecc_310b_errors", model: fakehost.B310, line: "npu-smi info -t ecc -i 0", faults: faults{fakehost.ECCErrors: nil}},
		{name: "health_310_silent", model: fakehost.I310, line: "npu-smi info -t health -i 5", faults: faults{fakehost.ChipSilent: {"chip=2"}}},
		{name: "health_950_silent", model: fakehost.A5, line: "npu-smi info -t health -i 7", status: 197, faults: faults{fakehost.ChipSilent: nil}},
		{name: "info_chip_silent", model: fakehost.Duo310P, line: "npu-smi info", faults: faults{fakehost.ChipSilent: {"card=8", "chip=1"}}},
		{name: "health_chip_silent", model: fakehost.A2, line: "npu-smi info -t health -i 7 -c 0", status: 197, faults: faults{fakehost.ChipSilent: nil}},
		{name: "health_mcu_alarm", model: fakehost.Duo310P, line: "npu-smi info -t health -i 16", faults: faults{fakehost.MCUAlarm: nil}},
		{name: "health_950_chip", model: fakehost.A5, line: "npu-smi info -t health -i 7 -c 0", status: 215},
		{name: "usages_memory_held", model: fakehost.A2, line: "npu-smi info -t usages -i 7", faults: faults{fakehost.MemoryHeld: nil}},
		{name: "proc_mem_memory_held", model: fakehost.A2, line: "npu-smi info -t proc-mem -i 7", faults: faults{fakehost.MemoryHeld: nil}},
		{name: "proc_mem_no_name", model: fakehost.A2, line: "npu-smi info -t proc-mem -i 0", faults: faults{fakehost.BusyProcess: {"name="}}},
		{name: "optical_dark_no_limits", model: fakehost.A2, line: "hccn_tool -i 7 -optical -g", faults: faults{fakehost.PortDark: {"limits=none"}}},
		{name: "optical_dim", model: fakehost.A2, line: "hccn_tool -i 7 -optical -g", faults: faults{fakehost.PortDim: nil}},
		{name: "link_stat_errors", model: fakehost.A2, line: "hccn_tool -i 7 -link_stat -g", faults: faults{fakehost.PortErrors: nil}},
		{name: "link_stat_down", model: fakehost.A2, line: "hccn_tool -i 7 -link_stat -g", faults: faults{fakehost.LinkDown: nil}},
		{name: "hccn_950_as_910", model: fakehost.A5, line: "hccn_tool -i 0 -link -g", status: 1},
		{name: "dmesg_card_lost", model: fakehost.A2, line: "dmesg", faults: faults{fakehost.KernelLosesCard: {"device=6"}}},
		{name: "dmi_doubtful", model: fakehost.A2, option: fakehost.Options{Arch: "aarch64"}, line: "ascend-dmi --dg --se performanceCheck -q", faults: faults{
			fakehost.DMIFails: {"item=aiflops", "word=FAIL", "says=Some processes are seizing the NPU. Test results may be affected."},
		}},
		{name: "mcu_upgrade_vm", model: fakehost.A2, option: fakehost.Options{Place: fakehost.VM}, line: "npu-smi upgrade -b mcu -i 0"},
		{name: "upgrade_tool_container", model: fakehost.A2, option: fakehost.Options{Place: fakehost.Container}, line: "upgrade-tool --device_index -1 --status", status: 1},
		{name: "docker_inspect", model: fakehost.A2, line: "docker inspect 3f1c9a5d7e20", faults: faults{fakehost.BusyContainer: nil}},
		{name: "docker_ps", model: fakehost.A2, line: "docker ps -q", faults: faults{fakehost.BusyContainer: nil}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := fakehost.ForTest(t, tt.model, tt.option)
			set(t, h, tt.faults)
			words := strings.Fields(tt.line)
			var out bytes.Buffer
			status := tool.Run(h, words[0], words[1:], &out)
			if status != tt.status {
				t.Errorf("%s exits with %d, want %d", tt.line, status, tt.status)
			}
			golden.Compare(t, filepath.Join("testdata", tt.name+".golden"), out.String())
		})
	}
}

func TestInfoTablesAreAsWideAsTheRealOnes(t *testing.T) {
	widths := map[string]int{
		"info_a2_layout_e": 98, "info_a3_layout_f": 98, "info_a2_layout_g": 116,
		"info_310p_layout_d": 106, "info_duo_layout_d": 106,
	}
	for name, want := range widths {
		raw, err := os.ReadFile(filepath.Join("testdata", name+".golden"))
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(raw)) {
			if got := len(strings.TrimSuffix(line, "\n")); got != want {
				t.Errorf("%s: a line has %d columns, want %d: %s", name, got, want, line)
			}
		}
	}
}

func TestToolsOnDiskAreProgramsThatKeepAJournal(t *testing.T) {
	h := fakehost.ForTest(t, fakehost.A2, fakehost.Options{})
	out, err := exec.Command(h.Path("/usr/local/sbin/npu-smi"), "info", "-l").Output()
	if err != nil || !bytes.HasPrefix(out, []byte("\tTotal Count                    : 8\n")) {
		t.Fatalf("npu-smi info -l: %v\n%s", err, out)
	}
	set(t, h, faults{fakehost.DriverDown: {"times=1"}})
	var ended *exec.ExitError
	if err := exec.Command(h.Path("/usr/local/sbin/npu-smi"), "info").Run(); !errors.As(err, &ended) || ended.ExitCode() != 187 {
		t.Errorf("with the driver down npu-smi ends with %v, want exit status 187", err)
	}
	if err := exec.Command(h.Path("/usr/local/sbin/npu-smi"), "info").Run(); err != nil {
		t.Errorf("a fault with times=1 applies a second time: %v", err)
	}
	journal, err := h.Events()
	if err != nil {
		t.Fatal(err)
	}
	starts := journal.Of(fakehost.KindStart, "npu-smi")
	if len(starts) != 3 || starts[0].PID == 0 || !cmp.Equal(starts[0].Argv, []string{"info", "-l"}) {
		t.Errorf("the journal has %+v, want three starts with arguments and pid", starts)
	}
	ends := journal.Of(fakehost.KindEnd, "npu-smi")
	if len(ends) != 3 || *ends[1].Exit != 187 {
		t.Errorf("the journal has the ends %+v, want three, the second with 187", ends)
	}
}

func TestTheLoaderSaysOnStandardErrorWhatIsMissing(t *testing.T) {
	h := fakehost.ForTest(t, fakehost.A2, fakehost.Options{})
	set(t, h, faults{fakehost.LibraryMissing: nil})
	var stdout, stderr bytes.Buffer
	cmd := exec.Command(h.Path("/usr/local/sbin/npu-smi"), "info")
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	var ended *exec.ExitError
	if err := cmd.Run(); !errors.As(err, &ended) || ended.ExitCode() != 127 {
		t.Errorf("npu-smi ends with %v, want exit status 127", err)
	}
	if stdout.Len() > 0 || !strings.Contains(stderr.String(), "libc_sec.so: cannot open shared object file") {
		t.Errorf("npu-smi says %q on standard output and %q on standard error", stdout.String(), stderr.String())
	}
}

func TestFloodPrintsTheMegabytesItWasToldTo(t *testing.T) {
	h := fakehost.ForTest(t, fakehost.A2, fakehost.Options{})
	set(t, h, faults{fakehost.SmiFlood: {"mb=3"}})
	var out bytes.Buffer
	if status := tool.Run(h, "npu-smi", []string{"info"}, &out); status != 0 || out.Len() != 3<<20 {
		t.Errorf("npu-smi exits with %d after %d bytes, want 0 after %d", status, out.Len(), 3<<20)
	}
}

func TestHangEndsWhenItWasTold(t *testing.T) {
	h := fakehost.ForTest(t, fakehost.A2, fakehost.Options{})
	set(t, h, faults{fakehost.SmiHang: {"seconds=0"}})
	var out bytes.Buffer
	if status := tool.Run(h, "npu-smi", []string{"info"}, &out); status != 0 || out.Len() != 0 {
		t.Errorf("a hanging npu-smi exits with %d and prints %q, want 0 and nothing", status, out.String())
	}
}

func set(t *testing.T, h *fakehost.Host, all faults) {
	t.Helper()
	for f, args := range all {
		if err := h.SetFault(f, args...); err != nil {
			t.Fatal(err)
		}
	}
}

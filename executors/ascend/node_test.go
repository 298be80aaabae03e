package ascend_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"devserver-agent/executors"
	"devserver-agent/executors/ascend"
	"devserver-agent/test/hosttest"
)

// host is a host whose npu-smi is a shell script.
func host(t *testing.T, script string) *hosttest.Host {
	t.Helper()
	root := t.TempDir()
	if script != "" {
		write(t, root, "usr/local/bin/npu-smi", "#!/bin/sh\n"+script)
	}
	return hosttest.New(t, root)
}

func write(t *testing.T, root, name, text string) {
	t.Helper()
	file := filepath.Join(root, name)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
}

func TestNodeAsksAndUnderstands(t *testing.T) {
	h := host(t, `case "$*" in
"info -l") printf '\tTotal Count : 1\n\n\tNPU ID : 8\n\tChip Count : 2\n' ;;
"info -t board -i 8") printf '\tNPU ID : 8\n\tSoftware Version : 24.1.1.1\n\tFirmware Version : 7.5.0.5.220\n' ;;
"info -t health -i 8") printf '\tNPU ID : 8\n\tChip Count : 2\n\n\tHealth : OK\n\tChip ID : 0\n\n\tHealth : Warning\n\tChip ID : 1\n\n\tHealth : NA\n\tChip Name : MCU\n' ;;
"info -t health -i 8 -c 1") printf '\tHealth Status : Warning\n\tError Code : 80e01801\n' ;;
*) echo "asked for $*"; exit 1 ;;
esac
`)
	node, ctx := ascend.NewNode(h), context.Background()
	cards, err := node.Cards(ctx)
	if err != nil || len(cards.Cards) != 1 || cards.Cards[0] != (ascend.Card{ID: 8, Chips: 2}) {
		t.Errorf("cards are %v, %v", cards, err)
	}
	board, err := node.Board(ctx, 8)
	if err != nil || board.Driver() != "24.1.1.1" || board.Firmware() != "7.5.0.5.220" {
		t.Errorf("board is %v, %v", board, err)
	}
	health, err := node.Health(ctx, 8, 0)
	if err != nil || health.State != ascend.StateWarning || !slices.Equal(health.Codes(), []string{"80E01801"}) || health.Chips[1].Codes == nil {
		t.Errorf("health is %v, %v", health, err)
	}
}

func TestNodeNamesTheToolAndWhatItSaid(t *testing.T) {
	for name, c := range map[string]struct {
		script string
		want   error
		text   string
	}{
		"tool is not there": {"", executors.ErrNotFound,
			"npu-smi info -l: tool not found on this host"},
		"tool hangs": {"exec sleep 60", executors.ErrTimeout,
			"npu-smi info -l: did not end in time"},
		"tool floods": {"exec cat /dev/zero", executors.ErrFlood,
			"npu-smi info -l: printed more than is reasonable"},
		"driver is down": {"echo 'dcmi module initialize failed. ret is -8005'; exit 187", ascend.ErrDriverDown,
			`npu-smi info -l: the driver does not run ("dcmi module initialize failed. ret is -8005"), exit status 187`},
		"tool prints nothing": {"exit 0", ascend.ErrGarbled,
			"npu-smi info -l: the answer cannot be understood: it is not a list of cards"},
		"tool lists and then fails": {`printf '\tTotal Count : 1\n\n\tNPU ID : 8\n'; exit 210`, ascend.ErrFailed,
			`npu-smi info -l: ended with an error ("Total Count : 1"), exit status 210`},
		"driver has no card": {`printf '\tTotal Count : 0\n'`, ascend.ErrNoCards,
			`npu-smi info -l: no NPU card on this host ("Total Count : 0")`},
	} {
		t.Run(name, func(t *testing.T) {
			h := host(t, c.script)
			if errors.Is(c.want, executors.ErrTimeout) {
				h.QueryTimeout = 50 * time.Millisecond
			}
			_, err := ascend.NewNode(h).Cards(context.Background())
			var tool *ascend.ToolError
			if !errors.Is(err, c.want) || !errors.As(err, &tool) || err.Error() != c.text {
				t.Errorf("got  %v\nwant %s", err, c.text)
			}
		})
	}
}

func TestNodeEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(executors.ErrCancelled)
	if _, err := ascend.NewNode(host(t, "exec sleep 60")).Board(ctx, 0); !errors.Is(err, executors.ErrCancelled) {
		t.Errorf("got %v", err)
	}
}

func TestNodeReadsWhatIsInstalled(t *testing.T) {
	h, root := rooted(t)
	node := ascend.NewNode(h)

	if _, err := node.InstalledDriver(); !errors.Is(err, fs.ErrNotExist) || err.Error() != "read /usr/local/Ascend/driver/version.info: file does not exist" {
		t.Errorf("without a driver: %v", err)
	}
	write(t, root, "usr/local/Ascend/driver/version.info", "Version=24.1.RC3.10\r\ncompatible_version_fw=[7.5.0,7.9.99]\r\n")
	write(t, root, "usr/local/Ascend/firmware/version.info", "firmware_version=1.0\n")
	driver, err := node.InstalledDriver()
	if err != nil || driver.Version != "24.1.rc3.10" {
		t.Errorf("driver is %v, %v", driver, err)
	}
	if _, err := node.InstalledFirmware(); err == nil || err.Error() != "read /usr/local/Ascend/firmware/version.info: has no Version" {
		t.Errorf("firmware without a version: %v", err)
	}

	write(t, root, "etc/ascend_install.info", "Driver_Install_Path_Param=/opt/npu/\nFirmware_Install_Path_Param=/opt/npu\n")
	write(t, root, "opt/npu/driver/version.info", "Version=25.2.1\n")
	write(t, root, "opt/npu/firmware/version.info", "Version=7.7.0.9.220\n")
	if driver, err := node.InstalledDriver(); err != nil || driver.Version != "25.2.1" {
		t.Errorf("driver in another place is %v, %v", driver, err)
	}
	if firmware, err := node.InstalledFirmware(); err != nil || firmware.Version != "7.7.0.9.220" {
		t.Errorf("firmware in another place is %v, %v", firmware, err)
	}
}

func rooted(t *testing.T) (*hosttest.Host, string) {
	t.Helper()
	root := t.TempDir()
	return hosttest.New(t, root), root
}

func TestDevicesOnTheBus(t *testing.T) {
	h, root := rooted(t)
	node := ascend.NewNode(h)
	if devices, err := node.Devices(); err != nil || len(devices) != 0 {
		t.Errorf("without a bus: %v, %v", devices, err)
	}
	for address, ids := range map[string][3]string{
		"0000:C1:00.0": {"0x19e5", "0xd802", "0x120000"}, // an NPU
		"0000:01:00.0": {"0x19e5", "0xd802", "0x120000"}, // another
		"0000:02:00.0": {"0x19e5", "0xd80a", "0x120000"}, // of a family to come
		"0000:03:00.0": {"0x19e5", "0x1822", "0x020000"}, // a network adapter of Huawei's
		"0000:04:00.0": {"0x8086", "0xd802", "0x120000"}, // of another vendor
	} {
		// On a real host the entries of the bus are links into the tree of devices.
		dir := "sys/devices/pci0000:00/" + address
		for i, name := range []string{"vendor", "device", "class"} {
			write(t, root, dir+"/"+name, ids[i]+"\n")
		}
		link := filepath.Join(root, "sys/bus/pci/devices", address)
		if err := os.MkdirAll(filepath.Dir(link), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink("../../../devices/pci0000:00/"+address, link); err != nil {
			t.Fatal(err)
		}
	}
	want := []ascend.Device{
		{Address: "0000:01:00.0", ID: 0xd802, Chip: ascend.Chip910B},
		{Address: "0000:02:00.0", ID: 0xd80a},
		{Address: "0000:c1:00.0", ID: 0xd802, Chip: ascend.Chip910B},
	}
	devices, err := node.Devices()
	if diff := cmp.Diff(want, devices); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	write(t, root, "sys/devices/pci0000:00/0000:C1:00.0/device", "?")
	if _, err := node.Devices(); err == nil {
		t.Error("a device without an id was passed over")
	}
}

func TestChipFamilies(t *testing.T) {
	want := "310 310b 310p 910 910b 910_93 950"
	got := ""
	for _, id := range []uint16{0xd100, 0xd107, 0xd500, 0xd801, 0xd802, 0xd803, 0xd806} {
		got += fmt.Sprint(" ", ascend.ChipOf(id))
	}
	if got[1:] != want || ascend.ChipOf(0x1822) != "" {
		t.Errorf("families are%s", got)
	}
}

func TestNodeAsksAboutPortsAsTheirChipsWantIt(t *testing.T) {
	h := host(t, "")
	write(t, h.Root(), "usr/local/bin/hccn_tool", `#!/bin/sh
case "$*" in
"-i 3 -link -g") echo 'link status: UP' ;;
"-g -link -i 3 -u 1 -p 4") echo 'link status: DOWN' ;;
"-i 3 -net_health -g") echo 'net health status: Fault' ;;
"-i 3 -ip -g") printf 'ipaddr:192.0.2.13\nnetmask:255.255.255.0\n' ;;
"-i 3 -stat -g") printf 'packet statistics:\nmac_rx_bad_pkt_num:7\n' ;;
"-i 9 -link -g") echo 'Get invalid device id.'; exit 3 ;;
*) echo "asked for $*"; exit 1 ;;
esac
`)
	node, ctx := ascend.NewNode(h), context.Background()
	old, several := ascend.Port{Chip: 3}, ascend.Port{Chip: 3, Several: true, Die: 1, Number: 4}
	if up, err := node.LinkUp(ctx, old); !up || err != nil {
		t.Errorf("link is up: %t, %v", up, err)
	}
	if up, err := node.LinkUp(ctx, several); up || err != nil {
		t.Errorf("link of a 950 is up: %t, %v", up, err)
	}
	if word, err := node.NetHealth(ctx, old); word != "Fault" || err != nil {
		t.Errorf("net health is %q, %v", word, err)
	}
	if address, err := node.Address(ctx, old); address.String() != "192.0.2.13/24" || err != nil {
		t.Errorf("address is %v, %v", address, err)
	}
	counters, err := node.Port(ctx, ascend.PortCounters, old)
	if bad, _ := counters.Get("MAC_RX_bad_pkt_num"); bad != "7" || err != nil {
		t.Errorf("counters are %v, %v", counters, err)
	}
	if _, err := node.LinkUp(ctx, ascend.Port{Chip: 9}); !errors.Is(err, ascend.ErrNoCard) {
		t.Errorf("the link of a chip that is not there gives %v", err)
	}
}

func TestNodeAsksForTablesAndReadings(t *testing.T) {
	h := host(t, `case "$*" in
"info") cat "$0.table" ;;
"info -m") printf '\tNPU ID     Chip ID     Chip Logic ID     Chip Name\n\t8          0           0                 Ascend 310P3\n' ;;
"info -t temp -i 8") printf '\tNPU ID : 8\n\tNPU Temperature (C) : 44\n\tChip ID : 0\n' ;;
"info -t proc-mem -i 8") printf '\tNPU ID : 8\n\tProcess id:7  Process name:python3  Process memory(MB):9\n\tChip ID : 0\n' ;;
*) echo "asked for $*"; exit 1 ;;
esac
`)
	table, err := os.ReadFile("testdata/summary/layout-d-310p-ids-with-gaps.txt")
	if err != nil {
		t.Fatal(err)
	}
	write(t, h.Root(), "usr/local/bin/npu-smi.table", string(table))
	node, ctx := ascend.NewNode(h), context.Background()
	if summary, err := node.Summary(ctx); err != nil || len(summary.Chips) != 2 || summary.Chips[1].Card != 2144 {
		t.Errorf("the table is %+v, %v", summary, err)
	}
	if mapping, err := node.Mapping(ctx); err != nil || len(mapping) != 1 || mapping[0].Name != "Ascend 310P3" {
		t.Errorf("the mapping is %v, %v", mapping, err)
	}
	readings, err := node.Readings(ctx, ascend.Topic("temp"), 8)
	if err != nil || len(readings.Chips) != 1 {
		t.Fatalf("readings are %v, %v", readings, err)
	}
	if warm, err := readings.Chips[0].Figure("Temperature(C)", "NPU Temperature(C)"); err != nil || warm == nil || *warm != 44 {
		t.Errorf("the temperature is %v, %v", warm, err)
	}
	if processes, err := node.Processes(ctx, 8); err != nil || len(processes.Processes) != 1 || processes.Processes[0].PID != 7 {
		t.Errorf("the processes are %v, %v", processes, err)
	}
}

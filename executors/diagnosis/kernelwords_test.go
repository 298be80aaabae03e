package diagnosis

import (
	"strings"
	"testing"
)

func TestLinesOfTheKernelsLogThatSayTrouble(t *testing.T) {
	for line, trouble := range map[string]bool{
		"[ascend] [drv_pcie] Device is abnormal. (dev_id=6; msg_type=3)":                                       true,
		"[ascend] [devdrv] send_msg unsuccessful. (ret=-19; dev_id=6)":                                         true,
		"[ascend] [devdrv] Query state. (ret=-19; dev_id=6)":                                                   true,
		"[ascend] [hdc] Session close. (reason=2; ret=-110)":                                                   true,
		"[ascend] [drv_pcie] Heart beat is not changed. (dev_id=2)":                                            true,
		"[ascend] [drv_pcie] device offline (dev_id=2)":                                                        true,
		"[ascend] [ts] Ts exception, report to host. (devid=1)":                                                true,
		"[ascend] [drv_pcie] Heartbeat lost, notify success. (devid=1)":                                        true,
		"[ascend] [hdc] Wait timeout. (devid=1; timeout=3000)":                                                 true,
		"drv_pcie_host: probe of 0000:c1:00.0 failed with error -12":                                           true,
		"[ascend] [ERROR] [drv_pcie] [devdrv_wait 44] device 6 start up timeout.":                              true,
		"[ascend] [ERROR] [drv_trs] create queue error, no memory. (devid=6)":                                  true,
		"[ascend] [drv_dms] no heart beat from device 6.":                                                      true,
		"[ascend] [drv_pcie] device 6 link down.":                                                              true,
		"[ascend] [drv_pcie] read reg all 0xffffffff, device 6 is dead.":                                       true,
		"[ascend] [ERROR] [drv_hdc] session init error (dev 6).":                                               true,
		"[ascend] [drv_pcie] unable to access config space of device 6.":                                       true,
		"drv_seclib_host: module verification failed: signature and/or required key missing - tainting kernel": false,
		"[ascend] [drv_pcie] register panic notifier success":                                                  false,
		"[ascend] [drv_dms] self test: failed num 0":                                                           false,
		"[ascend] [hdc] set session timeout to 3000 ms":                                                        false,
		"[ascend] [drv_pcie] pcie error handlers installed":                                                    false,
		"[ascend] [drv_pcie] heart beat timer enabled":                                                         false,
		"[ascend] [devmm] lost pages: none":                                                                    false,
		"[ascend] [hdc] Session opened. (devid=1; timeout=3000)":                                               false,
		"[ascend] [drv_pcie] Heartbeat start success. (dev_id=0)":                                              false,
		"[ascend] [drv_pcie] Register exception callback success. (dev_id=0)":                                  false,
		"[ascend] [stat] Counters. (error_cnt=0; lost=0; fail=0)":                                              false,
		"[ascend] [esched] Wait ended by a signal. (ret=-512)":                                                 false,
		"[ascend] [devmm] Device process exited. (hostpid=-1; times=0)":                                        false,
		"[ascend] [davinci_intf] Release module success. (module_name=\"SVM\")":                                false,
		"[ascend] [devdrv_error_handle_init 12] Initialised without error.":                                    false,
		"[ascend] [devmm] Devmm_set_process details. (status=0; proc_idx=2)":                                   false,
		"[ascend] [drv_pcie] Get device status. (ret=0; status=normal; devid=11)":                              false,
	} {
		if ok := ofDriver.MatchString(line) && isTrouble(line); ok != trouble {
			t.Errorf("%q: trouble is %v", line, ok)
		}
	}
}

// The lines are in the style of the driver's, which puts the module, the function with
// its line and the thread before what it says, and values in parentheses after it.
const (
	saysPCIe = "[ 7301.551020] [ascend] [drv_pcie] [devdrv_error_count 1239] <kworker/u385:2:20911> "
	saysHDC  = "[ 7301.551020] [ascend] [hdc] [hdc_timeout_show 88] <swapper/3:0> "
)

func TestLinesOfTheKernelsLogThatAreTrouble(t *testing.T) {
	for line := range strings.Lines(`Uncorrectable ECC of HBM. (devid=2)
Device 3 dropped off.
NPU fell off the bus. (dev_id=3)
Device is disconnected. (dev_id=0)
Peer disconnected, session closed. (devid=4)
Device not ready. (dev_id=1)
Device isn't ready, start later. (dev_id=1)
Task is stuck. (devid=5; streamid=12)
Send message. (ret:0xffffffed; devid=1)
Send message (ret -19)
Query, ret: -110
Create session. (result = -12)
Get board info. (ret=0xFFFFFFFB)
Read packet. (lost_count=5)
Statistics. (rx_lost_cnt=7; tx_lost_cnt=0)
Lost pkt 3
Self test: failed num 2
Counters. (error_cnt:1)
Timeout count 4. (devid=2)
Device 3 does not answer.
Device didn't respond to the message. (devid=7)
Cannot access config space. (devid=6)
Init error. (devid=1)
Register exception. (devid=1)
Create queue timeout. (devid=0)
Start error, no resource. (devid=0)
No memory, exception of device 3.
Register notifier success, device error. (dev_id=3)
Exception handler thread timeout. (devid=2)
Error handler failed. (devid=2)
Heartbeat timer lost. (devid=2)
Heartbeat missed. (devid=2)
Device heartbeat is not changed. (devid=2)
Hot reset: device 3 offline, timed out.
Hot reset failed. (devid=3)
Port down. (devid=3)
Device went offline. (devid=3)
Firmware reports a fatal error. (devid=3; err_code=0x8101)
Load image. (errno=5)
Wait for device startup timed out. (timeout=3000)
No such device. (dev_id=4)
Ctrl CPU crashed. (devid=4)
All registers are 0xffffffff. (devid=4)
Memory is corrupted. (devid=4)
Surprise down. (devid=4)
TS is hanging. (devid=4)
Device 4 disconnects.
Dropped packet count: 4
Link status: down (devid=2)
Query state. (ret_val=-1)
Loss of signal, lane 2. (devid=2)
Failed to register exception callback.
Device is in an unrecoverable state.
Fault event report. (devid=5; event_id=0x80e01801; severity=3; assertion=1)
Fault event report. (devid=5; event_id=0x80e01801; severity=1; assertion=2)
Device does not exist. (dev_id=5)
Device 5 is not exist. (msg_type=3)
Ts is down. (devid=5; tsid=0)
Device 5 went down.
Message overtime. (devid=5)
Wait for reply over time. (devid=5)
Device is removed unexpectedly. (devid=5)
Task is suspended by fault. (devid=5)
AIC fault. (devid=5; core=3)
HBM multi-bit ecc occurred. (devid=5)
Double bit ECC was detected. (devid=5)
Hccs link is broken. (devid=5)
HCCS lane degraded. (devid=5; lane=3)
Chip is overheated. (devid=5)
Chip overheats. (devid=5)
Send message no succ. (devid=5)
Reset was not successful. (devid=5)
Invalid device status. (devid=5)
Status of device is invalid. (devid=5)
Page fault illegal. (devid=5; va=0x12345)
Illegal address is accessed. (devid=5)
Unknown symbol devdrv_get_ops
Device status changed from online to offline. (devid=5)
Process exit abnormal. (devid=5)
Last reset reason is 3, abnormal flag is 1.
Abnormal check failed. (devid=5)
Get info failed. (ret=-95)
Get fault event failed. (devid=5)
Device 6 disappeared.
Unexpected reset of device. (devid=5)
`) {
		for _, before := range []string{saysPCIe, saysHDC} {
			if line := before + strings.TrimSpace(line); !ofDriver.MatchString(line) || !isTrouble(line) {
				t.Errorf("no trouble: %q", line)
			}
		}
	}
}

func TestLinesOfTheKernelsLogThatAreRoutine(t *testing.T) {
	for line := range strings.Lines(`Device offline callback registered.
Register device offline callback. (dev_id=1)
Exception handler thread started.
Exception handler thread created. (devid=1)
Error handlers are installed.
Timeout worker created. (devid=1)
Panic notifier registered.
Disconnect callback is set. (devid=1)
Heartbeat interval 5
Heartbeat interval is 5 s. (devid=1)
Heartbeat thread started. (devid=1)
Heartbeat start. (devid=1)
Lost pkt 0
Lost packets: 0
Failed 0
Total 12, failed 0, timeout 0.
Statistics. (rx_lost_cnt=0; tx_drop=0; error_count=0x0)
Hot reset: offline then online, done
Hot reset begins: device 3 offline. (dev_id=3)
Set error code shield list
Set error code shield list success. (devid=0; num=4)
Error mask is set. (mask=0xffffffff)
Error injection is off.
Exception queue created. (depth=64)
Timeout threshold 300. (devid=0)
Timeout: 3000 ms
Set timeout to 3000 ms.
Wait ended. (ret=-4)
Wait ended. (ret=0xfffffe00)
Poll again. (ret=-11; devid=0)
Query. (ret=0; errno=0; err_code=0x0)
Query. (ret:0x0)
Release process. (hostpid=-1; fd=-1)
Initialised without error.
There were no errors. (devid=0)
0 errors, 0 failures
Device is not abnormal. (devid=0)
Device ready. (devid=0)
Device online. (devid=0)
Session connected. (devid=0)
Link is up. (devid=0)
Fault events: none. (lost events: none)
Online/offline state is reported. (devid=0)
Error log buffer is 64 KiB.
Bit error rate: 0
Self test passed. (failed_num=0; total=12)
Device answers. (devid=0)
AER error reporting enabled.
Error interrupt registered. (irq=88)
Stuck check thread created.
Set query timeout 300 ms.
Timeouts are disabled.
Reset: offline, online
Log level: error
Memory was allocated. (size=0xfffff000)
Device is online. (dev_id=5; last_status=offline)
Device is online. (dev_id=5; previous state: dead)
Device status changed from offline to online. (devid=5)
Last reset reason is 0, abnormal flag is 0.
Process exit abnormal check start.
Heartbeat lost check finished. (devid=0)
Release all resources of the lost process.
Recycle memory of dead process. (pid=4102)
Not support this cmd. (ret=-95)
Query. (ret=0xffffffa1)
Fault event report. (devid=5; event_id=0x80e01801; severity=3; assertion=0)
Fault event report. (devid=5; event_id=0x80e01801; severity=0; assertion=2)
Fault event callback registered.
Fault handler thread started. (devid=5)
Faults: 0
No fault. (devid=0)
Fault is cleared. (devid=5)
Page fault is handled. (va=0x12345)
Statistics. (page_fault_cnt=18; fault_num=0)
Process does not exist. (pid=4102)
The va is not exist. (va=0x12345)
Use default config. (devid=0)
Single-bit ecc correction is enabled.
Degraded lanes: 0
Device is powered down.
Get fault event success. (devid=5)
Clear fault code of device. (devid=5)
Dms fault event distribute init ok.
Process exited, release lost session.
`) {
		for _, before := range []string{saysPCIe, saysHDC} {
			if line := before + strings.TrimSpace(line); isTrouble(line) {
				t.Errorf("trouble: %q", line)
			}
		}
	}
}

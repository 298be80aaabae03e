package ascend

import (
	_ "embed" // the table of faults
	"strings"
	"sync"
)

// Fault is the class that Huawei puts a fault code of an NPU in, by what has to be
// done about it.
type Fault string

// The classes, as MindCluster's device plugin names them.
const (
	FaultIgnored        Fault = "NotHandle"
	FaultSubHealth      Fault = "SubHealth"
	FaultRestartRequest Fault = "RestartRequest"
	FaultRestartJob     Fault = "RestartBusiness"
	FaultResetWhenIdle  Fault = "FreeRestartNPU"
	FaultReset          Fault = "RestartNPU"
	FaultIsolate        Fault = "SeparateNPU"
)

// faultCodes has a class on a line, the milder first, and its codes on lines that
// are indented. Its facts are those of faultCode.json in Ascend/mind-cluster
// (component/ascend-device-plugin/build, 2026); ModelArts' page on
// NPUErrorCodeWarning lists the same classes.
//
//go:embed faults.txt
var faultCodes string

var faults = sync.OnceValue(func() map[string]Fault {
	classes := map[string]Fault{}
	var class Fault
	for line := range strings.Lines(faultCodes) {
		if !strings.HasPrefix(line, " ") {
			class = Fault(strings.TrimSpace(line))
			continue
		}
		for _, code := range strings.Fields(line) {
			classes[code] = class // a code of two classes counts as the graver one
		}
	}
	return classes
})

// FaultOf is the class of a fault code, in either case and with or without 0x; "" for
// one that the table does not have.
func FaultOf(code string) Fault {
	return faults()[strings.TrimPrefix(strings.ToUpper(strings.TrimSpace(code)), "0X")]
}

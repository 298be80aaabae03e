// Package failpoint names the places where the crash tests cut the agent off.
//
// In a normal build Hit is empty and costs nothing. Built with the tag "faults",
// the process kills itself (SIGKILL, as a crash would) at the place that
// DEVSERVER_AGENT_FAILPOINT names, as NAME or NAME:N for the Nth time it passes.
package failpoint

// The named places, in the order a task passes them. Each is a line of the
// crash order in docs/durability.md.
const (
	BeforeAccept    = "before-accept"    // a statement was verified, nothing is on disk
	Accepted        = "accepted"         // the task is on disk, nobody was told
	StepPrepared    = "step-prepared"    // the step's folder is written, its shim not started
	StepStarted     = "step-started"     // the program runs
	StepEnded       = "step-ended"       // the program's end is on disk, not in the journal
	RestartRecorded = "restart-recorded" // a restart is on disk, nobody was asked for it
	RestartAsked    = "restart-asked"    // the host was asked to restart and is still up
	Verdict         = "verdict"          // the verdict is on disk, not sent
	StatusSent      = "status-sent"      // the broker has a status, its acknowledgement is not recorded
	ShimStarted     = "shim-started"     // in the shim: start recorded, program not executed
	ShimEnded       = "shim-ended"       // in the shim: program ended, exit not recorded
	MemoRead        = "memo-read"        // a memo was computed, not recorded
	OutputSent      = "output-sent"      // output was acknowledged, the cursor not written
	CancelPending   = "cancel-pending"   // a cancel is on disk, not obeyed
)

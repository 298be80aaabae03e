package protocol

// Code is the stable name of what went wrong, or of what an operator has to do,
// beside the sentence that says it. Codes are part of the contract: one is
// never given another meaning.
type Code string

// Codes of verdicts.
const (
	SpecInvalid       Code = "SPEC_INVALID"
	TypeUnknown       Code = "TYPE_UNKNOWN"
	TaskExpired       Code = "TASK_EXPIRED"
	TaskCancelled     Code = "TASK_CANCELLED"
	TaskWithheld      Code = "TASK_WITHHELD"
	HostLost          Code = "HOST_LOST"
	HostReplaced      Code = "HOST_REPLACED"
	JournalDamaged    Code = "JOURNAL_DAMAGED"
	ReplayDiverged    Code = "REPLAY_DIVERGED"
	DeadlineExceeded  Code = "DEADLINE_EXCEEDED"
	StepStuck         Code = "STEP_STUCK"
	StepInterrupted   Code = "STEP_INTERRUPTED"
	StepFailed        Code = "STEP_FAILED"
	ExecutorFailed    Code = "EXECUTOR_FAILED"
	RebootUnavailable Code = "REBOOT_UNAVAILABLE"
	RebootNotAllowed  Code = "REBOOT_NOT_ALLOWED"
	RebootRequired    Code = "REBOOT_REQUIRED"
	RebootLimit       Code = "REBOOT_LIMIT"
	RebootFailed      Code = "REBOOT_FAILED"
	StatusLimit       Code = "STATUS_LIMIT"
	HDKUnreadable     Code = "HDK_UNREADABLE"
	ToolTimeout       Code = "TOOL_TIMEOUT"
)

// Codes of HDK_UPGRADE.
const (
	HDKRepository       Code = "HDK_REPOSITORY_UNAVAILABLE"
	HDKPackageNotFound  Code = "HDK_PACKAGE_NOT_FOUND"
	HDKPackageDamaged   Code = "HDK_PACKAGE_DAMAGED"
	HDKChipUnknown      Code = "HDK_CHIP_UNKNOWN"
	HDKCardUnhealthy    Code = "HDK_CARD_UNHEALTHY"
	HDKCardLost         Code = "HDK_CARD_LOST"
	HDKInUse            Code = "HDK_IN_USE"
	HDKInstallerRunning Code = "HDK_INSTALLER_RUNNING"
	HDKDiskSpace        Code = "HDK_DISK_SPACE"
	HDKUserMissing      Code = "HDK_USER_MISSING"
	HDKHostNotReady     Code = "HDK_HOST_NOT_READY"
	HDKVersionMismatch  Code = "HDK_VERSION_MISMATCH"
	HDKInstallFailed    Code = "HDK_INSTALL_FAILED"
	HDKDriverDown       Code = "HDK_DRIVER_DOWN"
	HDKNotActive        Code = "HDK_NOT_ACTIVE"
	HDKRolledBack       Code = "HDK_ROLLED_BACK"
	HDKRollbackFailed   Code = "HDK_ROLLBACK_FAILED"
	HDKHookFailed       Code = "HDK_HOOK_FAILED"
	HDKMCUFailed        Code = "HDK_MCU_FAILED"
)

// Codes of the other executors.
const (
	DiagnosisFailed Code = "DIAGNOSIS_FAILED"
	LogsNotSent     Code = "LOGS_NOT_SENT"
	ContainerFailed Code = "CONTAINER_FAILED"
)

// Codes of notices: what was refused without a verdict, because nobody who may
// ask for one did.
const (
	NoticeUnsigned        Code = "UNSIGNED"
	NoticeUnknownKey      Code = "KEY_UNKNOWN"
	NoticeSignature       Code = "SIGNATURE_WRONG"
	NoticeKeyEnded        Code = "KEY_NOT_VALID_NOW"
	NoticeKeyRole         Code = "KEY_NOT_PERMITTED"
	NoticeNotYetValid     Code = "NOT_YET_VALID"
	NoticeClock           Code = "CLOCK_WRONG"
	NoticeWrongServer     Code = "SERVER_WRONG"
	NoticeUnparsable      Code = "UNPARSABLE"
	NoticePayloadType     Code = "PAYLOAD_TYPE_UNKNOWN"
	NoticeTooLarge        Code = "TOO_LARGE"
	NoticeContentChanged  Code = "CONTENT_CHANGED"
	NoticeDiskFull        Code = "DISK_FULL"
	NoticeTooManyTasks    Code = "TOO_MANY_TASKS"
	NoticeDuplicateServer Code = "DUPLICATE_SERVER"
)

// CodeInfo explains a code: what it means and what an operator should do.
type CodeInfo struct {
	Code    Code   `json:"code"`
	Meaning string `json:"meaning"`
	Remedy  string `json:"remedy"`
}

var codes = []CodeInfo{
	{SpecInvalid, "A parameter of an item is missing, unknown or does not fit its pattern. Nothing was started.", "Correct spec and create the job again."},
	{TypeUnknown, "The host's agent has no executor for an item's type. Nothing was started.", "Upgrade the agent, allow the executor in its configuration, or take this server out of the job."},
	{TaskExpired, "The task was not accepted, or its first action not begun, before expires_at. Nothing was started.", "See why the host was silent or busy, then create the job again."},
	{TaskCancelled, "The job was deleted, cancelled or stopped, or an operator gave the host up before it had accepted the task. The message says what had been done before.", "Undo what the message says was done, if it is not wanted."},
	{TaskWithheld, "The task was never handed out: as many tasks of the job had failed as may fail, or the job was cancelled or deleted before the task's turn. Nothing was started.", "Read the message for why, then create a job for the servers that are left."},
	{HostLost, "The host accepted the task and then was silent for too long.", "Look at the host: power, network, agent. When it returns it does nothing more for this task; query it before the next job."},
	{HostReplaced, "The task had been accepted by another installation of the agent on this server, whose state is gone. Nothing was started here.", "Read the message for what runs now, then create the job again if it is still wanted."},
	{JournalDamaged, "The agent's record of this task cannot be read, so it cannot tell what was done.", "Check the host's disk, query the host, then decide on a new job."},
	{ReplayDiverged, "After a restart the executor asked for other actions than those recorded. Nothing more was started.", "Report the agent versions before and after; query the host, then create the job again."},
	{DeadlineExceeded, "The task ran out of time. What ran was ended as its kill policy allows.", "See the output for what was slow; create the job again with a longer timeout."},
	{StepStuck, "A program that must not be killed did not end in time and is still running. The host stays closed to exclusive work until it is gone.", "Look at the program on the host; never power the host off while it flashes firmware."},
	{StepInterrupted, "An action was cut in the middle, by a crash or a restart of the host, and was not safe to repeat.", "Query the host, then create the job again."},
	{StepFailed, "A program of the executor ended with an error.", "Read the message and the task's output."},
	{ExecutorFailed, "The executor could not do its work; the message says why.", "Read the message and the task's output."},
	{RebootUnavailable, "The task asks for a restart, which this agent cannot do. Nothing was started.", "Create the job without is_reboot, set host.reboot_command in the agent's configuration, or upgrade the agent."},
	{RebootNotAllowed, "The work needs a restart of the host, which the task does not allow. What was done before it stands.", "Create the job with is_reboot when the work of the host allows a restart."},
	{RebootRequired, "What was installed becomes active after a restart of the host.", "Restart the host when its work allows, or create the job with is_reboot."},
	{RebootLimit, "The host was restarted as often as one task may and is still not as it should be.", "Look at the host's console and the task's output."},
	{RebootFailed, "The host was asked to restart and did not, or could not be asked.", "Look at the host's console; restart it by hand when its work allows, then query it."},
	{StatusLimit, "The task had more transitions than one task may report.", "Report the executor; the task's output has the rest."},
	{HDKUnreadable, "Neither npu-smi nor the installed version files answered.", "Check that the HDK is installed and npu-smi info works on the host."},
	{ToolTimeout, "A tool of the host did not answer in time.", "Run the tool by hand; a hanging npu-smi usually needs the driver reloaded or the host restarted."},
	{HDKRepository, "The repository of HDK packages is not configured, cannot be reached, or its index cannot be read. Nothing was changed.", "Check hdk.repository in the agent's configuration and the repository's index.json, then create the job again."},
	{HDKPackageNotFound, "The repository has no package of that version for the host's chip and architecture, or several. Nothing was changed.", "Add the package to the repository and write its index again (devserverctl hdk index), or correct version and firmware_version."},
	{HDKPackageDamaged, "A package is not what the index declares, by its size, its SHA-256 or what is in it, or it is damaged.", "Put the right file into the repository and write its index again (devserverctl hdk index), then create the job again."},
	{HDKChipUnknown, "The host's chips are of no family that is known, or of several. Nothing was changed.", "Check that the NPUs are on their bus (on PCI: lspci -d 19e5:, which does not list cards on UB); where ids are named, upgrade the agent to a version that knows them."},
	{HDKCardUnhealthy, "A card is not healthy, or worse than before the upgrade.", "See npu-smi info -t health on the host and have the card repaired; force=true upgrades all the same."},
	{HDKCardLost, "A card that was there before the upgrade is missing after it.", "Power the host off and on; if the card stays away, have it repaired."},
	{HDKInUse, "NPUs are in use. Nothing was changed.", "Stop the processes and containers that are named, the device plugin and exporter too, then create the job again."},
	{HDKInstallerRunning, "Another HDK installer runs on the host. Nothing was changed.", "Wait for it to end, then create the job again."},
	{HDKDiskSpace, "There is not enough free space for the packages. Nothing was changed.", "Make room on the file system that is named, then create the job again."},
	{HDKUserMissing, "The user or group that the installer needs is missing. Nothing was changed.", "Add them (groupadd HwHiAiUser; useradd -g HwHiAiUser -m HwHiAiUser), then create the job again."},
	{HDKHostNotReady, "The host lacks what the packages need to unpack and to start, or an archive fails its own check. Nothing was changed.", "See to what the message names, then create the job again."},
	{HDKVersionMismatch, "Driver and firmware are outside each other's declared ranges. Nothing was changed.", "Choose versions that belong together; force=true installs them all the same."},
	{HDKInstallFailed, "An installer of Huawei's failed.", "Read the message for what is installed and what to do; the task's output has all the installer said."},
	{HDKDriverDown, "The driver does not answer after it was installed and the host restarted.", "See dmesg and /var/log/ascend_seclog/ascend_install.log on the host; create the job again with force=true to install it again."},
	{HDKNotActive, "The new version is installed and cards still run another one after the restart.", "Power the host off and on; if it stays so, create the job again."},
	{HDKRolledBack, "The upgrade failed and the former versions were installed again.", "Read the message for why it failed before the next attempt."},
	{HDKRollbackFailed, "The upgrade failed and so did the return to the former versions.", "Look at the host: /var/log/ascend_seclog/ascend_install.log and the task's output tell what is there."},
	{DiagnosisFailed, "A check of the host failed. Nothing was changed.", "Do what the message says; the task's output has the whole report."},
	{LogsNotSent, "Logs of the host could not be brought to where they were to go.", "Check the URL or the object store, and logs.bucket in the agent's configuration; then create the job again."},
	{HDKMCUFailed, "The management controller of a card was not brought to the version asked for. The message says which cards run what.", "Wait ten minutes, see npu-smi upgrade -b mcu -i CARD on the host, then create the job again; a card that refuses again is one for Huawei's support."},
	{HDKHookFailed, "A program of the site's own, before or after an upgrade, failed. The message says which and whether anything was installed.", "Run what is named by hand (hdk.before, hdk.after in the agent's configuration); check that the host is open for work again."},
	{ContainerFailed, "A container ended with an error, or the host's container engine did not run it.", "Read the message and the task's output; check the image, its command and the container engine on the host."},
	{NoticeUnsigned, "A statement without a signature was refused.", "Find out who can write to the broker's mailboxes."},
	{NoticeUnknownKey, "A statement signed with a key that the host does not trust was refused.", "Add the control plane's key to trust.keys, or find out whose key it is."},
	{NoticeSignature, "A statement whose signature does not match was refused.", "Find out who changed it on its way."},
	{NoticeKeyEnded, "A statement was refused because the key that signed it does not count yet, or no more.", "Have the control plane sign with a key that counts, or correct until= in trust.keys."},
	{NoticeKeyRole, "A statement was refused because the key that signed it may not ask for this.", "Sign with a key that may, or correct only= in trust.keys; or find out who uses the key."},
	{NoticeNotYetValid, "A task was issued later than it is now; it waits in the mailbox until then.", "Correct the clock of the control plane's host."},
	{NoticeClock, "The host's clock is well behind what the broker vouches for; the agent goes by the broker's time.", "Set the host's clock and see why nothing keeps it (chronyd, ntpd)."},
	{NoticeWrongServer, "A statement for another server was refused.", "Check server_id in the host's configuration."},
	{NoticeUnparsable, "A mailbox or statement could not be read.", "Check the versions of control plane and agent."},
	{NoticePayloadType, "A statement of a type or version that the agent does not know was refused.", "Upgrade the agent."},
	{NoticeTooLarge, "A mailbox or statement over the size limit was refused.", "Split the job."},
	{NoticeContentChanged, "Other content came under the id of a task that is already known; the first one stands.", "Find out which control plane reuses ids."},
	{NoticeDiskFull, "The state directory's disk is full: nothing new is accepted until there is room.", "Make room on the host; the task is accepted then."},
	{NoticeTooManyTasks, "The host has as many open tasks as it may have; more are accepted when some have ended.", "Wait, or delete jobs."},
	{NoticeDuplicateServer, "Two running hosts use the same server id.", "Correct server_id on one of them."},
}

// Codes lists every code with its explanation, in a fixed order.
func Codes() []CodeInfo { return append([]CodeInfo(nil), codes...) }

// Explain is the explanation of c; its Code is "" for a code of another version.
func Explain(c Code) CodeInfo {
	for _, info := range codes {
		if info.Code == c {
			return info
		}
	}
	return CodeInfo{}
}

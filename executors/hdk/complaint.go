package hdk

import (
	"strings"

	"devserver-agent/executors/lazyregexp"
	"devserver-agent/protocol"
)

// complaint is a sentence with which an installation fails, and what to do then. The
// texts are those of Huawei's installer scripts (github hicann/driver: args_parse.sh,
// install_common.sh, run_driver_install.sh), of makeself's header (2.4), of shells, tar,
// rpm and dpkg. The first one that fits counts, so what is more exact stands first.
type complaint struct {
	text   *lazyregexp.Regexp
	number string        // ERR_NO, if it has one of its own
	remedy string        // $1 and so on are what the text has in parentheses
	code   protocol.Code // of an archive that fails its check so; "": HDKHostNotReady
}

const (
	againThen   = ", then create the job again."
	headers     = "The driver's kernel module cannot be built. Install kernel-devel and kernel-headers (linux-headers on Debian and Ubuntu) of the running kernel, uname -r, and dkms, gcc and make" + againThen
	damaged     = "The archive is damaged. Download it from Huawei again, put it into the repository and write its index again (devserverctl hdk index)" + againThen
	noExec      = "Files in the folder for temporary files may not be executed: it is in the agent's state directory (/tmp where the package is run by hand), whose file system is mounted with noexec. Mount it without noexec" + againThen
	notRoot     = "Give the folder of the installation, /usr/local/Ascend unless /etc/ascend_install.info says otherwise, and all folders above it to root with mode 755 (chown root:root, chmod 755)" + againThen
	notUnpacked = "The archive could not be unpacked. See that the host has tar and gzip (or xz, bzip2 or zstd, where the package is packed so) and room; if all that is there, the archive is damaged, and has to be downloaded again" + againThen
	notLoaded   = "The kernel module was built and cannot be loaded. See dmesg (with Secure Boot it must be signed), install the headers of the running kernel, remove /var/lib/dkms/davinci_ascend" + againThen
	lostOld     = "The installation is not complete, and what was installed before is gone. Create the job again, with is_reboot; if it fails again, uninstall, restart and install from the start."
)

var complaints = []complaint{
	// Of the kernel's modules, which the scripts below only say that they failed with.
	{text(`Required key not available|Key was rejected by service`), "", "The kernel takes signed modules only (Secure Boot). Sign the driver's modules and enrol the key (mokutil), or turn Secure Boot off" + againThen, ""},
	{text(`could not insert|insmod: |Invalid module format`), "", notLoaded, ""},

	// Before the installer's first word: makeself, shells, tar.
	{text(`Error in (?:\w+ )?checksums|Unexpected archive size|unexpected end of file|not in gzip format|invalid compressed data`), "", damaged, protocol.HDKPackageDamaged},
	{text(`Not enough space left in (\S+) \((\d+) KB\) to decompress \S+ \((\d+) KB\)`), "", "Make room in $1: $2 KB are free, $3 KB are needed" + againThen, protocol.HDKDiskSpace},
	{text(`Not enough space left in (\S+)`), "", "Make room in $1" + againThen, protocol.HDKDiskSpace},
	{text(`No space left on device|Disk quota exceeded`), "", "Make room on the host's disk" + againThen, protocol.HDKDiskSpace},
	{text(`\bfork: |Cannot fork`), "", "The host allows no more processes. See TasksMax of the units (systemctl show devserver-tasks.slice), kernel.pid_max and kernel.threads-max, and what holds so many" + againThen, ""},
	{text(`Cannot allocate memory|Out of memory`), "", "The host's memory ran out. See what holds it (free, dmesg)" + againThen, ""},
	{text(`(?:^|: )(?:\./[\w./-]+|[\w.-]+\.sh): Permission denied|/(?:selfgz|makeself)[\w./-]*: Permission denied|bad interpreter: Permission denied`), "", noExec, ""},
	{text(`(?:^|: )(/[\w./-]+\.sh): Permission denied`), "", "$1 may not be executed. See its mode and whether its file system is mounted with noexec (ls -l, findmnt -T)" + againThen, ""},
	{text(`bad interpreter|\.(?:sh|run): not found$`), "", "The package's script cannot start: the host lacks the shell that it names. Install bash" + againThen, ""},
	{text(`(?:: (?:line )?\d+: (?:eval: )?|^(?:sh: |bash: )?)([a-z][a-z0-9+-]*): (?:command )?not found$`), "", "Install $1 on the host" + againThen, ""},
	{text(`Extraction failed|Decompression failed`), "", notUnpacked, ""},
	{text(`Read-only file system`), "", "A file system of the host is read-only. See dmesg for why, mount it for writing" + againThen, ""},
	{text(`^(?:tar|cp|mv|dd|cat|gzip|install): .*Input/output error`), "", "A disk of the host fails. See dmesg and have it repaired" + againThen, ""},
	{text(`^\S+: (?:line )?\d+: .*Exec format error`), "", "Correct the repository's index: the package is for another architecture.", ""},
	{text(`^\S+: (?:line )?\d+: (?:eval: )?syntax error`), "", "The package's script is broken. Get the package from Huawei again, put it into the repository and write its index again (devserverctl hdk index)" + againThen, protocol.HDKPackageDamaged},

	// Checks of the installer, before it changes anything.
	{text(`All-in-one RUN package`), "", "Uninstall the all-in-one package that it names (its own --uninstall)" + againThen, ""},
	{text(`davinci nodes are occupied`), "", "Stop what uses the NPUs, containers too, and create the job again.", ""},
	{text(`already a process being executed`), "0x0094", "Wait for the other installer to end, then create the job again.", ""},
	{text(`not permission for root`), "", "/etc/ascend_install.info names root as the user of a former installation, which this one refuses. Uninstall that one, or name its user there (HwHiAiUser unless yours is another)" + againThen, ""},
	{text(`not exists! Please add`), "0x0091", "Add the user and group it names, then create the job again.", ""},
	{text(`is not in the group|check the relatianship of`), "0x0096", "Put the user into the group, then create the job again.", ""},
	{text(`should belong to root|permission is (?:too small|invalid)|unsecure install-path`), "", notRoot, ""},
	{text(`not same with last`), "0x0095", "Use the user of the last installation (/etc/ascend_install.info).", ""},
	{text(`root permission|not root`), "0x0093", "Run the agent as root.", ""},
	{text(`^Arch mismatch|environment is not match|is 310B EP`), "", "Correct the repository's index: the package is for another chip or architecture.", ""},
	{text(`cannot be installed on a VM`), "", "Install the firmware on the hypervisor's host: leave firmware_version as it is here.", ""},
	{text(`free space only`), "", "Make room on the host's disk, then create the job again.", ""},
	{text(`list of missing tools`), "", "Install the tools it names, then create the job again.", ""},
	{text(`please use (?:version )?\S+ or later|earlier than the device flash hardware version`), "", "The hardware needs a newer version. Create the job with the one it names.", ""},
	{text(`Download and install the \S+ driver package`), "", "Upgrade to the version it names first, then to this one.", ""},
	{text(`kernel.*version not match`), "", headers, ""},
	{text(`version not match`), "", "Choose a driver and a firmware that belong together.", ""},
	{text(`do not have the permission to access ([^\s,]+)`), "", "Give the user of the installation access to $1 and all folders above it (chmod 755)" + againThen, ""},
	{text(`install[- ]path (?:is null|input error|only support)`), "0x0003", "Correct the installation's path in /etc/ascend_install.info" + againThen, ""},

	// Steps of the driver's installation, after the former driver was removed.
	{text(`dkms_env_check failed|linux headers is currently not installed|kernel devel is currently not installed|kernel absolute path|rebuild ko has something wrong`), "", headers, ""},
	{text(`file_copy failed`), "", "Its files could not be copied. See that /usr/local/Ascend can be written (df, mount, lsattr)" + againThen, ""},
	{text(`signature mode`), "", "The package is signed in another way than this host is set to accept, which the message names. Take the package that is signed so, or set the host's signature mode to the package's as Huawei's guide of the release says" + againThen, ""},
	{text(`crl[_ ]check failed|signature verification failed`), "", "Get the package from Huawei again; its signature or the host's revocation list does not fit.", ""},
	{text(`load_file_rename failed|host load file.*is missing`), "", "Files for the chips are not in the package: it is for another product or damaged. Get it from Huawei again, then create the job again.", ""},
	{text(`load_path_set failed`), "", "/lib/davinci.conf cannot be written. See mount and lsattr" + againThen, ""},
	{text(`ko_install_manually`), "", notLoaded, ""},
	{text(`Dkms install failed|ko_install|vermagic`), "", "The kernel module could not be built or loaded. Install gcc, make, dkms and the headers of the running kernel, remove /var/lib/dkms/davinci_ascend, then create the job again.", ""},
	{text(`boot-items failed`), "", "The driver's services could not be set up. See systemctl --failed and that /etc can be written" + againThen, ""},
	{text(`recovery failed|reboot is recommended`), "", "Restart the host, then create the job again.", ""},
	{text(`uninstall driver failed`), "0x0090", "The former driver cannot be removed. Restart the host, then create the job again.", ""},
	{text(`Device startup (?:fail|timeout)`), "", "The chips did not start. Restart the host, then create the job again.", ""},
	{text(`driver is not running`), "", "Restart the host or install the driver first, then create the job again.", ""},
	{text(`retry after uninstall and reboot`), "", lostOld, ""},

	// rpm and dpkg.
	{text(`(?:transaction|frontend) lock`), "", "Another package is being installed on the host. Wait for it to end, then create the job again.", ""},
	{text(`Failed dependencies|dependency problems`), "", "Install what the package depends on (the task's output names it), then create the job again.", ""},
	{text(`not an rpm package|not a Debian format archive`), "", "Put the right file into the repository and write its index again.", ""},
	{text(`only support one type|Unrecognized (?:parameters|flag)|cannot be used with|can't use with|need used with`), "0x0004", "The package knows other options. Report its name and version.", ""},
}

// foreignWords are of what every foreign complaint has one.
var foreignWords = []string{"rror", "dpkg", "scriptlet", "annot ", "left", "quota", "Unrecognized", "archive size", "ailed", "denied", "not found", "interpreter", "fork: ", "ead-only", "insmod", "insert", "gzip: ", "tar: "}

// foreign are complaints of other programs than the installer, which do not mark errors: of
// rpm, to which a script that fails after the installation is not a failure, dpkg, makeself,
// shells and tar.
var foreign = lazyregexp.New(`^(?:error: |Unrecognized flag : |dpkg(?:-deb)?: error|warning: %\w+\(.*\) scriptlet failed|tar: .*: Cannot )` +
	`|No space left on device|Disk quota exceeded|Not enough space left in ` +
	`|Error in (?:\w+ )?checksums|Unexpected archive size|Extraction failed|Decompression failed` +
	`|^gzip: |^tar: .*Unexpected|could not insert|^insmod: ERROR` +
	`|: Permission denied$|: (?:command )?not found$|: cannot execute|bad interpreter|Exec format error` +
	`|\bfork: |Cannot allocate memory|Read-only file system|Input/output error|: [Ss]yntax error`)

// text is an expression of a complaint, in letters of any size.
func text(pattern string) *lazyregexp.Regexp { return lazyregexp.New(`(?i)` + pattern) }

// complaintIn is the complaint that a line is, and where; false if it is not a known one.
func complaintIn(line string) (c complaint, at []int, known bool) {
	code := ""
	if match := number.FindStringSubmatch(line); match != nil {
		code = match[1]
	}
	line = sentence(line)
	for _, c := range complaints {
		if at := c.text.FindStringSubmatchIndex(line); at != nil {
			return c, at, true
		}
	}
	for _, c := range complaints {
		if c.number != "" && strings.EqualFold(c.number, code) {
			return c, nil, true
		}
	}
	return complaint{}, nil, false
}

// sentence is a line of complaint without its number, as it is quoted.
func sentence(line string) string { return printable(errNumber.ReplaceAllString(line, "")) }

// remedyIn is what to do about a line of complaint, "" if that is not known.
func remedyIn(line string) string {
	c, at, known := complaintIn(line)
	if !known || at == nil {
		return c.remedy
	}
	return string(c.text.ExpandString(nil, c.remedy, sentence(line), at))
}

// codeIn is the code of the first line that has one of its own.
func codeIn(lines []string) protocol.Code {
	for _, line := range lines {
		if c, _, _ := complaintIn(line); c.code != "" {
			return c.code
		}
	}
	return ""
}

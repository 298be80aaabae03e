// Package fakehost builds a whole Ascend NPU host in a folder, for tests and
// demonstrations on machines that have no NPU: the files a host has (/sys, /proc,
// /dev, /etc, /usr/local/Ascend), the vendor's tools as real executables, HDK
// packages as real makeself archives, and a power switch that kills every process
// of the host and boots it again.
//
// A host lives in one folder:
//
//	root/    what would be / on a real host; give it to the agent as host.root
//	state/   state.json, events.jsonl and a lock: everything that can change
//	run/     the socket of the running init, its console log, the installer's lock
//
// The tools under root are two-line scripts that start the fakehost command
// (cmd/fakehost) with the host's folder, so any number of processes may use one
// host at the same time: a change takes the lock, rewrites state.json beside itself
// and renames it. The files under root follow from the state and are written again
// with each change. A process killed between the two leaves a state whose files
// the next change brings up to date.
//
// # What is faithful
//
// The texts, widths, exit statuses and orders of events follow what the vendor has
// published: npu-smi and hccn_tool as in the "HDK driver package scripts" and the
// sources beside them (github hicann/driver, npucli and hccn), the installer as in
// its install.sh, args_parse.sh and help.info, the deployment habits of
// ascend-deployer, the fault classes of MindCluster, version pairs of the
// "ModelArts bulletins" and the npu-smi manual of hiascend.com. In particular:
// negative return codes become rc & 0xFF; errors go to stdout; even npu-smi -v needs
// a working driver; "not supported" exits 0; an overwrite install deletes
// version.info first; a new version is installed at once and runs after a reboot.
//
// What each family's tools print, on metal, in a virtual machine and in a container, is
// in tool/testdata/layouts, a file each; every answer names its source. Questions says
// how sure each answer is, and docs/hardware.md is made from it. A layout is corrected
// from what real hosts print before any parser is, and by hand: the tools are tested with
// the layouts, so no flag of a test writes them. Where an answer of a real host and the
// vendor's source differ, the answer of the host is printed.
//
// # What is simplified
//
// Readings (power, temperature, memory) are constants per chip. Firmware failure
// texts, the text of --version and hccn_tool's less common items are not public and
// are plausible inventions. The installer does not ask for root nor for the user of
// the last installation, builds no kernel modules, checks no signatures, refuses no
// downgrade and accepts --quiet with --uninstall. Of npu-smi set and upgrade only the
// upgrade of an MCU is there. Of a 300I Duo's links only the lines that were published
// are printed. In a container the bus has the mapped cards only. A 310 in a virtual
// machine answers for a card what the source refuses there (board and common without
// -c). A firmware package leaves its version.info alone until it succeeds. A tool on
// disk works also while the host's power is off. power-cut is SIGKILL for every
// process: the page cache survives.
package fakehost

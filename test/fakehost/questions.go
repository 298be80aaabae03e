package fakehost

import "slices"

// Questions are all that an agent asks an Ascend host.
func Questions() []Question { return slices.Concat(ofNpuSmi(), ofOtherTools()) }

// servers is what is known of the families that make servers.
func servers(a1, a2, a3, a5 Knowledge) map[Model]Knowledge {
	return map[Model]Knowledge{A1: a1, A2: a2, A3: a3, A5: a5}
}

func ofNpuSmi() []Question {
	return []Question{
		{
			"npu-smi", "info", every(Captured, nil), "published tables of 310 (21.0.3.1), 910A (21.0.2 to 24.1.rc2), 310P and 310B (22.0 to 25.3), 910B (23.0.rc2 to 26.1.0), A3 (24.1.rc3 to 26.0.rc1) and 950 (26.x); widths and columns from the " + npucli + "src/npu_info_print.c and npu_info.c",
			"Table layouts: A on 310 (no huge pages, no table of processes), B on 910A before 21.0.4 (no huge pages, no table of processes), C on 910A from then on, D on 310P and 310B, E on 910B, F on A3 (two chips a card), G with 26.x tools (wider, a fifth column of processes), H on 950 (NPU ID, NPU Util, one id a card). What 26.1.0 prints is wider than its published source says.",
		},
		{
			"npu-smi", "-v", every(Inferred, nil), npucli + "src/npu_smi.c, npu_init.c and inc/npu_error_code.h", "It needs a driver that answers, as all commands do.",
		},
		{
			"npu-smi", "info -l", every(Captured, map[Model]Knowledge{A5: Inferred}), skills + "; published answers of 310P, Duo, 310B and A3; " + npucli + "src/npu_card_info.c",
			"310 and 310B say Card Count, others Total Count. Servers leave out product and serial number. A 950 counts no chips.",
		},
		{
			"npu-smi", "info -m", every(Captured, map[Model]Knowledge{I310: Inferred, A1: Inferred}), "published answers of 910B4, A3, 310P3, 310B4 and 950; " + npucli + "src/npu_card_info.c",
			"Cards with a controller have a row of their Mcu. A3 adds Chip Phy-ID; a 950 has Slot ID and no logic id; a 310 is called MiniD.",
		},
		{
			"npu-smi", "info -t board -i CARD", every(Inferred, map[Model]Knowledge{A2: Captured, A3: Captured, P310: Captured}), "published answers of 910B (one of 23.0.5), A3 and 310P3; " + npucli + "src/npu_card_info.c and npu_info_print.c",
			"All but a 910A name product, maker and serial number. A 310 tells no compatibility. Cards that are not part of a server end with Chip Fault or Faulty Chip Count. A 950 tells of its chip, too. Cards on UB have Vendor ID, Device ID, Module Vendor ID and Module ID instead of the PCI keys: inferred.",
		},
		{
			"npu-smi", "info -t board -i CARD -c CHIP", every(Inferred, map[Model]Knowledge{A2: Captured, A5: ""}), gpustack + "; " + npucli + "src/npu_chip_info.c", "",
		},
		{
			"npu-smi", "info -t health -i CARD", every(Captured, map[Model]Knowledge{I310: Inferred, B310: Inferred, A1: Inferred}), "published answers of 910B and A3 hosts on metal and in virtual machines (22 to 26), of a 300I Duo and of an Atlas 350 (950); words in " + npucli + "src/npu_common.c",
			"A block a chip (Health, Chip ID), and one of the MCU, without codes; the MCU is NA in a virtual machine. On 310 and 310B Chip ID begins the block. A chip that does not answer is a sentence beside its id; where the card has an MCU the exit status is 0 all the same. A 950 gives one state with codes.",
		},
		{
			"npu-smi", "info -t health -i CARD -c CHIP", every(Captured, map[Model]Knowledge{I310: Inferred, B310: Inferred, A1: Inferred, A5: ""}), "published answers of 910B, A3 and 310P hosts with and without codes; " + npucli + "src/npu_chip_info.c; " + manual,
			"The only health answer with codes, but for the 950's.",
		},
		{
			"npu-smi", "info -t common -i CARD", every(Captured, map[Model]Knowledge{I310: Inferred, A1: Inferred}), gpustack + "; published answers of A3, 300I Duo, 310B and 950; " + npucli + "src/npu_chip_info.c",
			"Chip ID begins a chip's block on every family but the 950, which has none. A last block is the MCU's; on 310P it has the card's power. On 310B the power is in a block without a chip id, a 310 has a rated power and no frequency. A chip that does not answer, and every chip after it, is printed as zeros (inferred).",
		},
		{
			"npu-smi", "info -t usages -i CARD", every(Captured, map[Model]Knowledge{I310: Inferred, B310: Inferred, A1: Inferred, A5: Inferred}), gpustack + "; published answers of A3 and 310P; " + npucli + "src/npu_chip_info.c",
			"Chip ID ends the block; on 310 and 310B it begins it, and the keys say Memory instead of DDR. A 950 adds Aivector, Aicube and NPU Utilization.",
		},
		{
			"npu-smi", "info -t ecc -i CARD", every(Captured, map[Model]Knowledge{I310: Inferred, B310: Inferred, A1: Inferred}), "published answers of 910B, A3, 310P and 950; " + npucli + "src/npu_chip_info.c",
			"Chip ID ends the block; on 310 and 310B it begins it, and the keys are Single-bit and Double-bit Error Count. A 910A counts DDR and HBM; 310P spells Next-Isolated.",
		},
		{
			"npu-smi", "info -t proc-mem -i CARD", every(Captured, map[Model]Knowledge{I310: Inferred, B310: Inferred, A1: Inferred}), "published answers of idle and busy 910B, A3, 310P and 950 hosts; " + npucli + "src/npu_chip_info.c",
			"Chip ID ends the block; on 310 and 310B it begins it. A process is one line of keys, and values may be empty. A chip that does not answer is a sentence, and the exit status is not 0.",
		},
		{
			"npu-smi", "info -t memory|temp|power -i CARD", every(Inferred, nil), skills + " (memory of a chip); " + npucli + "src/npu_chip_info.c", "The agent does not ask it.",
		},
		{
			"npu-smi", "info -t common|usages|ecc|proc-mem|memory|temp|power -i CARD -c CHIP", every(Inferred, map[Model]Knowledge{A5: ""}), npucli + "src/npu_chip_info.c", "The block of one chip, without a head. The agent does not ask it.",
		},
		{
			"npu-smi", "info -t topo", every(Inferred, nil), "names of links as in a published answer of a 910B server (arthurchiao.art, second of the notes on GPUs, copied in github guevara/read-it-later issue 11547); " + npucli + "src/npu_info.c",
			"A matrix of the chips' links, and the cores that are near each chip; a legend may follow. Widths are of our own.",
		},
		{
			"npu-smi", "info -t hccs -i CARD -c CHIP", map[Model]Knowledge{A1: Inferred, A2: Inferred, A3: Inferred, P310: Captured, Duo310P: Captured}, "published answers of a 300I Duo (counters only); " + npucli + "src/npu_info_print_ext.c",
			"310P has counters of packets and bytes only, no health. Servers have one value per link for lanes, speed and counters. Other families do not know the query.",
		},
		{
			"npu-smi", "upgrade -b|-t|-q|-a mcu -i CARD", servers(Unpublished, Inferred, Inferred, Unpublished), npucli + "src/npu_upgrade.c; " + manual + " (npusmi_109)",
			"Not in a virtual machine or container.",
		},
	}
}

func ofOtherTools() []Question {
	return []Question{
		{
			"hccn_tool", "-i CHIP -link|-net_health|-ip|-link_stat|-optical|-stat -g", servers(Inferred, Captured, Captured, Inferred), "published answers of 910B and A3 hosts; " + hccn + "hccn_tool/src/tool.c, hccn_product_ext/src/tool_optical.c, ascend950/hccn_tool/tool_cmd.c",
			"A 950 is asked -g -ITEM -i CHIP -u DIE -p PORT. Some releases print no link down count, and nobody has published which: the records tell of losses. Some transceivers state no limits. A virtual machine refuses every item in one sentence.",
		},
		{
			"hccn_tool", "-i CHIP -gateway|-netdetect|-mac -g", servers(Inferred, Captured, Inferred, Inferred), gpustack + " (not of netdetect); " + hccn + "hccn_tool/src/tool.c", "The agent does not ask it.",
		},
		{
			"hccn_tool", "-i CHIP -tls|-fec|-speed -g", servers(Inferred, Inferred, Inferred, Inferred), hccn + "hccn_tool/src/tool_tls.c, tool.c", "",
		},
		{
			"upgrade-tool", "--device_index CHIP --component TYPE --version", every(Inferred, map[Model]Knowledge{A2: Captured}), "published logs of 910B hosts (7.5.0.2.220); " + packaging + "run_driver_install.sh", "Braces that look like JSON and are not. Not in a container.",
		},
		{
			"upgrade-tool", "--device_index CHIP --status|--boot_status|--hw_base_version|--hot_reset_flag", every(Inferred, nil), packaging + "run_driver_install.sh, run_driver_upgrade_check.sh", "Not in a container.",
		},
		{
			"upgrade-tool", "--mini_devices|--phymachflag", every(Inferred, nil), packaging + "run_driver_install.sh", "Not in a container.",
		},
		{
			"ascend-dmi", "--dg --se SCENE -q", every(Unpublished, map[Model]Knowledge{A2: Captured}), "published summaries of ToolBox 7 (manual of MindX ToolBox, hiascend.com)",
			"HEALTH or PASS, GENERAL_WARN, IMPORTANT_WARN, EMERGENCY_WARN, with sentences below. Exit codes are documented nowhere.",
		},
		{
			"msnpureport", "", every(Inferred, nil), "github hicann/driver, msnpureport and its manual in docs/zh", "It writes into a folder named after the time, in the working folder.",
		},
		{
			"dmesg", "", every(Unpublished, map[Model]Knowledge{A2: Captured}), "published logs of 910B hosts",
			"A few lines of lost cards and of everyday work; no list of the driver's lines is public.",
		},
		{
			"installer", "driver", every(Inferred, map[Model]Knowledge{A2: Captured, P310: Captured}), packaging + "run_driver_install.sh, env_check.sh, args_parse.sh; published logs of installations", "",
		},
		{
			"installer", "firmware", every(Unpublished, map[Model]Knowledge{A2: Captured}), "published logs of successful installations",
			"Why a firmware was refused is in no public text.",
		},
	}
}

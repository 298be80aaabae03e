package ascend

// Chip is a family of Ascend chips, written as in the names of HDK packages.
type Chip string

// The families. What tools print as a name does not tell them apart: a first
// generation 910 prints 910B, and a 910_93 prints Ascend910.
const (
	Chip310    Chip = "310"
	Chip310B   Chip = "310b"
	Chip310P   Chip = "310p"
	Chip910    Chip = "910"
	Chip910B   Chip = "910b"   // A2
	Chip910_93 Chip = "910_93" // A3
	Chip950    Chip = "950"    // A5
)

// VendorHuawei is the PCI vendor of all of them.
const VendorHuawei = 0x19e5

// ChipOf is the family of a PCI device id of Huawei's, "" for one that is not
// known.
func ChipOf(device uint16) Chip {
	switch device {
	case 0xd100:
		return Chip310
	case 0xd107:
		return Chip310B
	case 0xd500:
		return Chip310P
	case 0xd801:
		return Chip910
	case 0xd802:
		return Chip910B
	case 0xd803:
		return Chip910_93
	case 0xd806:
		return Chip950
	}
	return ""
}

// Server reports whether chips of this family are those of training servers, with
// HBM, links to each other and network ports.
func Server(c Chip) bool { return c == Chip910 || c == Chip910B || c == Chip910_93 || c == Chip950 }

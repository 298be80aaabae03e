package protocol

import "fmt"

// A bundle of logs in an object store is an empty object under its name, whose
// metadata says how many parts there are and how long they are together, and the parts
// beside it.
const (
	LogsBucket = "devserver-logs" // made by the control plane
	PartSize   = 16 << 20         // bytes of each part but the last
	PartsKey   = "parts"
	SizeKey    = "size"
)

// PartName is the name of a bundle's part, counted from 0.
func PartName(bundle string, part int) string { return fmt.Sprintf("%s.%03d", bundle, part) }

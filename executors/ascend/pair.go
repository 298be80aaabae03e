package ascend

// Pair is a driver and a firmware that run together on a card, or are installed
// together; "" for one that is not known.
type Pair struct{ Driver, Firmware Version }

// String names both versions; npu-smi prints NA for one that it does not give.
func (p Pair) String() string {
	driver, firmware := string(p.Driver), string(p.Firmware)
	if driver == "" {
		driver = "NA"
	}
	if firmware == "" {
		firmware = "NA (npu-smi gives it to root only)"
	}
	return "driver " + driver + ", firmware " + firmware
}

// Runs is what the card runs.
func (c CardReport) Runs() Pair { return Pair{c.Board.Driver(), c.Board.Firmware()} }

// Installed is what is installed on the host.
func (inv Inventory) Installed() Pair { return Pair{inv.Driver.Version, inv.Firmware.Version} }

// Running is what most of the cards run that answered; of several pairs that equally
// many run, the installed one or else the first card's. ok is false when no card
// answered.
func (inv Inventory) Running() (most Pair, ok bool) {
	count := map[Pair]int{}
	for _, c := range inv.Cards {
		if c.Err == nil {
			count[c.Runs()]++
		}
	}
	for _, c := range inv.Cards {
		runs := c.Runs()
		if c.Err == nil && (!ok || count[runs] > count[most] || count[runs] == count[most] && runs == inv.Installed()) {
			most, ok = runs, true
		}
	}
	return most, ok
}

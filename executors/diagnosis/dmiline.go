package diagnosis

import (
	"slices"
	"strings"

	"devserver-agent/executors/lazyregexp"
)

// dmiLine is one line of ascend-dmi's. A line with a name begins an item; its word is the
// item's result, if it is on the same line.
type dmiLine struct {
	indent     int
	text       string // "" for a line that only draws
	name, word string
	sentence   string
	cells      []string // of a row of a table, which is still to be read
}

var (
	drawn = lazyregexp.New(`^[-+=|_*#.\s]*$`)
	// A word in capitals, which may be a result, in a sentence.
	capitals = lazyregexp.New(`\b[A-Z][A-Z_]{2,30}\b`)
	// A result, alone: of the known ones and the usual ones in any case.
	result = lazyregexp.New(`^(?:[A-Z][A-Z_]{2,30}|(?i:pass|health|skip|fail|(?:general|important|emergency)_warn|failed|error|time_?out|abnormal|unhealthy))$`)
	// A name and its result on one line: with a colon, dots, a dash, an arrow, brackets
	// or room between them.
	namedResult = lazyregexp.New(`^([^:=|]{1,60}?)\s*(?:[:=]+|\.{2,}|\s-+|-+>|\t|\s{2,}|\s(?:\[))\s*(\[?[A-Za-z_]{3,31}\]?)\.?$`)
	// A heading, which says nothing else.
	heading = lazyregexp.New(`^([^:=|]{1,60}?)\s*:$`)
	// A heading without its colon, where it stands as far to the left as one.
	bareHeading = lazyregexp.New(`^[A-Za-z][\w -]{1,40}$`)
)

// notResults are words in capitals that sentences about NPUs have, and heads of tables.
var notResults = strings.Fields("NPU NPUS HBM ECC HCCS HCCL PCIE RDMA ROCE NIC CPU AICPU AIC AIV AICORE DDR DMA EDP TDP TFLOPS TOPS GBPS MBPS CANN HDK MCU SOC DCMI PRBS SNR LLC CRC BER FEC TLS RAS SRAM BIOS BMC MAC ARM SVM VRD AVG MIN MAX SUM ITEM RESULT STATUS NAME DEVICE CARD CHIP TEST NOTE INFO TIME TIPS")

func resultOf(text string) (word string, ok bool) {
	text = strings.Trim(text, "[]()<>*.'\" \t")
	if !result.MatchString(text) {
		return "", false
	}
	word = strings.ToUpper(text)
	for _, other := range notResults {
		if word == other {
			return "", false
		}
	}
	return word, true
}

// readDMILine reads one line. What is neither an item's name nor a result is a sentence.
func readDMILine(text string) dmiLine {
	line := dmiLine{indent: indentOf(text)}
	if drawn.MatchString(text) {
		return line
	}
	line.text = strings.TrimSpace(text)
	if strings.HasPrefix(line.text, "|") || strings.Count(line.text, "|") > 1 {
		line.cells = cellsOf(line.text)
		return line
	}
	body := strings.TrimSpace(strings.TrimLeft(line.text, "*"))
	stars := body != line.text
	body = strings.TrimSpace(strings.TrimPrefix(body, "- "))
	if word, ok := resultOf(body); ok {
		line.word = word
		return line
	}
	if match := namedResult.FindStringSubmatch(body); match != nil {
		if word, ok := resultOf(match[2]); ok {
			if line.word = word; stars {
				line.sentence = match[1]
			} else {
				line.name = match[1]
			}
			return line
		}
	}
	if match := heading.FindStringSubmatch(body); match != nil && !stars {
		line.name = match[1]
		return line
	}
	line.sentence = body
	return line
}

// cellsOf are the cells of a row of a table.
func cellsOf(text string) []string {
	var cells []string
	for cell := range strings.SplitSeq(text, "|") {
		cells = append(cells, cut(strings.TrimSpace(cell), maxSentence))
	}
	return cells
}

var (
	headCell = lazyregexp.New(`(?i)^(?:test ?)?(?:item|test|name|check|type|device|dev|card|chip|npu|result|status|grade|level)(?:[ _-]?(?:id|name|no\.?))?s?$`)
	// The column of devices, and a device in a column of its own or in another one's cell.
	deviceColumn = lazyregexp.New(`(?i)^(device|dev|card|chip|npu)(?:[ _-]?(?:id|no\.?))?$`)
	deviceCell   = lazyregexp.New(`(?i)^(?:device|dev|card|chip|npu)[ _-]?(?:id)?[ :=#]*[0-9]{1,3}$`)
	number       = lazyregexp.New(`^[0-9]{1,3}$`)
)

// isHead reports whether a row names the columns of a table.
func isHead(cells []string) bool {
	named := false
	for _, cell := range cells {
		if _, known := dmiWords[strings.ToUpper(cell)]; known {
			return false
		}
		named = named || headCell.MatchString(cell)
	}
	return named
}

// row reads a row of a table: a name, the devices that it is about, and one or more
// results. head names the columns, if the table has a head; without one a number behind
// the name is taken for the device's. What else the cells say is the item's sentence.
func (line dmiLine) row(head []string) dmiLine {
	var devices, rest []string
	for i, cell := range line.cells {
		column := ""
		if i < len(head) {
			column = head[i]
		}
		word, ok := resultOf(cell)
		device := deviceOf(cell, column, head == nil && line.name != "" && devices == nil)
		switch {
		case cell == "":
		case ok:
			line.word = worseWord(line.word, word)
			if f, known := dmiWords[word]; deviceCell.MatchString(column) && !(known && f.Grade == Pass) {
				rest = append(rest, column)
			}
		case device != "":
			devices = append(devices, device)
		case line.name == "":
			line.name = cell
		case number.MatchString(line.name):
			line.name += " " + cell
		default:
			rest = append(rest, cell)
		}
	}
	if line.word == "" {
		line.name, line.sentence = "", line.text
		return line
	}
	if line.name != "" {
		devices = slices.Insert(devices, 0, line.name)
	}
	line.name, line.sentence = cut(strings.Join(devices, ", "), maxSentence), strings.Join(rest, ", ")
	return line
}

// deviceOf is the device that a cell is about, "" if it is about none. A number is one in
// a column of devices, or where a number is expected to be one.
func deviceOf(cell, column string, expected bool) string {
	match := deviceColumn.FindStringSubmatch(column)
	switch {
	case deviceCell.MatchString(cell):
		return cell
	case !number.MatchString(cell):
		return ""
	case match != nil:
		return strings.Replace(strings.ToLower(match[1])+" ", "dev ", "device ", 1) + cell
	case expected:
		return "device " + cell
	}
	return ""
}

// indentOf is the column that a line begins in.
func indentOf(text string) int {
	column := 0
	for _, c := range text {
		switch c {
		case ' ':
			column++
		case '\t':
			column += 8 - column%8
		default:
			return column
		}
	}
	return column
}

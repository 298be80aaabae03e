package diagnosis

import (
	"regexp"
	"strings"
)

// dmiLine is one line of ascend-dmi's. A line with a name begins an item; its word is the
// item's result, if it is on the same line.
type dmiLine struct {
	indent     int
	text       string // "" for a line that only draws
	name, word string
	sentence   string
}

var (
	drawn = regexp.MustCompile(`^[-+=|_*#.\s]*$`)
	// A word in capitals, which may be a result, in a sentence.
	capitals = regexp.MustCompile(`\b[A-Z][A-Z_]{2,30}\b`)
	// A result, alone: of the known ones and the usual ones in any case.
	result = regexp.MustCompile(`^(?:[A-Z][A-Z_]{2,30}|(?i:pass|health|skip|fail|(?:general|important|emergency)_warn|failed|error|time_?out|abnormal|unhealthy))$`)
	// A name and its result on one line: with a colon, dots, a dash, an arrow, brackets
	// or room between them.
	namedResult = regexp.MustCompile(`^([^:=|]{1,60}?)\s*(?:[:=]+|\.{2,}|\s-+|-+>|\t|\s{2,}|\s(?:\[))\s*(\[?[A-Za-z_]{3,31}\]?)\.?$`)
	// A heading, which says nothing else.
	heading = regexp.MustCompile(`^([^:=|]{1,60}?)\s*:$`)
	// A heading without its colon, where it stands as far to the left as one.
	bareHeading = regexp.MustCompile(`^[A-Za-z][\w -]{1,40}$`)
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
		return line.row()
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

// row reads a row of a table: a name, and one or more results.
func (line dmiLine) row() dmiLine {
	for cell := range strings.SplitSeq(line.text, "|") {
		cell = strings.TrimSpace(cell)
		word, ok := resultOf(cell)
		switch {
		case cell == "":
		case ok:
			line.word = worseWord(line.word, word)
		case line.name == "":
			line.name = cut(cell, maxSentence)
		}
	}
	if line.word == "" {
		line.name, line.sentence = "", line.text
	}
	return line
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

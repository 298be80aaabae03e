package ascend

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"

	"devserver-agent/executors/lazyregexp"
)

// MCU is the version of the image that a card's management controller runs.
// npu-smi gives it to root on a bare host only.
func (n Node) MCU(ctx context.Context, card int) (Version, error) {
	return ask(ctx, n.host, ParseMCUVersion, "npu-smi", "upgrade", "-b", "mcu", "-i", strconv.Itoa(card))
}

// MCUReport is the version of one card's MCU, or why it is not known.
type MCUReport struct {
	Card    int
	Version Version
	Err     error
}

// MCUs asks the MCU of each of these cards for its version, atOnce at a time as Limit
// takes it. The reports have the order of cards.
func (n Node) MCUs(ctx context.Context, cards []int, atOnce int) []MCUReport {
	n = NewNode(Limit(n.host, atOnce))
	reports := make([]MCUReport, len(cards))
	var all sync.WaitGroup
	for i, card := range cards {
		all.Go(func() {
			version, err := n.MCU(ctx, card)
			reports[i] = MCUReport{card, version, err}
		})
	}
	all.Wait()
	return reports
}

// ParseMCUVersion reads what `npu-smi upgrade -b mcu -i card` prints.
func ParseMCUVersion(out []byte) (Version, error) {
	if err := tooLong(out); err != nil {
		return "", err
	}
	var found Version
	for line := range lines(out) {
		f, ok := cutField(line, ":")
		if !ok || !f.named("Version") {
			continue
		}
		version, err := ParseVersion(f.Value)
		if err != nil {
			return "", err
		}
		if found != "" && found != version {
			return "", fmt.Errorf("gives %q and %q as version", found, version)
		}
		found = version
	}
	if found == "" {
		return "", errors.New("names no version")
	}
	return found, nil
}

// MCUReply is what npu-smi says of writing an MCU's image (`upgrade -t mcu`) or of
// having it run (`upgrade -a mcu`). The first line with Status is of the transfer,
// the last one of what was asked for.
type MCUReply struct {
	OK       bool     `json:"ok"`                 // it says so, and complains of nothing
	Messages []string `json:"messages,omitempty"` // its words, the complaint first if there is one
}

// What npu-smi complains of when it writes an image; it may exit with 0 all the
// same.
var mcuComplaint = lazyregexp.New(`(?i)failed to upgrade|cms_validate_sign|upgrade (?:fail|timeout)|please try again|validity\s*:\s*(?:fail|invalid)`)

const maxMCUMessages = 8

// ParseMCUReply reads such an answer. It has no wrong ones: what says nothing is
// not OK.
func ParseMCUReply(out []byte) MCUReply {
	var r MCUReply
	complained := false
	for line := range lines(out) {
		if mcuComplaint.MatchString(line) && !complained {
			complained = true
			r.Messages = append([]string{clip(strings.TrimSpace(line), maxValue)}, r.Messages...)
			continue
		}
		switch f, ok := cutField(line, ":"); {
		case !ok:
		case f.named("Status"):
			r.OK = f.Value == "OK"
		case f.named("Message") && len(r.Messages) < maxMCUMessages:
			r.Messages = append(r.Messages, clip(f.Value, maxValue))
		}
	}
	r.OK = r.OK && !complained
	return r
}

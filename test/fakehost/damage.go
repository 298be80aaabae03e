package fakehost

import (
	"bytes"
	"fmt"
)

// Harm is what can become of a file on a bad disk or a bad way.
type Harm string

// The harms. Each leaves the shell script at the head of an archive as it is.
const (
	InTheMiddle Harm = "middle"  // a block of zeros
	AtTheEnd    Harm = "end"     // another last byte
	Shorter     Harm = "shorter" // without its last quarter
	Longer      Harm = "longer"  // with more behind its end
)

// Harms are all of them.
var Harms = []Harm{InTheMiddle, AtTheEnd, Shorter, Longer}

// Do returns the content of a package with the harm done to it. The content is not
// changed; one that is not the archive of a package is an error.
func (h Harm) Do(content []byte) ([]byte, error) {
	payload := bytes.Index(content, []byte("\n\x1f\x8b")) + 1
	if payload == 0 || len(content)-payload < 64 {
		return nil, fmt.Errorf("fakehost: no archive of a package to harm")
	}
	harmed := bytes.Clone(content)
	last := len(harmed) - 1
	switch h {
	case InTheMiddle:
		middle := payload + (last-payload)/2
		copy(harmed[middle:], make([]byte, min(512, (last-payload)/4)))
	case AtTheEnd:
		harmed[last] ^= 0xff
	case Shorter:
		harmed = harmed[:payload+(last-payload)*3/4]
	case Longer:
		harmed = append(harmed, make([]byte, 4096)...)
	default:
		return nil, fmt.Errorf("fakehost: no harm %q", h)
	}
	return harmed, nil
}

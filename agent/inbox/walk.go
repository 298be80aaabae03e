package inbox

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
)

// header is protocol.Mailbox without its statements.
type header struct {
	ServerID   string            `json:"server_id"`
	Epoch      string            `json:"epoch"`
	AcceptedBy map[string]string `json:"accepted_by"`
}

// readHeader reads a mailbox as far as it is not statements. An error means that
// it is not JSON at all.
func readHeader(raw []byte) (h header, err error) {
	return h, json.Unmarshal(raw, &h)
}

// place is where in a mailbox a statement stands.
type place struct{ begin, end int }

// walk visits the statements of a mailbox one by one, still encoded, so that one
// that cannot be read does not spoil the others, and so that a large mailbox is
// never in memory twice.
func walk(raw []byte, visit func(place) error) error {
	d := json.NewDecoder(bytes.NewReader(raw))
	if _, err := d.Token(); err != nil {
		return err
	}
	var value json.RawMessage
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return err
		}
		if name, _ := key.(string); !strings.EqualFold(name, "statements") {
			if err := d.Decode(&value); err != nil {
				return err
			}
			continue
		}
		if err := walkList(d, &value, visit); err != nil {
			return err
		}
	}
	return nil
}

func walkList(d *json.Decoder, value *json.RawMessage, visit func(place) error) error {
	begin, err := d.Token()
	if err != nil || begin == nil { // null
		return err
	}
	if begin != json.Delim('[') {
		return fmt.Errorf("statements are no list but %.20v", begin)
	}
	for d.More() {
		if err := d.Decode(value); err != nil {
			return err
		}
		end := int(d.InputOffset())
		if err := visit(place{end - len(*value), end}); err != nil {
			return err
		}
	}
	_, err = d.Token()
	return err
}

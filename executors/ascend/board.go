package ascend

import (
	"cmp"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Board is what the driver says of one card, in its order and with its own
// keys. The methods give the fields that are used; Get gives any.
type Board struct {
	Fields []Field `json:"fields"`
}

// Compatibility is whether the running driver and firmware suit each other, as
// the driver judges it. It means something only after the installation of both
// has taken effect.
type Compatibility string

// The driver's words. Ordinary users get NOT SUPPORT.
const (
	CompatibilityOK         Compatibility = "OK"
	CompatibilityNOK        Compatibility = "NOK"
	CompatibilityUnknown    Compatibility = "UNKNOWN"
	CompatibilityNotSupport Compatibility = "NOT SUPPORT"
)

// Keys of the board query.
const (
	keyCard          = "NPU ID"
	keyProduct       = "Product Name"
	keyModel         = "Model"
	keyManufacturer  = "Manufacturer"
	keySerial        = "Serial Number"
	keyDriver        = "Software Version"
	keyFirmware      = "Firmware Version"
	keyCompatibility = "Compatibility"
	keyBus           = "PCIe Bus Info"
	keyVendor        = "PCI Vendor ID"
	keyDevice        = "PCI Device ID"
	keyVendorUB      = "Vendor ID" // of a card on UB, which is on no PCI bus
	keyDeviceUB      = "Device ID"
	keyChips         = "Chip Count"
)

// maxFields bounds the fields of one board; some twenty are known.
const maxFields = 128

// ParseBoard reads what `npu-smi info -t board -i card` prints. The answer must
// be about that card and name the driver's version; versions must be versions,
// or NA. A field that is given twice must be the same both times.
func ParseBoard(out []byte, card int) (Board, error) {
	var b Board
	if err := tooLong(out); err != nil {
		return b, err
	}
	for line := range lines(out) {
		f, ok := cutField(line, ":")
		if !ok || f.Key == "" || !f.sound() {
			continue
		}
		if former, given := b.Get(f.Key); given {
			if former != f.Value && known(f.Key) {
				return Board{}, fmt.Errorf("gives %q and %q as %s", former, f.Value, f.Key)
			}
			continue
		}
		if len(b.Fields) < maxFields {
			b.Fields = append(b.Fields, f)
		}
	}
	if err := b.check(card); err != nil {
		return Board{}, err
	}
	return b, nil
}

func (b Board) check(card int) error {
	id, given := b.Get(keyCard)
	if _, named := b.Get(keyDriver); !given || !named {
		return errors.New("is not board information")
	}
	if id != strconv.Itoa(card) {
		return fmt.Errorf("is about card %q, not card %d", id, card)
	}
	for _, key := range []string{keyDriver, keyFirmware} {
		value, given := b.Get(key)
		if !given || none(value) {
			continue
		}
		if _, err := ParseVersion(value); err != nil {
			return fmt.Errorf("gives %q as %s", value, key)
		}
	}
	return nil
}

func known(key string) bool {
	for _, k := range []string{keyCard, keyDriver, keyFirmware, keyCompatibility, keyBus, keyVendor, keyDevice} {
		if strings.EqualFold(k, key) {
			return true
		}
	}
	return false
}

// none reports whether a value is one of the ways to say that there is none.
func none(value string) bool {
	return value == "" || value == "-" || strings.EqualFold(value, "NA") || strings.EqualFold(value, "N/A")
}

// Get is the value of a field, whatever the case of its key.
func (b Board) Get(key string) (value string, given bool) {
	for _, f := range b.Fields {
		if f.named(key) {
			return f.Value, true
		}
	}
	return "", false
}

// text is a field's value, "" if it is not given or says that there is none.
func (b Board) text(key string) string {
	value, _ := b.Get(key)
	if none(value) {
		return ""
	}
	return value
}

// version is a field's version, "" where there is none. ParseBoard let only
// versions through.
func (b Board) version(key string) Version {
	v, err := ParseVersion(b.text(key))
	if err != nil {
		return ""
	}
	return v
}

// Driver is the version of the driver that runs, "" when it is not reported.
func (b Board) Driver() Version { return b.version(keyDriver) }

// Firmware is the version of the firmware that runs, "" when it is not reported,
// as to users other than root.
func (b Board) Firmware() Version { return b.version(keyFirmware) }

// Compatibility is the driver's word on whether the two suit each other, ""
// when there is none.
func (b Board) Compatibility() Compatibility {
	return Compatibility(strings.ToUpper(b.text(keyCompatibility)))
}

// Product is the card's product name, "" when it is not reported.
func (b Board) Product() string { return b.text(keyProduct) }

// Model is the card's model, "" when it is not reported.
func (b Board) Model() string { return b.text(keyModel) }

// Manufacturer is who made the card, "" when it is not reported.
func (b Board) Manufacturer() string { return b.text(keyManufacturer) }

// Serial is the card's serial number, "" when it is not reported.
func (b Board) Serial() string { return b.text(keySerial) }

// Bus is the PCI address of the card's first chip in lower case, as sysfs
// writes it, "" on an SoC.
func (b Board) Bus() string { return strings.ToLower(b.text(keyBus)) }

// IDs are the vendor and the device as the driver prints them, "" for one that it
// does not.
func (b Board) IDs() (vendor, device string) {
	return cmp.Or(b.text(keyVendor), b.text(keyVendorUB)), cmp.Or(b.text(keyDevice), b.text(keyDeviceUB))
}

// Chip is the card's chip family by its device id, "" for one that is not known.
func (b Board) Chip() Chip {
	vendorText, deviceText := b.IDs()
	vendor, vendorErr := parseID(vendorText)
	device, err := parseID(deviceText)
	if err != nil || (vendorErr == nil && vendor != VendorHuawei) {
		return ""
	}
	return ChipOf(device)
}

// Chips is the number of chips on the card, 0 when it is not reported or makes no sense.
func (b Board) Chips() int {
	n, err := strconv.ParseUint(b.text(keyChips), 10, 16)
	if err != nil || n > maxChips {
		return 0
	}
	return int(n)
}

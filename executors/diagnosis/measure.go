package diagnosis

import (
	"math"
	"strconv"
	"strings"

	"devserver-agent/executors/ascend"
	"devserver-agent/executors/lazyregexp"
)

// unitInKey is a unit that some releases write behind a key instead of its values.
var unitInKey = lazyregexp.New(`(?i)[(\[_ ]\s*(mW|uW|dBm|mV|V|deg ?C|C|Celsius)\s*[)\]]?$`)

// keyAndUnit is a key as ascend.PlainKey writes it, and the unit that is in it.
func keyAndUnit(key string) (plain, unit string) {
	if match := unitInKey.FindStringSubmatchIndex(key); match != nil {
		return ascend.PlainKey(key[:match[0]]), key[match[2]:match[3]]
	}
	return ascend.PlainKey(key), ""
}

// A figure and its unit.
var figureText = lazyregexp.New(`^([+-]?(?:\d+\.?\d*(?:[eE][+-]?\d+)?|\.\d+|[iI]nf))\s*([^\d\s].*)?$`)

// measured is the figure of a value in a unit of mW, mV or C. Its own unit, if it has one,
// counts more than that of its key; without any it is not known.
func measured(text, unitOfKey, unit string) (float64, bool) {
	match := figureText.FindStringSubmatch(strings.TrimSpace(comment.ReplaceAllString(text, "")))
	if match == nil {
		return 0, false
	}
	value, err := strconv.ParseFloat(match[1], 64)
	own := strings.ToLower(strings.TrimSpace(match[2]))
	if own == "" {
		own = strings.ToLower(unitOfKey)
	}
	convert := conversions[unit][strings.ReplaceAll(own, " ", "")]
	if err != nil || convert == nil || math.IsInf(value, 1) {
		return 0, false
	}
	value = convert(value)
	return value, value > -1e6 && value < 1e6
}

func times(factor float64) func(float64) float64 {
	return func(value float64) float64 { return value * factor }
}

// conversions lead from a unit, in lower case, to the one that is judged.
var conversions = map[string]map[string]func(float64) float64{
	"mW": {"mw": times(1), "uw": times(1e-3), "µw": times(1e-3), "dbm": func(dbm float64) float64 { return math.Pow(10, dbm/10) }},
	"mV": {"mv": times(1), "v": times(1e3)},
	"C":  {"c": times(1), "degc": times(1), "°c": times(1), "℃": times(1), "celsius": times(1)},
}

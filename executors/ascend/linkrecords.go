package ascend

import (
	"slices"
	"strings"
	"time"

	"devserver-agent/executors/lazyregexp"
)

// A record is a time and a state, in any order. Releases differ in how they write both
// and in what else is in the line: the device, a number of the record.
var (
	recordTime = lazyregexp.New(`\b(?:[A-Z][a-z]{2} [A-Z][a-z]{2} [ 0-3]?\d \d{2}:\d{2}:\d{2}(?: [A-Z]{1,5}| [+-]\d{4})? \d{4}\b` +
		`|\d{4}[-/]\d{1,2}[-/]\d{1,2}[ T]+\d{2}:\d{2}:\d{2}(?:\.\d{1,9})?(?: ?(?:Z|UTC|GMT)\b| ?[+-]\d{2}:?\d{2}\b)?)`)
	recordState = lazyregexp.New(`(?i)(?:\bLINK(?:[ _-]?STATUS)?[ _:=-]*|\b)(UP|DOWN)\b`)
	digit       = lazyregexp.New(`\d`)
)

// linkRecords is a LinkHistory on the way.
type linkRecords struct {
	is      LinkHistory
	now     deviceTime
	times   []deviceTime // of the changes
	about   bool         // it says something of a history
	records bool         // what follows are records
}

func (r *linkRecords) take(line string) error {
	line = whose.ReplaceAllString(strings.TrimSpace(line), "")
	f, _ := cutField(line, ":")
	var err error
	switch PlainKey(f.Key) {
	case "currenttime", "currenttimeutc":
		r.now, _ = parseDeviceTime(f.Value) // without it nothing is concluded from the times
	case "linkupcount", "linkupcnt":
		r.is.Up, err = optionalCount(f)
	case "linkdowncount", "linkdowncnt":
		r.is.Down, err = optionalCount(f)
	case "linkchangerecords", "linkchangerecord":
		r.records = true
	default:
		r.record(line)
		return nil
	}
	r.about = true
	return err
}

// record takes in any other line, which is a record if it has a time and a state, and may
// be one if it has either, or if it is where records are and has a number.
func (r *linkRecords) record(line string) {
	text := recordTime.FindString(line)
	states := recordState.FindAllStringSubmatch(recordTime.ReplaceAllString(line, ""), 2)
	at, known := parseDeviceTime(text)
	switch {
	case known && len(states) == 1:
		r.about = true
		if len(r.times) < maxChanges {
			r.times = append(r.times, at)
			r.is.Changes = append(r.is.Changes, LinkChange{Up: strings.EqualFold(states[0][1], "UP")})
		}
	case text != "", len(states) > 0 && digit.MatchString(line), r.records && digit.MatchString(line):
		r.about = r.about || len(states) > 0
		r.is.Unread++
		if r.is.Unread == 1 {
			r.is.UnreadRecord = quote([]byte(line), maxSaid)
		}
	}
}

// history is what was read. Times are compared by their zones if all have one.
func (r *linkRecords) history() LinkHistory {
	zoned := !slices.ContainsFunc(append(slices.Clone(r.times), r.now), func(t deviceTime) bool { return !t.zoned })
	pick := func(t deviceTime) time.Time {
		if zoned {
			return t.utc
		}
		return t.wall
	}
	r.is.Now = pick(r.now)
	for i, t := range r.times {
		r.is.Changes[i].At = pick(t)
	}
	return r.is
}

// deviceTime is a time as a device writes it, and in UTC if it gives its zone as a
// difference to that.
type deviceTime struct {
	wall, utc time.Time
	zoned     bool
}

// zone is how a time's zone is written; a name such as CST may mean several.
var zone = lazyregexp.New(` ?(Z|UTC|GMT|[+-]\d{2}:?\d{2})$| ([A-Z]{1,5}|[+-]\d{4})( \d{4})$`)

func parseDeviceTime(text string) (t deviceTime, known bool) {
	text = strings.TrimSpace(text)
	name := ""
	if at := zone.FindStringSubmatchIndex(text); at != nil && strings.Contains(text, ":") {
		match := zone.FindStringSubmatch(text)
		name = match[1] + match[2]
		text = text[:at[0]] + match[3]
	}
	wall, err := time.Parse(time.ANSIC, text)
	if err != nil {
		date, clock, _ := strings.Cut(strings.Replace(text, "T", " ", 1), " ")
		wall, err = time.Parse("2006-1-2 15:04:05", strings.ReplaceAll(date, "/", "-")+" "+strings.TrimSpace(clock))
	}
	if err != nil || wall.Year() < 1900 || wall.Year() > 9000 { // no clock says so
		return deviceTime{}, false
	}
	t = deviceTime{wall: wall, utc: wall, zoned: name == "Z" || name == "UTC" || name == "GMT"}
	if offset, err := time.Parse("-0700", strings.ReplaceAll(name, ":", "")); err == nil {
		_, seconds := offset.Zone()
		t.utc, t.zoned = wall.Add(-time.Duration(seconds)*time.Second), true
	}
	return t, true
}

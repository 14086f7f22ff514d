package pebble

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"stocktake/internal/inventory"
)

// Stored values begin with the version of their encoding. Blocks and log records have checksums of Pebble's own, so
// values carry none; a value that does not decode to its last byte is damaged all the same, and says where. What older
// versions stored is read as they wrote it: version 1 had refs with another coding of numbers.
const (
	valueVersion  = 2
	oldestVersion = 1
)

// decoder reads a value field by field. The first field that does not fit sets err, after which every read gives zeros.
type decoder struct {
	buf     []byte
	at      int
	err     error
	version byte
	// part is which refs are asked for; of the rest nothing is kept.
	part part
}

func newDecoder(value []byte) *decoder {
	d := &decoder{buf: value}
	if d.version = d.byte(); d.err == nil && (d.version < oldestVersion || d.version > valueVersion) {
		d.fail("has encoding %d, this program knows %d to %d", d.version, oldestVersion, valueVersion)
	}
	return d
}

func (d *decoder) fail(format string, args ...any) {
	if d.err == nil {
		d.err = fmt.Errorf("value at byte %d: %s", d.at, fmt.Sprintf(format, args...))
	}
	d.at = len(d.buf)
}

// end gives the decoder's error, bytes left over being one.
func (d *decoder) end() error {
	if d.err == nil && d.at != len(d.buf) {
		d.fail("%d bytes too many", len(d.buf)-d.at)
	}
	return d.err
}

func (d *decoder) left() int { return len(d.buf) - d.at }

func (d *decoder) byte() byte {
	if d.left() < 1 {
		d.fail("is cut short")
		return 0
	}
	d.at++
	return d.buf[d.at-1]
}

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.buf[d.at:])
	if n <= 0 {
		d.fail("has no number")
		return 0
	}
	d.at += n
	return v
}

func (d *decoder) varint() int64 {
	v, n := binary.Varint(d.buf[d.at:])
	if n <= 0 {
		d.fail("has no number")
		return 0
	}
	d.at += n
	return v
}

// count reads how many things follow, each of which takes at least size bytes, so that a damaged count cannot ask for
// more memory than the value's own size warrants.
func (d *decoder) count(size int) int {
	n := d.uvarint()
	if n > uint64(d.left()/size) {
		d.fail("counts %d things in %d bytes", n, d.left())
		return 0
	}
	return int(n)
}

func (d *decoder) bytes(n int) []byte {
	if n < 0 || n > d.left() {
		d.fail("is cut short")
		return nil
	}
	d.at += n
	return d.buf[d.at-n : d.at]
}

func (d *decoder) string() string { return string(d.bytes(d.count(1))) }

// name reads a string that is one of few: those that nearly every record holds cost no memory.
func (d *decoder) name() string {
	b := d.bytes(d.count(1))
	switch string(b) {
	case "":
		return ""
	case "1.0":
		return "1.0"
	case "1.1":
		return "1.1"
	case "Active":
		return "Active"
	case "AWS:Application":
		return "AWS:Application"
	case "AWS:AWSComponent":
		return "AWS:AWSComponent"
	case "AWS:ComplianceItem":
		return "AWS:ComplianceItem"
	case "AWS:InstanceDetailedInformation":
		return "AWS:InstanceDetailedInformation"
	case "AWS:InstanceInformation":
		return "AWS:InstanceInformation"
	case "AWS:Network":
		return "AWS:Network"
	case "AWS:PatchSummary":
		return "AWS:PatchSummary"
	case "AWS:Service":
		return "AWS:Service"
	case "AWS:WindowsUpdate":
		return "AWS:WindowsUpdate"
	}
	return string(b)
}

func appendString(dst []byte, s string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

func appendEntry(dst []byte, e inventory.Entry) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(e)))
	for _, a := range e {
		dst = appendString(appendString(dst, a.Name), a.Value)
	}
	return dst
}

func (d *decoder) entry() inventory.Entry {
	n := d.count(2)
	if n == 0 {
		return nil
	}
	e := make(inventory.Entry, n)
	for i := range e {
		e[i].Name = d.string()
		e[i].Value = d.string()
	}
	return e
}

// Packed strings: capture times and hashes take the room of what they say. The low two bits of the leading number tell
// the form, the rest is a length, or for a time its seconds.
const (
	packedRaw  = 0
	packedTime = 1
	packedHex  = 2
	packedBase = 3 // base64, padded
)

func appendPacked(dst []byte, s string) []byte {
	if t, ok := parseSeconds(s); ok {
		return binary.AppendUvarint(dst, uint64(t)<<2|packedTime)
	}
	if len(s) >= 16 && len(s)%2 == 0 && lowerHex(s) {
		dst = binary.AppendUvarint(dst, uint64(len(s)/2)<<2|packedHex)
		at := len(dst)
		dst = append(dst, s[:len(s)/2]...)
		_, _ = hex.Decode(dst[at:], []byte(s)) // every byte was looked at
		return dst
	}
	if raw, ok := fromBase64(s); ok {
		dst = binary.AppendUvarint(dst, uint64(len(raw))<<2|packedBase)
		return append(dst, raw...)
	}
	dst = binary.AppendUvarint(dst, uint64(len(s))<<2|packedRaw)
	return append(dst, s...)
}

// fromBase64 gives what a string says in base64, if encoding that gives the string back.
func fromBase64(s string) ([]byte, bool) {
	if len(s) < 16 || len(s)%4 != 0 || strings.ContainsAny(s, "\r\n") {
		return nil, false
	}
	raw, err := base64.StdEncoding.Strict().DecodeString(s)
	return raw, err == nil
}

func (d *decoder) packed() string { return string(d.appendPacked(nil)) }

// appendPacked reads a packed string into dst.
func (d *decoder) appendPacked(dst []byte) []byte {
	head := d.uvarint()
	n := head >> 2
	switch {
	case head&3 == packedTime && n <= maxSeconds:
		return appendSeconds(dst, int64(n))
	case head&3 == packedHex && n <= uint64(d.left()):
		return hex.AppendEncode(dst, d.bytes(int(n)))
	case head&3 == packedBase && n <= uint64(d.left()):
		return base64.StdEncoding.AppendEncode(dst, d.bytes(int(n)))
	case head&3 == packedRaw && n <= uint64(d.left()):
		return append(dst, d.bytes(int(n))...)
	}
	d.fail("has a string of no known form")
	return dst
}

func lowerHex(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// timeLength is that of a time in the wire's one form.
const timeLength = len("2006-01-02T15:04:05Z")

// maxSeconds is 9999-12-31T23:59:59Z in seconds after year 0.
const maxSeconds = 3652425*86400 - 1

// parseSeconds reads a time in the wire's one form, 2006-01-02T15:04:05Z, as seconds after the beginning of year 0. Only
// a string that appendSeconds gives back byte for byte is one.
func parseSeconds(s string) (int64, bool) {
	if len(s) != timeLength || s[4] != '-' || s[7] != '-' || s[10] != 'T' || s[13] != ':' || s[16] != ':' || s[19] != 'Z' {
		return 0, false
	}
	year, ok0 := digits(s[0:4])
	month, ok1 := digits(s[5:7])
	day, ok2 := digits(s[8:10])
	hour, ok3 := digits(s[11:13])
	minute, ok4 := digits(s[14:16])
	second, ok5 := digits(s[17:19])
	if !(ok0 && ok1 && ok2 && ok3 && ok4 && ok5) || month < 1 || month > 12 || hour > 23 || minute > 59 || second > 59 {
		return 0, false
	}
	if day < 1 || day > daysIn(year, month) {
		return 0, false
	}
	days := daysBefore(year) + int64(daysBeforeMonth[month-1]) + int64(day-1)
	if month > 2 && leap(year) {
		days++
	}
	return days*86400 + int64(hour*3600+minute*60+second), true
}

// appendSeconds undoes parseSeconds. Years are counted from March on, so that the day a leap year has more is its last; 400
// years are always as many days.
func appendSeconds(dst []byte, t int64) []byte {
	const era, first = 146097, 60 // days of 400 years; of January and February of year 0
	days, second := uint64(t)/86400+era-first, uint64(t)%86400
	of := days % era
	years := (of - of/1460 + of/36524 - of/146096) / 365
	day := of - (365*years + years/4 - years/100)
	month := (5*day + 2) / 153
	day -= (153*month + 2) / 5
	year := days/era*400 + years - 400
	if month += 3; month > 12 {
		month -= 12
		year++
	}
	return append(dst,
		digit(year/1000), digit(year/100), digit(year/10), digit(year), '-', digit(month/10), digit(month), '-', digit((day+1)/10), digit(day+1),
		'T', digit(second/36000), digit(second/3600), ':', digit(second/600%6), digit(second/60), ':', digit(second/10%6), digit(second), 'Z')
}

func digit(n uint64) byte { return '0' + byte(n%10) }

var daysBeforeMonth = [12]int{0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334}

func leap(year int) bool { return year%4 == 0 && (year%100 != 0 || year%400 == 0) }

// daysBefore counts the days of the years 0 to year-1.
func daysBefore(year int) int64 {
	if year == 0 {
		return 0
	}
	y := int64(year - 1)
	return 365*int64(year) + y/4 - y/100 + y/400 + 1 // year 0 is a leap year
}

func daysIn(year, month int) int {
	switch {
	case month == 2 && leap(year):
		return 29
	case month == 12:
		return 31
	}
	return daysBeforeMonth[month] - daysBeforeMonth[month-1]
}

func digits(s string) (n int, ok bool) {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
		n = n*10 + int(s[i]-'0')
	}
	return n, true
}

// Times are seconds and nanoseconds after the Unix epoch, both signed, each as its difference to the time before it in
// the same value (which is mostly none).
func appendTime(dst []byte, t, before time.Time) []byte {
	dst = binary.AppendVarint(dst, t.Unix()-before.Unix())
	return binary.AppendVarint(dst, int64(t.Nanosecond())-int64(before.Nanosecond()))
}

func (d *decoder) time(before time.Time) time.Time {
	sec := d.varint()
	nsec := d.varint() + int64(before.Nanosecond())
	if d.err == nil && (nsec < 0 || nsec >= 1e9 || sec > math.MaxInt64/4 || sec < math.MinInt64/4) {
		d.fail("has a time out of range")
	}
	if d.err != nil {
		return time.Time{}
	}
	return time.Unix(before.Unix()+sec, nsec).UTC()
}

var errNoText = errors.New("a document names a shape that has no text")

package postgres

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"time"

	"stocktake/internal/inventory"
)

// Stored values begin with the version of their encoding. Pages may have checksums of the server's own (or not); a value
// that does not decode to its last byte is damaged in any case, and says where.
const valueVersion = 1

var errNoText = errors.New("a document names a shape that has no text")

// decoder reads a value field by field. The first field that does not fit sets err, after which every read gives zeros.
type decoder struct {
	buf []byte
	at  int
	err error
}

func newDecoder(value []byte) *decoder {
	d := &decoder{buf: value}
	if v := d.byte(); d.err == nil && v != valueVersion {
		d.fail("has encoding %d, this program knows %d", v, valueVersion)
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
	b := d.bytes(1)
	if d.err != nil {
		return 0
	}
	return b[0]
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

// number reads what fits an int.
func (d *decoder) number() int {
	v := d.uvarint()
	if v > math.MaxInt32 {
		d.fail("has the number %d", v)
		return 0
	}
	return int(v)
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
// the form; the rest is a length, or for a time its seconds (zigzag) after the year 2000.
const (
	packedRaw  = 0
	packedTime = 1
	packedHex  = 2

	secondsOf2000 = 946684800
)

func appendPacked(dst []byte, s string) []byte {
	if t, ok := parseSeconds(s); ok {
		t -= secondsOf2000
		return binary.AppendUvarint(dst, uint64(t<<1^t>>63)<<2|packedTime)
	}
	if len(s) >= 16 && len(s)%2 == 0 && lowerHex(s) {
		dst = binary.AppendUvarint(dst, uint64(len(s)/2)<<2|packedHex)
		at := len(dst)
		dst = append(dst, s[:len(s)/2]...)
		_, _ = hex.Decode(dst[at:], []byte(s)) // every byte was looked at
		return dst
	}
	dst = binary.AppendUvarint(dst, uint64(len(s))<<2|packedRaw)
	return append(dst, s...)
}

func (d *decoder) packed() string {
	head := d.uvarint()
	n := head >> 2
	switch head & 3 {
	case packedTime:
		t := int64(n>>1) ^ -int64(n&1)
		if t >= minSeconds-secondsOf2000 && t <= maxSeconds-secondsOf2000 {
			return time.Unix(t+secondsOf2000, 0).UTC().Format(time.RFC3339)
		}
	case packedHex:
		if n <= uint64(d.left()) {
			return hex.EncodeToString(d.bytes(int(n)))
		}
	case packedRaw:
		if n <= uint64(d.left()) {
			return string(d.bytes(int(n)))
		}
	}
	d.fail("has a string of no known form")
	return ""
}

func lowerHex(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// The seconds of 0000-01-01T00:00:00Z and 9999-12-31T23:59:59Z.
const (
	minSeconds = -62167219200
	maxSeconds = 253402300799
)

// parseSeconds reads a time in the wire's one form, 2006-01-02T15:04:05Z, which formatting gives back byte for byte.
func parseSeconds(s string) (int64, bool) {
	if len(s) != 20 || s[19] != 'Z' {
		return 0, false
	}
	t, err := time.Parse(time.RFC3339, s)
	return t.Unix(), err == nil
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

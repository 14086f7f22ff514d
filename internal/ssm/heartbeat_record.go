package ssm

import (
	"encoding/binary"
	"errors"
	"maps"
	"math"
	"slices"
	"time"

	"stocktake/internal/inventory"
)

// bucketVersion begins the record of a bucket.
const bucketVersion = 1

var errBucket = errors.New("heartbeats are cut short or of another version")

// encodeBucket gives the record of a bucket: the version; a moment all times are near; the number of heartbeats, and for
// each, by node, the id and the time from that moment; then the same of refusals, to the millisecond and with their texts.
func encodeBucket(b *bucket) []byte {
	var base int64
	for _, heard := range b.beats {
		base = max(base, heard.at)
	}
	out := []byte{bucketVersion}
	out = binary.AppendVarint(out, base)
	out = binary.AppendUvarint(out, uint64(len(b.beats)))
	for _, id := range slices.Sorted(maps.Keys(b.beats)) {
		out = appendText(out, string(id))
		out = binary.AppendVarint(out, b.beats[id].at-base)
	}
	out = binary.AppendUvarint(out, uint64(len(b.refusals)))
	for _, id := range slices.Sorted(maps.Keys(b.refusals)) {
		r := b.refusals[id]
		out = appendText(out, string(id))
		out = binary.AppendVarint(out, r.Time.UnixMilli()-1000*base)
		for _, text := range [...]string{r.Action, r.Code, r.Text} {
			out = appendText(out, text)
		}
	}
	return out
}

func appendText(dst []byte, s string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

// decodeBucket undoes encodeBucket. What is not a whole record is an error, whatever it holds.
func decodeBucket(text []byte) (*bucket, error) {
	r := bucketReader{text: text}
	b := &bucket{beats: map[inventory.NodeID]beat{}, refusals: map[inventory.NodeID]Refusal{}}
	if len(text) == 0 || text[0] != bucketVersion {
		return nil, errBucket
	}
	r.text = text[1:]
	base := r.number()
	for range r.length() {
		id := inventory.NodeID(r.string())
		b.beats[id] = beat{at: r.time(base)}
	}
	for range r.length() {
		id := inventory.NodeID(r.string())
		at := r.scaled(base, 1000)
		b.refusals[id] = Refusal{Time: time.UnixMilli(at).UTC(), Action: r.string(), Code: r.string(), Text: r.string()}
	}
	if r.bad || len(r.text) > 0 {
		return nil, errBucket
	}
	return b, nil
}

// bucketReader reads a record from front to back; bad stays set once it met what cannot be read.
type bucketReader struct {
	text []byte
	bad  bool
}

func (r *bucketReader) skip(n int) {
	if n <= 0 {
		r.bad, r.text = true, nil
		return
	}
	r.text = r.text[n:]
}

func (r *bucketReader) number() int64 {
	v, n := binary.Varint(r.text)
	r.skip(n)
	return v
}

func (r *bucketReader) time(base int64) int64 { return r.scaled(base, 1) }

// scaled reads a time from a moment in seconds, in so many parts of a second. What no clock can say is taken for damage.
func (r *bucketReader) scaled(base, parts int64) int64 {
	const most = 4 * math.MaxInt32
	from := r.number()
	if base < 0 || base > most || from < -base*parts || from > most*parts {
		r.bad, r.text = true, nil
		return 0
	}
	return base*parts + from
}

// length reads how much follows, at most as many as there are bytes.
func (r *bucketReader) length() int {
	v, n := binary.Uvarint(r.text)
	r.skip(n)
	if v > uint64(len(r.text)) {
		r.bad, r.text = true, nil
		return 0
	}
	return int(v)
}

func (r *bucketReader) string() string {
	n := r.length()
	s := string(r.text[:n])
	r.text = r.text[n:]
	return s
}

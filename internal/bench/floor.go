package bench

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"
)

const (
	floorBodies = 20
	floorSyncs  = 50
)

// floors measures what parts of the work cost at least, round by round.
type floors struct {
	scan, sum, sync4 []float64 // by round
	all4, all64      []float64
	measured         int // rounds
}

// measure takes the floors of a round, once, whichever side asks first.
func (f *floors) measure(b *bench, round int) error {
	if round < f.measured {
		return nil
	}
	f.measured++
	r := b.runs[0]
	bodies := make([][]byte, floorBodies)
	for i := range bodies {
		bodies[i] = r.fleet.Report(i%r.Nodes, 0).AppendPutInventory(nil)
	}
	found := 0
	f.scan = append(f.scan, quickest(bodies, func(body []byte) { found += scan(body) }))
	if found == 0 {
		return errors.New("the scan of a report found nothing")
	}
	f.sum = append(f.sum, quickest(bodies, func(body []byte) { sum := sha256.Sum256(body); found += int(sum[0]) }))
	four, err := syncs(b.Data, 4<<10)
	if err != nil {
		return fmt.Errorf("floor of fsync: %w", err)
	}
	sixtyFour, err := syncs(b.Data, 64<<10)
	if err != nil {
		return fmt.Errorf("floor of fsync: %w", err)
	}
	f.sync4 = append(f.sync4, quantile(four, 0.5))
	f.all4, f.all64 = append(f.all4, four...), append(f.all64, sixtyFour...)
	return nil
}

func (f *floors) result() Floors {
	slices.Sort(f.all4)
	slices.Sort(f.all64)
	return Floors{
		Scan: spreadOf(f.scan), SHA256: spreadOf(f.sum), Fsync4: spreadOf(f.sync4),
		Fsync4P99: quantile(f.all4, 0.99), Fsync64P50: quantile(f.all64, 0.5), Fsync64P99: quantile(f.all64, 0.99),
	}
}

// quickest gives the microseconds something takes with one of the bodies: of five passes over all of them the quickest,
// for others that use the machine only make it slower.
func quickest(bodies [][]byte, do func(body []byte)) float64 {
	best := time.Duration(1<<63 - 1)
	for range 5 {
		began := time.Now()
		for _, body := range bodies {
			do(body)
		}
		best = min(best, time.Since(began))
	}
	return float64(best.Nanoseconds()) / 1000 / float64(len(bodies))
}

// syncs appends to a new file in a folder and syncs it, many times, and gives the sorted milliseconds of each.
func syncs(dir string, size int) (took []float64, err error) {
	file, err := os.CreateTemp(dir, "stocktake-fsync-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, file.Close(), os.Remove(file.Name())) }()
	page := make([]byte, size)
	for range floorSyncs {
		began := time.Now()
		if _, err := file.Write(page); err != nil {
			return nil, err
		}
		if err := file.Sync(); err != nil {
			return nil, err
		}
		took = append(took, milliseconds(time.Since(began)))
	}
	slices.Sort(took)
	return took, nil
}

// scan finds every name and every value of a JSON text and gives how many bytes of text they have. It checks nothing else:
// the least that any reader of the text does.
func scan(text []byte) int {
	n := 0
	for i := 0; i < len(text); i++ {
		if text[i] != '"' {
			continue
		}
		i++
		from := i
		for ; i < len(text) && text[i] != '"'; i++ {
			if text[i] == '\\' {
				i++
			}
		}
		n += i - from
	}
	return n
}

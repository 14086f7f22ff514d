package index

import "bytes"

// SweepAll sweeps all garbage, however little.
func (x *Index) SweepAll() (shapes, nodes int) { return x.sweep(func(int) int { return 0 }) }

// Still freezes every partition and gives a function that writes what is frozen.
func (x *Index) Still() func() []byte {
	var parts []*still
	for _, part := range x.all() {
		parts = append(parts, part.still())
	}
	return func() []byte {
		var b bytes.Buffer
		for _, p := range parts {
			p.write(&sectionWriter{w: &b})
		}
		return b.Bytes()
	}
}

// WhileUnsettled calls f as if the nodes of a shard were being replaced.
func (x *Index) WhileUnsettled(shard int, f func()) {
	x.unsettle(shard)
	f()
	x.unsettle(shard)
}

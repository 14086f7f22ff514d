package bench

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// Ceilings are how many objects a product may allocate for one request of a kind, by the name of its line. Counts of
// allocations are the same on every machine, near enough, where times are not.
type Ceilings map[string]float64

// ReadCeilings reads lines of a number, a space and the name of an operation. Empty lines and those that begin with # are
// passed over.
func ReadCeilings(r io.Reader) (Ceilings, error) {
	all := Ceilings{}
	lines := bufio.NewScanner(r)
	for n := 1; lines.Scan(); n++ {
		text := strings.TrimSpace(lines.Text())
		if text == "" || text[0] == '#' {
			continue
		}
		count, name, _ := strings.Cut(text, " ")
		most, err := strconv.ParseFloat(count, 64)
		if err != nil || most <= 0 || strings.TrimSpace(name) == "" {
			return nil, fmt.Errorf("line %d: %q is not a number above 0 and the name of an operation", n, text)
		}
		all[strings.TrimSpace(name)] = most
	}
	return all, lines.Err()
}

// Check fails when a product allocates more for a request than its ceiling says, and when a ceiling is of an operation
// that was not measured.
func (c Ceilings) Check(r *Result) error {
	var all []error
	for name, most := range c {
		measured := false
		for _, l := range r.Lines {
			if l.Name != name {
				continue
			}
			for i, o := range l.Sides {
				if o == nil || o.Allocations == nil {
					continue
				}
				measured = true
				if o.Allocations.Median > most {
					all = append(all, fmt.Errorf("%s: %s: %.0f allocations a request, and no more than %.0f are allowed", name, r.Sides[i].Name, o.Allocations.Median, most))
				}
			}
		}
		if !measured {
			all = append(all, fmt.Errorf("%s: a ceiling of something whose allocations were not measured", name))
		}
	}
	return errors.Join(all...)
}

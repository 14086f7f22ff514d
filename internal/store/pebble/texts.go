package pebble

import (
	engine "github.com/cockroachdb/pebble/v2"
)

// shapeScan reads texts of shapes in the order of their numbers: a few one by one, many by one walk over the rows.
type shapeScan struct {
	v     *view
	space uint32
	it    *engine.Iterator // nil where a few are read
	last  uint32           // the number the iterator stands on; 0 before the first
}

const (
	// fewShapes are read one by one: less work than making an iterator.
	fewShapes = 16
	// nearShapes is how far ahead the iterator goes step by step rather than seeking.
	nearShapes = 8
)

func newShapeScan(v *view, space uint32, shapes int) (*shapeScan, error) {
	s := &shapeScan{v: v, space: space}
	if shapes <= fewShapes {
		return s, nil
	}
	lower, upper := shapeRowKey(kindShape, space, 0), shapeRowKey(kindShape, space+1, 0)
	it, err := v.snapshot.NewIter(&engine.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		return nil, damaged(lower, err)
	}
	s.it = it
	return s, nil
}

// text gives the text of a number, which is not below the one asked for before.
func (s *shapeScan) text(number uint32) (text string, found bool, err error) {
	key := shapeRowKey(kindShape, s.space, number)
	if s.it == nil {
		found, err = s.v.get(key, func(value []byte) error {
			text = string(value)
			return nil
		})
		return text, found, err
	}
	if err := s.move(key, number); err != nil {
		return "", false, err
	}
	if !s.it.Valid() || string(s.it.Key()) != string(key) {
		return "", false, nil
	}
	value, err := s.it.ValueAndErr()
	if err != nil {
		return "", false, damaged(key, err)
	}
	return string(value), true, nil
}

// move puts the iterator on a key or, where it is not stored, on one after it.
func (s *shapeScan) move(key []byte, number uint32) error {
	if s.last == 0 || number-s.last > nearShapes {
		s.it.SeekGE(key)
	} else {
		for s.it.Valid() && string(s.it.Key()) < string(key) {
			s.it.Next()
		}
	}
	s.last = number
	if err := s.it.Error(); err != nil {
		return damaged(key, err)
	}
	return nil
}

func (s *shapeScan) close() error {
	if s.it == nil {
		return nil
	}
	return s.it.Close()
}

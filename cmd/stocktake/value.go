package main

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// duration is a span of time as a setting writes it: Go's notation with `d` for days of 24 hours before it, or 0.
type duration time.Duration

// UnmarshalText reads "30d", "1d12h", "90m" or "0".
func (d *duration) UnmarshalText(text []byte) error {
	s := string(text)
	bad := fmt.Errorf("%q is no span of time: write for example 30d, 12h, 1d12h, 90m or 0", s)
	var days int64
	rest := s
	if head, tail, ok := strings.Cut(s, "d"); ok {
		n, err := strconv.ParseUint(head, 10, 32)
		if err != nil {
			return bad
		}
		days, rest = int64(n), tail
	}
	var span time.Duration
	if rest != "" {
		var err error
		if span, err = time.ParseDuration(rest); err != nil || span < 0 {
			return bad
		}
	} else if s == "" {
		return bad
	}
	if days > int64((math.MaxInt64-span)/(24*time.Hour)) {
		return fmt.Errorf("%q is too long: at most some 290 years", s)
	}
	*d = duration(time.Duration(days)*24*time.Hour + span)
	return nil
}

func (d duration) String() string {
	const day = 24 * time.Hour
	span := time.Duration(d)
	if span == 0 {
		return "0"
	}
	var s string
	if span >= day {
		s = strconv.FormatInt(int64(span/day), 10) + "d"
		span %= day
	}
	if span == 0 {
		return s
	}
	rest := span.String()
	if strings.HasSuffix(rest, "m0s") {
		rest = strings.TrimSuffix(rest, "0s")
	}
	if strings.HasSuffix(rest, "h0m") {
		rest = strings.TrimSuffix(rest, "0m")
	}
	return s + rest
}

// size is a number of bytes as a setting writes it: a number, or one with KiB, MiB or GiB.
type size int

var units = []struct {
	name  string
	bytes int
}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}}

// UnmarshalText reads "3MiB", "512KiB" or "1048576".
func (z *size) UnmarshalText(text []byte) error {
	s := string(text)
	number, factor := s, 1
	for _, u := range units {
		if head, ok := strings.CutSuffix(s, u.name); ok {
			number, factor = strings.TrimSpace(head), u.bytes
			break
		}
	}
	n, err := strconv.ParseUint(number, 10, strconv.IntSize-1)
	if err != nil || int(n) > math.MaxInt/factor {
		return fmt.Errorf("%q is no size: write bytes, or a whole number of KiB, MiB or GiB, for example 3MiB", s)
	}
	*z = size(int(n) * factor)
	return nil
}

func (z size) String() string {
	for _, u := range units {
		if z != 0 && int(z)%u.bytes == 0 {
			return strconv.Itoa(int(z)/u.bytes) + u.name
		}
	}
	return strconv.Itoa(int(z))
}

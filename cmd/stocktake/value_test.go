package main

import (
	"testing"
	"time"
)

func TestDurationReadsDays(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"0":     0,
		"30d":   30 * 24 * time.Hour,
		"1d12h": 36 * time.Hour,
		"90m":   90 * time.Minute,
		"1h30m": 90 * time.Minute,
		"0d":    0,
		"1500h": 1500 * time.Hour,
		"250ms": 250 * time.Millisecond,
	} {
		var d duration
		if err := d.UnmarshalText([]byte(text)); err != nil || time.Duration(d) != want {
			t.Errorf("%q reads as %v (%v), want %v", text, time.Duration(d), err, want)
		}
	}
}

func TestDurationRefusesNonsense(t *testing.T) {
	for _, text := range []string{"", "d", "30", "-1d", "-5m", "1.5d", "3w", "30 d", "1d-1h", "99999999d", "9999999999999h", "1dd"} {
		var d duration
		if err := d.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q reads as %v", text, time.Duration(d))
		}
	}
}

func TestSizeReadsBytes(t *testing.T) {
	for text, want := range map[string]size{
		"0": 0, "1024": 1 << 10, "512KiB": 512 << 10, "3MiB": 3 << 20, "4GiB": 4 << 30, "4294967296": 4 << 30, "4294967297": 4<<30 + 1,
	} {
		var z size
		if err := z.UnmarshalText([]byte(text)); err != nil || z != want {
			t.Errorf("%q reads as %d (%v), want %d", text, z, err, want)
		}
	}
}

func TestSizeRefusesNonsense(t *testing.T) {
	for _, text := range []string{"", "MiB", "3MB", "-1", "1.5MiB", "99999999999999999999", "2147483647GiBGiB", "9223372036854775808", "8589934592GiB"} {
		var z size
		if err := z.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q reads as %d", text, z)
		}
	}
}

// FuzzValues holds both notations to their way back: what was printed reads as what it was printed from.
func FuzzValues(f *testing.F) {
	for _, seed := range []string{"30d", "1d12h", "5m", "0", "3MiB", "1024", "1h0m1s", "512KiB"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var d, d2 duration
		if d.UnmarshalText([]byte(text)) == nil {
			if err := d2.UnmarshalText([]byte(d.String())); err != nil || d2 != d {
				t.Errorf("%q prints as %q, which reads as %v (%v)", text, d, time.Duration(d2), err)
			}
		}
		var z, z2 size
		if z.UnmarshalText([]byte(text)) == nil {
			if err := z2.UnmarshalText([]byte(z.String())); err != nil || z2 != z {
				t.Errorf("%q prints as %q, which reads as %d (%v)", text, z, z2, err)
			}
		}
	})
}

// TestAgentVersionIsNumbers holds what clients are told of a node's agent to what they take.
func TestAgentVersionIsNumbers(t *testing.T) {
	for version, want := range map[string]string{
		"v1.2.3":                                 "1.2.3",
		"1.2.3.4":                                "1.2.3.4",
		"v1.2.3-4-gabc123":                       "1.2.3",
		"v1.2.3-dirty":                           "1.2.3",
		"1.2.3+4.gabc123":                        "1.2.3",
		"v0.0.0-20261122000000-07e244f12345 07e": "0.0.0",
		"07e244f12345":                           "0.0.0",
		"07e244f12345-dirty":                     "0.0.0",
		"1.2":                                    "0.0.0",
		"1.2.3rc1":                               "0.0.0",
		"(devel)":                                "0.0.0",
		"":                                       "0.0.0",
	} {
		if got := agentVersion(version); got != want {
			t.Errorf("%q is told as %q, want %q", version, got, want)
		}
	}
}

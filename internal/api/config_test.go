package api_test

import (
	"maps"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"stocktake/internal/inventory"
	"stocktake/internal/ssm"
)

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

func (s *script) restart(t *testing.T, _ *datadriven.TestData) string {
	s.again(t, s.config)
	return ""
}

// pause lets the clock move on, where the order of two jobs is told by their time.
func (s *script) pause(*testing.T, *datadriven.TestData) string {
	time.Sleep(3 * time.Millisecond)
	return ""
}

func (s *script) breakStore(*testing.T, *datadriven.TestData) string {
	s.faults.broken.Store(true)
	return ""
}

func (s *script) mendStore(*testing.T, *datadriven.TestData) string {
	s.faults.broken.Store(false)
	return ""
}

// limitNames are the limits a script can set, all whole numbers; what it does not name has its default.
var limitNames = map[string]func(l *inventory.Limits, n int){
	"item-bytes":        func(l *inventory.Limits, n int) { l.ItemBytes = n },
	"call-bytes":        func(l *inventory.Limits, n int) { l.CallBytes = n },
	"custom-types":      func(l *inventory.Limits, n int) { l.CustomTypes = n },
	"custom-attributes": func(l *inventory.Limits, n int) { l.CustomAttributes = n },
	"compliance-types":  func(l *inventory.Limits, n int) { l.ComplianceTypes = n },
	"aggregate-rows":    func(l *inventory.Limits, n int) { l.AggregateRows = n },
	"aggregate-work":    func(l *inventory.Limits, n int) { l.AggregateWork = n },
	"nodes":             func(l *inventory.Limits, n int) { l.Nodes = n },
	"shapes":            func(l *inventory.Limits, n int) { l.Shapes = n },
	"page-nodes":        func(l *inventory.Limits, n int) { l.PageNodes = n },
	"retention-days":    func(l *inventory.Limits, n int) { l.Retention = time.Duration(n) * 24 * time.Hour },
}

func (s *script) limits(t *testing.T, d *datadriven.TestData) string {
	config := s.config
	config.Limits = inventory.DefaultLimits()
	for _, a := range d.CmdArgs {
		set, ok := limitNames[a.Key]
		if !ok || len(a.Vals) != 1 {
			d.Fatalf(t, "a limit is NAME=NUMBER, not %s", a)
		}
		n, err := strconv.Atoi(a.Vals[0])
		if err != nil {
			d.Fatalf(t, "%v", err)
		}
		set(&config.Limits, n)
	}
	s.again(t, config)
	return ""
}

// ruleNames are the rules an operator can switch on.
var ruleNames = map[string]func(c *ssm.Config){
	"strict":     func(c *ssm.Config) { c.StrictEnrollment = true },
	"extensions": func(c *ssm.Config) { c.Extensions = true },
	"refuse":     func(c *ssm.Config) { c.RefuseUnknownAttributes = true },
}

func (s *script) rules(t *testing.T, d *datadriven.TestData) string {
	config := ssm.Config{Limits: s.config.Limits}
	for _, a := range d.CmdArgs {
		set, ok := ruleNames[a.Key]
		if !ok {
			d.Fatalf(t, "there is no rule %s", a.Key)
		}
		set(&config)
	}
	s.again(t, config)
	return ""
}

package main

import (
	"testing"

	"stocktake/internal/httpd"
)

// TestLeastBodyMemoryServes has what the settings call enough be enough for the front, and no more than that.
func TestLeastBodyMemoryServes(t *testing.T) {
	if err := httpd.DefaultLimits(int64(maxCall)).Check(); err != nil {
		t.Error(err)
	}
	if err := httpd.DefaultLimits(int64(maxCall) - 1).Check(); err == nil {
		t.Error("the front takes less than the settings do")
	}
}

package main

import (
	"strings"
	"testing"
)

func TestShownStoreHidesSecrets(t *testing.T) {
	shown := map[string]string{
		"./data":                                "./data",
		"postgres://db.example.org/x":           "postgres://db.example.org/x",
		"postgresql://me@db:5432/x":             "postgresql://me@db:5432/x",
		"postgres://me:hush@db:5432/x":          "postgres://me@db:5432/x",
		"postgres://me:hush@n1:1,n2:2,n3/x?a=b": "postgres://me@n1:1,n2:2,n3/x",
		"postgres://db/x?password=hush":         "postgres://db/x",
		"postgres:///x":                         "postgres:///x",
	}
	for where, want := range shown {
		if got := shownStore(where); got != want {
			t.Errorf("%s is shown as %s, want %s", where, got, want)
		}
	}
	hidden := []string{
		"postgres://me:hu/sh@db/x", "postgres://me:1?hush@db/x", "postgres://me:hu@sh@db/x", "postgres://db/x?password=hu@sh",
		"postgres://me:hu#sh@db/x", "postgres://me:hush", "postgres://me:hush@db:x/y", "postgres://me:hu sh@d b/x",
	}
	for _, where := range hidden {
		if got := shownStore(where); strings.Contains(got, "sh") || strings.Contains(got, "1") {
			t.Errorf("%s is shown as %s", where, got)
		}
	}
}

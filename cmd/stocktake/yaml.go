package main

import (
	"errors"
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"
)

// pair is a key of a mapping.
type pair struct {
	key   string
	value *yaml.Node
	line  int
}

// mapping gives a mapping's pairs in order. Two of one name are refused: which one counts would be a guess.
func mapping(n *yaml.Node) ([]pair, error) {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if n.Kind != yaml.MappingNode {
		return nil, fmt.Errorf("line %d: keys and values are expected here", n.Line)
	}
	pairs := make([]pair, 0, len(n.Content)/2)
	seen := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], n.Content[i+1]
		if k.Kind != yaml.ScalarNode {
			return nil, fmt.Errorf("line %d: a key is a plain word", k.Line)
		}
		if first, ok := seen[k.Value]; ok {
			return nil, fmt.Errorf("line %d: %s is set again, first on line %d", k.Line, k.Value, first)
		}
		seen[k.Value] = k.Line
		pairs = append(pairs, pair{key: k.Value, value: v, line: k.Line})
	}
	return pairs, nil
}

// sequence gives the members of a list.
func sequence(n *yaml.Node) ([]*yaml.Node, error) {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if n.Kind != yaml.SequenceNode {
		return nil, fmt.Errorf("line %d: a list is expected here", n.Line)
	}
	return n.Content, nil
}

// plain gives a value as the text of a flag: a list, where one may stand, as its members with commas between.
func plain(n *yaml.Node, list bool) (string, error) {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	switch {
	case n.Kind == yaml.ScalarNode && n.Tag == "!!null":
		return "", errors.New("no value is given")
	case n.Kind == yaml.ScalarNode:
		return n.Value, nil
	case n.Kind != yaml.SequenceNode || !list:
		return "", errors.New("one plain value is expected")
	}
	parts := make([]string, len(n.Content))
	for i, member := range n.Content {
		text, err := plain(member, false)
		if err != nil {
			return "", err
		}
		if strings.Contains(text, ",") {
			return "", fmt.Errorf("%q holds a comma", text)
		}
		parts[i] = text
	}
	return strings.Join(parts, ","), nil
}

// didYouMean names the nearest of the names, where one is near.
func didYouMean(name string, names []string) string {
	best, distance := "", 4
	for _, n := range names {
		if d := edits(strings.ReplaceAll(name, "-", "_"), n); d < distance {
			best, distance = n, d
		}
	}
	if best == "" {
		return "docs/configuration.md lists them all, and so does stocktake serve --help"
	}
	return "did you mean " + best + "?"
}

// edits counts the letters to change, add or drop to make b of a.
func edits(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		corner := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := corner
			if a[i] != b[j] {
				change++
			}
			corner = row[j+1]
			row[j+1] = min(change, row[j]+1, corner+1)
		}
	}
	return row[len(b)]
}

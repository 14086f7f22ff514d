package simulate

import (
	"bytes"
	"cmp"
	"compress/gzip"
	_ "embed"
	"fmt"
	"io"
	"slices"
	"strings"
)

//go:embed packages.tsv.gz
var packagesFile []byte

// pack is one package of the catalogue, with the parts of its version cut out.
type pack struct {
	name      string
	version   string
	epoch     string
	release   string
	section   string
	publisher string
	url       string
	summary   string
	arch      string
	essential bool
}

// readCatalogue reads the packages, sorted by name.
func readCatalogue(file []byte) ([]pack, error) {
	z, err := gzip.NewReader(bytes.NewReader(file))
	if err != nil {
		return nil, fmt.Errorf("package catalogue: %w", err)
	}
	text, err := io.ReadAll(z)
	if err != nil {
		return nil, fmt.Errorf("package catalogue: %w", err)
	}
	first, rest, ok := strings.Cut(string(text), "\n\n")
	if !ok {
		return nil, fmt.Errorf("package catalogue: one block of lines where two belong")
	}
	var all []pack
	for i, block := range []string{first, rest} {
		for line := range strings.SplitSeq(strings.TrimSuffix(block, "\n"), "\n") {
			p, err := parsePack(line)
			if err != nil {
				return nil, err
			}
			p.essential = i == 0
			all = append(all, p)
		}
	}
	slices.SortFunc(all, func(a, b pack) int { return cmp.Compare(a.name, b.name) })
	return all, nil
}

// parsePack reads a line; a version is epoch:upstream-release, the first and the last part optional.
func parsePack(line string) (pack, error) {
	f := strings.Split(line, "\t")
	if len(f) != 3 {
		return pack{}, fmt.Errorf("package catalogue: the line %q is not name, version and section", line)
	}
	p := pack{name: f[0], version: f[1], section: f[2], epoch: "0", release: "0", arch: "x86_64"}
	if epoch, _, ok := strings.Cut(p.version, ":"); ok {
		p.epoch = epoch
	}
	if i := strings.LastIndexByte(p.version, '-'); i >= 0 {
		p.release = p.version[i+1:]
	}
	p.publisher = "Debian " + p.section + " maintainers <" + p.section + "@packages.example.org>"
	p.url = "https://packages.example.org/" + p.section + "/" + p.name + "/"
	p.summary = summary(p.name)
	if slices.Contains([]string{"doc", "fonts", "gnu-r", "javascript", "java", "localization", "perl", "php", "python", "ruby"}, p.section) {
		p.arch = "all"
	}
	return p, nil
}

// summary makes up a line about a package, always the same for a name.
func summary(name string) string {
	kinds := []string{"portable", "small", "complete", "multi-purpose", "graphical", "interactive", "fast", "classic"}
	things := []string{"library", "tool", "set of tools", "runtime", "module", "client", "server", "collection of headers"}
	uses := []string{
		"reading and writing archives", "working with structured text", "network services", "numerical analysis",
		"managing the system", "sound and pictures", "building other programs", "talking to databases",
	}
	var h uint64
	for _, c := range []byte(name) {
		h = mix(h ^ uint64(c))
	}
	s := stream(hash(forText, h))
	return name + " is a " + kinds[below(s.next(), len(kinds))] + " " + things[below(s.next(), len(things))] + " for " + uses[below(s.next(), len(uses))]
}

package collect

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strconv"
	"strings"
)

// application is one row of AWS:Application and AWS:AWSComponent. The order of the fields and what is left out when
// empty are the stock agent's, for both decide the hash.
type application struct {
	Name            string
	Publisher       string
	Version         string
	Release         string `json:",omitempty"`
	Epoch           string `json:",omitempty"`
	InstalledTime   string `json:",omitempty"`
	ApplicationType string `json:",omitempty"`
	Architecture    string
	URL             string `json:",omitempty"`
	Summary         string `json:",omitempty"`
	PackageId       string `json:",omitempty"` //nolint:revive,staticcheck // the attribute's name on the wire
}

// applications lists the packages of every manager on the machine, sorted as the stock agent sorts them. A manager
// that is not there has no packages; one that is there and fails is an error, for a list without its packages would
// read as their removal.
func (m *Machine) applications(ctx context.Context) ([]application, []Problem, error) {
	var all []application
	var problems []Problem
	for _, list := range []func(context.Context) ([]application, []Problem, error){m.dpkg, m.rpm} {
		found, bad, err := list(ctx)
		if err != nil && !errors.Is(err, exec.ErrNotFound) {
			return nil, problems, err
		}
		all, problems = append(all, found...), append(problems, bad...)
	}
	if slices.ContainsFunc(all, func(a application) bool { return strings.EqualFold(a.Name, "snapd") }) {
		found, bad, err := m.snap(ctx)
		if err != nil && !errors.Is(err, exec.ErrNotFound) {
			return nil, problems, err
		}
		all, problems = append(all, found...), append(problems, bad...)
	}
	slices.SortStableFunc(all, compareApplications)
	return all, problems, nil
}

// compareApplications orders by name and publisher without regard to case, then by version.
func compareApplications(a, b application) int {
	return cmp.Or(
		strings.Compare(strings.ToLower(a.Name), strings.ToLower(b.Name)),
		strings.Compare(strings.ToLower(a.Publisher), strings.ToLower(b.Publisher)),
		compareVersions(a.Version, b.Version),
	)
}

// compareVersions goes part by part between dots: by number where both parts are numbers, else by bytes; the version
// that ends first comes first.
func compareVersions(a, b string) int {
	as, bs := strings.Split(a, "."), strings.Split(b, ".")
	for i := range min(len(as), len(bs)) {
		na, errA := strconv.Atoi(as[i])
		nb, errB := strconv.Atoi(bs[i])
		order := strings.Compare(as[i], bs[i])
		if errA == nil && errB == nil {
			order = cmp.Compare(na, nb)
		}
		if order != 0 {
			return order
		}
	}
	return cmp.Compare(len(as), len(bs))
}

// architecture names a processor as the stock agent does for every manager.
func architecture(name string) string {
	switch name = strings.ToLower(strings.TrimSpace(name)); name {
	case "amd64":
		return "x86_64"
	case "386":
		return "i386"
	}
	return name
}

// components picks the packages the stock agent counts as AWS components.
func components(all []application) []application {
	known := []string{
		"amazon-ssm-agent", "amazon ssm agent", "com.amazon.aws.ssm", "aws tools for windows", "ec2configservice",
		"aws-cfn-bootstrap", "aws pv drivers",
	}
	var found []application
	for _, a := range all {
		name := strings.ToLower(strings.TrimSpace(a.Name))
		if slices.Contains(known, name) || strings.Contains(name, "aws-apitools-") || strings.Contains(name, "aws-amitools-") {
			found = append(found, a)
		}
	}
	return found
}

// snap lists snaps. Only name, version and publisher are known of them; the type is the one the stock agent gives.
func (m *Machine) snap(ctx context.Context) ([]application, []Problem, error) {
	out, err := m.Run(ctx, "snap", "list")
	if err != nil {
		return nil, nil, err
	}
	found, bad := parseSnap(string(out))
	var problems []Problem
	if bad > 0 {
		problems = append(problems, Problem{typeApplication, fmt.Errorf("%d lines of snap list are not of its six columns and were passed over", bad)})
	}
	return found, problems, nil
}

// parseSnap reads the table of snap list, whose first line names the columns Name, Version, Rev, Tracking, Publisher
// and Notes. It counts the lines that do not have them.
func parseSnap(out string) (found []application, bad int) {
	for i, line := range strings.Split(out, "\n") {
		column := strings.Fields(line)
		if i == 0 || len(column) == 0 {
			continue
		}
		if len(column) < 6 {
			bad++
			continue
		}
		name, version, publisher := column[0], column[1], column[4]
		found = append(found, application{
			Name: clip(name), Publisher: clip(publisher), Version: clip(version), ApplicationType: "admin",
			PackageId: clip("pkg:snap/" + publisher + "/" + name + "@" + version),
		})
	}
	return found, bad
}

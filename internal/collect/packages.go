package collect

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Package managers are asked for records of fields, closed by the two control characters made for it, which no control
// file may hold. A package that holds one anyway spoils its own record and no other's.
const (
	fieldEnd  = "\x1f"
	recordEnd = "\x1e"
)

const (
	// timeForm is the form of every time in an item: seconds, UTC, literal Z.
	timeForm = "2006-01-02T15:04:05Z"
	// clipBytes is how much of any package field the stock agent keeps, counted in the escaped form it handles.
	clipBytes = 100
	// none is what rpm prints for a field the package does not have.
	none = "(none)"
)

// clip keeps of a field what the stock agent keeps, for the same entries and the same hash: the first line, without
// carriage returns, up to a hundred bytes with quote, backslash and tab counting two. A character cut in two becomes a
// replacement character for each byte left of it.
func clip(field string) string {
	field, _, _ = strings.Cut(field, "\n")
	field = strings.ReplaceAll(field, "\r", "")
	room := clipBytes
	for i := range len(field) {
		room--
		if c := field[i]; c == '"' || c == '\\' || c == '\t' {
			room--
		}
		if room < 0 {
			field = field[:i]
			break
		}
	}
	if utf8.ValidString(field) {
		return field
	}
	return string([]rune(field))
}

// records cuts a listing into records of exactly n fields and counts those that have another number.
func records(out string, n int) (found [][]string, bad int) {
	for record := range strings.SplitSeq(out, recordEnd) {
		if strings.TrimSpace(record) == "" {
			continue
		}
		fields := strings.Split(record, fieldEnd)
		if len(fields) != n {
			bad++
			continue
		}
		found = append(found, fields)
	}
	return found, bad
}

func recordProblems(manager string, bad int) []Problem {
	if bad == 0 {
		return nil
	}
	return []Problem{{typeApplication, fmt.Errorf("%d records of %s could not be read and were passed over", bad, manager)}}
}

const dpkgFields = 7

// dpkg lists what dpkg-query lists, packages with nothing left but configuration included, as the stock agent does.
// Version is whole: epoch and revision stay in it.
func (m *Machine) dpkg(ctx context.Context) ([]application, []Problem, error) {
	format := strings.Join([]string{
		"${Package}", "${Maintainer}", "${Version}", "${Section}", "${Architecture}", "${Homepage}", "${Description}",
	}, fieldEnd)
	out, err := m.Run(ctx, "dpkg-query", "-W", "-f="+format+recordEnd)
	if err != nil {
		return nil, nil, err
	}
	found, bad := parseDpkg(string(out), m.dpkgInstalled())
	return found, recordProblems("dpkg-query", bad), nil
}

// parseDpkg reads dpkg-query's records. installed gives the time by the name of the package's file list.
func parseDpkg(out string, installed map[string]time.Time) (found []application, bad int) {
	rows, bad := records(out, dpkgFields)
	for _, f := range rows {
		name, version, arch := f[0], f[2], f[4]
		a := application{
			Name: clip(name), Publisher: clip(f[1]), Version: clip(version), ApplicationType: clip(f[3]),
			Architecture: architecture(clip(arch)), URL: clip(f[5]), Summary: clip(f[6]),
			PackageId: clip(name + "_" + version + "_" + arch + ".deb"),
		}
		at, ok := installed[name+":"+arch+".list"]
		if !ok {
			at, ok = installed[name+".list"]
		}
		if ok {
			a.InstalledTime = at.UTC().Format(timeForm)
		}
		found = append(found, a)
	}
	return found, bad
}

// dpkgInstalled gives when each package's list of files was written, which is when it was last unpacked. The times are
// an addition: without the folder the packages are whole but for them.
func (m *Machine) dpkgInstalled() map[string]time.Time {
	files, err := os.ReadDir(m.path("/var/lib/dpkg/info"))
	if err != nil {
		return nil
	}
	times := make(map[string]time.Time)
	for _, file := range files {
		if !strings.HasSuffix(file.Name(), ".list") {
			continue
		}
		if info, err := file.Info(); err == nil {
			times[file.Name()] = info.ModTime()
		}
	}
	return times
}

const rpmFields = 11

// rpm lists what rpm -qa lists. Fields a package does not have read "(none)", as the stock agent sends them.
func (m *Machine) rpm(ctx context.Context) ([]application, []Problem, error) {
	format := strings.Join([]string{
		"%{NAME}", "%{VENDOR}", "%{VERSION}", "%{RELEASE}", "%{EPOCH}", "%{INSTALLTIME}", "%{GROUP}", "%{ARCH}", "%{URL}",
		"%{SUMMARY}", "%{SOURCERPM}",
	}, fieldEnd)
	out, err := m.Run(ctx, "rpm", "-qa", "--queryformat", format+recordEnd)
	if err != nil {
		return nil, nil, err
	}
	found, bad := parseRPM(string(out))
	return found, recordProblems("rpm -qa", bad), nil
}

func parseRPM(out string) (found []application, bad int) {
	rows, bad := records(out, rpmFields)
	for _, f := range rows {
		for i := range f {
			f[i] = clip(f[i])
		}
		found = append(found, application{
			Name: f[0], Publisher: f[1], Version: f[2], Release: f[3], Epoch: rpmEpoch(f[4], f[10]),
			InstalledTime: unixTime(f[5]), ApplicationType: f[6], Architecture: architecture(f[7]), URL: f[8],
			Summary: f[9], PackageId: f[10],
		})
	}
	return found, bad
}

// rpmEpoch takes a missing epoch from a source package named name-epoch:version, where there is one.
func rpmEpoch(epoch, source string) string {
	if epoch != none {
		return epoch
	}
	before, _, ok := strings.Cut(source, ":")
	if !ok {
		return ""
	}
	parts := strings.Split(before, "-")
	if len(parts) < 2 {
		return ""
	}
	return parts[1]
}

// unixTime turns seconds since 1970 into the form of an item's times; anything else stays as it is.
func unixTime(seconds string) string {
	n, err := strconv.ParseInt(seconds, 10, 64)
	if err != nil {
		return seconds
	}
	return time.Unix(n, 0).UTC().Format(timeForm)
}

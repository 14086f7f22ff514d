package ssm

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/cronexpr"

	"stocktake/internal/inventory"
)

// The bounds of schedules.
const (
	// DefaultScheduleFloor is how often an association may run unless Config says otherwise (documented), and
	// LeastScheduleFloor what the setting goes down to.
	DefaultScheduleFloor = 30 * time.Minute
	LeastScheduleFloor   = time.Minute
	// longestRate is what a rate stays below (documented).
	longestRate = 31 * 24 * time.Hour
	// ticksChecked is how many ticks of a cron expression are held to the floor.
	ticksChecked = 1500
)

// schedule says when an association runs beside what has it run at once. The zero schedule has no ticks. What a cron
// expression means is what it means to the stock agent, which keeps most schedules itself; all is UTC.
type schedule struct {
	every  time.Duration // of a rate
	cron   *cronexpr.Expression
	at     time.Time     // of one that runs once
	offset time.Duration // after each tick of cron
}

var (
	scheduleForm = regexp.MustCompile(`^(rate|cron|at)\((.+)\)$`)
	cronRange    = regexp.MustCompile(`([0-9a-z]+)-([0-9a-z]+)`)
	rateForm     = regexp.MustCompile(`^([0-9]{1,9}) +(minute|hour|day)(s?)$`)
)

// parseSchedule reads a schedule expression; the empty one is the zero schedule. Its error is a text for people.
func parseSchedule(expression string) (schedule, error) {
	if expression == "" {
		return schedule{}, nil
	}
	parts := scheduleForm.FindStringSubmatch(expression)
	if parts == nil {
		return schedule{}, fmt.Errorf("a schedule is of the form rate(...), cron(...) or at(...)")
	}
	switch body := parts[2]; parts[1] {
	case "rate":
		return parseRate(body)
	case "at":
		at, err := time.Parse("2006-01-02T15:04:05", body)
		if err != nil {
			return schedule{}, fmt.Errorf("the time in at(...) is of the form 2026-01-31T08:30:00")
		}
		return schedule{at: at}, nil
	default:
		return parseCron(body)
	}
}

func parseRate(body string) (schedule, error) {
	parts := rateForm.FindStringSubmatch(body)
	if parts == nil {
		return schedule{}, fmt.Errorf("a rate is a number and minutes, hours or days")
	}
	n, err := strconv.Atoi(parts[1])
	if err != nil || n == 0 {
		return schedule{}, fmt.Errorf("the number of a rate begins at 1")
	}
	if n > 1 && parts[3] == "" {
		return schedule{}, fmt.Errorf("a rate of more than one is in %ss", parts[2])
	}
	unit := map[string]time.Duration{"minute": time.Minute, "hour": time.Hour, "day": 24 * time.Hour}[parts[2]]
	if n >= int(longestRate/unit) {
		return schedule{}, fmt.Errorf("a rate is below 31 days")
	}
	return schedule{every: time.Duration(n) * unit}, nil
}

func parseCron(body string) (schedule, error) {
	if n := len(strings.Fields(body)); n < 5 || n > 7 || strings.Contains(body, "@") {
		return schedule{}, fmt.Errorf("a cron expression has five fields (minutes, hours, day of month, month, day of week), or six with the year, or seven with seconds and year")
	}
	if backwards := cronRange.FindAllStringSubmatch(strings.ToLower(body), -1); slices.ContainsFunc(backwards, descends) {
		return schedule{}, fmt.Errorf("a range in a cron expression goes upwards")
	}
	cron, err := cronexpr.Parse(body)
	if err != nil {
		return schedule{}, fmt.Errorf("the cron expression can't be read: %w", err)
	}
	return schedule{cron: cron}, nil
}

// descends reports whether a range ends before it begins: the library takes it and then breaks. Sunday may end a range.
func descends(parts []string) bool {
	const names = "sun mon tue wed thu fri sat jan feb mar apr may jun jul aug sep oct nov dec"
	value := func(text string) int {
		if n, err := strconv.Atoi(text); err == nil {
			return n
		}
		return strings.Index(names, text[:min(len(text), 3)])
	}
	first, last := parts[1], parts[2]
	return value(first) > value(last) && !strings.HasPrefix(last, "sun")
}

// next gives the first tick after a time; zero where there is none. A rate ticks so long after what it is asked about.
func (s schedule) next(after time.Time) time.Time {
	after = after.UTC()
	switch {
	case s.every > 0:
		return after.Add(s.every)
	case s.cron != nil:
		tick := s.cron.Next(after.Add(-s.offset))
		if tick.IsZero() {
			return tick
		}
		return tick.Add(s.offset)
	case s.at.After(after):
		return s.at
	}
	return time.Time{}
}

// last gives the latest tick after from and up to now; zero where there is none. A rate ticks from from on.
func (s schedule) last(from, now time.Time) time.Time {
	from, now = from.UTC(), now.UTC()
	switch {
	case !now.After(from):
		return time.Time{}
	case s.every > 0:
		if n := now.Sub(from) / s.every; n > 0 {
			return from.Add(n * s.every)
		}
	case s.cron != nil:
		return s.lastCron(from, now)
	case s.at.After(from) && !s.at.After(now):
		return s.at
	}
	return time.Time{}
}

// lastCron looks back further and further, for the expression only knows what comes next.
func (s schedule) lastCron(from, now time.Time) time.Time {
	for back := time.Hour; ; back *= 4 {
		start := now.Add(-back)
		if start.Before(from) {
			start = from
		}
		if tick := s.next(start); !tick.IsZero() && !tick.After(now) {
			for next := s.next(tick); !next.IsZero() && !next.After(now); next = s.next(tick) {
				tick = next
			}
			return tick
		}
		if !start.After(from) {
			return time.Time{}
		}
	}
}

// served reports whether the service itself has to tell nodes when a tick is there, because agents do not know such
// schedules.
func (s schedule) served() bool { return !s.at.IsZero() || s.offset > 0 }

// checkSchedule says why the schedule of an association cannot be. One that it has before stays good, whatever time it is
// and whatever the floor has become.
func (s *Service) checkSchedule(a AssociationSettings, before string, now time.Time) error {
	refuse := func(format string, args ...any) error {
		return inventory.Errorf(inventory.InvalidSchedule, "ScheduleExpression %s: %s.", clip(a.Schedule), fmt.Sprintf(format, args...))
	}
	parsed, err := parseSchedule(a.Schedule)
	if err != nil {
		return refuse("%v", err)
	}
	floor := s.cfg.ScheduleFloor
	switch {
	case a.OnlyAtTicks && parsed.cron == nil && parsed.at.IsZero():
		return refuse("ApplyOnlyAtCronInterval needs a schedule of the form cron(...) or at(...)")
	case a.OffsetDays > 0 && (parsed.cron == nil || !a.OnlyAtTicks):
		return refuse("ScheduleOffset needs a schedule of the form cron(...) and ApplyOnlyAtCronInterval")
	case a.DurationHours > 0 && a.Schedule == "":
		return refuse("Duration needs a schedule")
	case a.Schedule == before: // it was taken once
	case parsed.every > 0 && parsed.every < floor:
		return refuse("associations run at most every %s here", spoken(floor))
	case !parsed.at.IsZero() && !parsed.at.After(now):
		return refuse("the time lies in the past")
	case parsed.cron != nil:
		if parsed.next(now).IsZero() {
			return refuse("the expression names no time ahead")
		}
		if parsed.gap(now, floor) < floor {
			return refuse("associations run at most every %s here", spoken(floor))
		}
	}
	return nil
}

// gap gives the first time between two ticks that is below the floor, or the floor.
func (s schedule) gap(now time.Time, floor time.Duration) time.Duration {
	tick := s.next(now)
	for range ticksChecked {
		next := s.next(tick)
		if next.IsZero() {
			break
		}
		if between := next.Sub(tick); between < floor {
			return between
		}
		tick = next
	}
	return floor
}

// spoken writes a duration of whole minutes in words.
func spoken(d time.Duration) string {
	if d == time.Minute {
		return "minute"
	}
	return fmt.Sprintf("%d minutes", int(d.Minutes()))
}

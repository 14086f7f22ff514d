package ssm

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

func instant(t testing.TB, text string) time.Time {
	t.Helper()
	at, err := time.Parse("2006-01-02T15:04:05", text)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// TestScheduleTicks compares ticks with those written down; what a cron expression means is what it means to the agent.
func TestScheduleTicks(t *testing.T) {
	const from = "2026-03-10T10:07:30" // a Tuesday
	for _, c := range []struct{ expression, next, last, now string }{
		{"rate(30 minutes)", "2026-03-10T10:37:30", "2026-03-10T11:37:30", "2026-03-10T11:40:00"},
		{"rate(1 hour)", "2026-03-10T11:07:30", "", "2026-03-10T11:07:29"},
		{"rate(2 days)", "2026-03-12T10:07:30", "2026-03-12T10:07:30", "2026-03-12T10:07:30"},
		{"cron(0 0/1 * 1/1 * ? *)", "2026-03-10T10:08:00", "2026-03-10T10:20:00", "2026-03-10T10:20:59"},
		{"cron(0/30 * * * ? *)", "2026-03-10T10:30:00", "2026-03-10T11:00:00", "2026-03-10T11:20:00"},
		{"cron(0 2 ? * SUN *)", "2026-03-15T02:00:00", "2026-03-22T02:00:00", "2026-03-28T23:00:00"},
		{"cron(15 4 ? * 5L *)", "2026-03-27T04:15:00", "2026-03-27T04:15:00", "2026-04-01T00:00:00"},
		{"cron(0 0 ? * TUE#3 *)", "2026-03-17T00:00:00", "2026-04-21T00:00:00", "2026-05-01T00:00:00"},
		{"cron(0 12 L * ? *)", "2026-03-31T12:00:00", "", "2026-03-31T11:59:59"},
		{"cron(0 12 15W * ?)", "2026-03-16T12:00:00", "2026-03-16T12:00:00", "2026-03-17T00:00:00"},
		{"cron(0 30 12 ? * WED 2027)", "2027-01-06T12:30:00", "", "2026-12-31T00:00:00"},
		{"cron(0 0 1 1 ? 2025)", "", "", "2026-12-31T00:00:00"},
		{"at(2026-03-10T10:07:31)", "2026-03-10T10:07:31", "2026-03-10T10:07:31", "2027-01-01T00:00:00"},
		{"at(2026-03-10T10:07:30)", "", "", "2027-01-01T00:00:00"},
		{"", "", "", "2027-01-01T00:00:00"},
	} {
		s, err := parseSchedule(c.expression)
		if err != nil {
			t.Errorf("%s: %v", c.expression, err)
			continue
		}
		for name, pair := range map[string][2]string{
			"next": {c.next, written(s.next(instant(t, from)))},
			"last": {c.last, written(s.last(instant(t, from), instant(t, c.now)))},
		} {
			if pair[0] != pair[1] {
				t.Errorf("%s: %s is %q, want %q", c.expression, name, pair[1], pair[0])
			}
		}
	}
}

func written(at time.Time) string {
	if at.IsZero() {
		return ""
	}
	return at.Format("2006-01-02T15:04:05")
}

func TestScheduleRefusals(t *testing.T) {
	for _, expression := range []string{
		"rate()", "rate(0 minutes)", "rate(2 minute)", "rate(31 days)", "rate(744 hours)", "rate(30 weeks)", "rate(-1 hours)", "rate(1.5 hours)",
		"rate(99999999999 minutes)", "cron()", "cron(* * *)", "cron(@hourly)", "cron(1 2 3 4 5 6 7 8)", "cron(61 * * * ? *)", "cron(x)", "cron(59-0 * * * ? *)", "cron(0 0 1 DEC-JAN ? *)",
		"at(2026-13-01T00:00:00)", "at(2026-01-01)", "every day", "rate(30 minutes) ", "Rate(30 minutes)",
	} {
		if s, err := parseSchedule(expression); err == nil {
			t.Errorf("%s is taken as %+v", expression, s)
		}
	}
}

func TestScheduleFloor(t *testing.T) {
	s := &Service{cfg: Config{ScheduleFloor: 30 * time.Minute}}
	now := instant(t, "2026-03-10T10:07:30")
	for _, c := range []struct {
		settings AssociationSettings
		refused  string // a part of the text
	}{
		{AssociationSettings{Schedule: "rate(30 minutes)"}, ""},
		{AssociationSettings{Schedule: "rate(29 minutes)"}, "at most every 30 minutes"},
		{AssociationSettings{Schedule: "cron(0/30 * * * ? *)"}, ""},
		{AssociationSettings{Schedule: "cron(0/45 * * * ? *)"}, "at most every 30 minutes"},
		{AssociationSettings{Schedule: "cron(0 0,30 1 1 * ? *)"}, ""},
		{AssociationSettings{Schedule: "cron(0,29 1 1 * ? *)"}, "at most every 30 minutes"},
		{AssociationSettings{Schedule: "cron(0 0 1 1 ? 2025)"}, "no time ahead"},
		{AssociationSettings{Schedule: "at(2026-03-10T10:07:30)"}, "past"},
		{AssociationSettings{Schedule: "at(2026-03-10T10:07:31)", OnlyAtTicks: true}, ""},
		{AssociationSettings{Schedule: "rate(1 hour)", OnlyAtTicks: true}, "ApplyOnlyAtCronInterval"},
		{AssociationSettings{OnlyAtTicks: true}, "ApplyOnlyAtCronInterval"},
		{AssociationSettings{Schedule: "cron(0 2 ? * THU#2 *)", OffsetDays: 3}, "ScheduleOffset"},
		{AssociationSettings{Schedule: "cron(0 2 ? * THU#2 *)", OnlyAtTicks: true, OffsetDays: 3}, ""},
		{AssociationSettings{DurationHours: 1}, "Duration"},
		{AssociationSettings{Schedule: "rate(1 hour)", DurationHours: 1}, ""},
	} {
		err := s.checkSchedule(c.settings, "rate(1 day)", now)
		if c.refused == "" && err != nil || c.refused != "" && (err == nil || !strings.Contains(err.Error(), c.refused)) {
			t.Errorf("%+v: error is %v, want %q", c.settings, err, c.refused)
		}
	}
}

// TestScheduleThatWasTakenStaysGood has associations updated that keep a schedule which is too frequent or over by now.
func TestScheduleThatWasTakenStaysGood(t *testing.T) {
	s := &Service{cfg: Config{ScheduleFloor: 30 * time.Minute}}
	for _, schedule := range []string{"rate(5 minutes)", "cron(0/5 * * * ? *)", "cron(0 0 1 1 ? 2025)", "at(2026-03-10T10:07:30)"} {
		settings, now := AssociationSettings{Schedule: schedule}, instant(t, "2026-03-10T10:07:30")
		if err := s.checkSchedule(settings, "rate(6 minutes)", now); err == nil {
			t.Errorf("a new %s is taken", schedule)
		}
		if err := s.checkSchedule(settings, schedule, now); err != nil {
			t.Errorf("%s that was there before: %v", schedule, err)
		}
		settings.OnlyAtTicks, settings.OffsetDays = !strings.HasPrefix(schedule, "cron"), 1
		if err := s.checkSchedule(settings, schedule, now); err == nil {
			t.Errorf("%s that was there before is taken with %+v", schedule, settings)
		}
	}
}

// TestScheduleOffset moves ticks by days, both ways of asking.
func TestScheduleOffset(t *testing.T) {
	s, err := parseSchedule("cron(0 2 ? * THU#2 *)")
	if err != nil {
		t.Fatal(err)
	}
	s.offset = 3 * 24 * time.Hour
	if got, want := written(s.next(instant(t, "2026-03-13T00:00:00"))), "2026-03-15T02:00:00"; got != want {
		t.Errorf("next is %s, want %s", got, want)
	}
	if got, want := written(s.last(instant(t, "2026-01-01T00:00:00"), instant(t, "2026-03-15T01:00:00"))), "2026-02-15T02:00:00"; got != want {
		t.Errorf("last is %s, want %s", got, want)
	}
}

// FuzzSchedule holds every expression that is taken to the meaning of its two questions: the next tick lies ahead, and
// looking back from any time finds the last one that looking ahead gives.
func FuzzSchedule(f *testing.F) {
	for _, seed := range []string{
		"rate(30 minutes)", "rate(1 day)", "cron(0/30 * * * ? *)", "cron(0 30 12 ? * WED 2027)", "cron(0 12 15W * ?)", "cron(15 4 ? * 5L *)",
		"cron(0 0 ? * TUE#3 *)", "cron(0 12 LW * ? *)", "cron(59-0/7 1,2-4 29 2 * *)", "at(2026-03-10T10:07:31)", "cron(0 0 31 2 ? *)", "",
	} {
		f.Add(seed, int64(1_770_000_000), uint16(40_000))
	}
	f.Fuzz(func(t *testing.T, expression string, unix int64, minutes uint16) {
		s, err := parseSchedule(expression)
		if err != nil {
			return
		}
		from := time.Unix(1_700_000_000+max(unix, -unix, 0)%1_000_000_000, 0).UTC()
		tick := s.next(from)
		if !tick.IsZero() && !tick.After(from) {
			t.Fatalf("%s: next of %s is %s", expression, from, tick)
		}
		if s.cron != nil && s.gap(from, time.Minute) < time.Minute {
			return // more often than anything may run
		}
		now := from.Add(time.Duration(minutes) * time.Minute)
		var want time.Time
		for !tick.IsZero() && !tick.After(now) {
			want, tick = tick, s.next(tick)
		}
		if got := s.last(from, now); !got.Equal(want) {
			t.Fatalf("%s: last in (%s, %s] is %s, not %s", expression, from, now, got, want)
		}
	})
}

// TestRateTicksFromTheBeginning tries that runs of one period are told apart from those of the next, whenever they begin.
func TestRateTicksFromTheBeginning(t *testing.T) {
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 1))
	s := schedule{every: 30 * time.Minute}
	from := instant(t, "2026-03-10T10:07:30")
	for range 1000 {
		n := r.IntN(100)
		now := from.Add(time.Duration(n)*s.every + time.Duration(r.Int64N(int64(s.every))))
		var want time.Time
		if n > 0 {
			want = from.Add(time.Duration(n) * s.every)
		}
		if got := s.last(from, now); !got.Equal(want) {
			t.Fatalf("seed %d: last at %s is %s, not %s", seed, now, got, want)
		}
	}
}

package quadlet

import (
	"fmt"
	"regexp"
)

// calendarEvent are the characters of systemd.time(7)'s calendar events.
var calendarEvent = regexp.MustCompile(`^[A-Za-z0-9*:,./~_+ -]+$`)

// timer starts a headless agent.
func (w bottle) timer() (Unit, error) {
	if !calendarEvent.MatchString(w.Headless.OnCalendar) {
		return Unit{}, fmt.Errorf("%q is not a calendar event; see systemd.time(7)", w.Headless.OnCalendar)
	}
	f := w.begin("The timer")
	f.section("Timer")
	f.line("OnCalendar", w.Headless.OnCalendar)
	f.comment("A run that was missed while the machine was off is made up for.")
	f.line("Persistent", "true")
	f.line("Unit", AgentService(w.Slug))
	f.section("Install")
	f.line("WantedBy", "timers.target")
	return f.unit(TimerUnit(w.Slug))
}

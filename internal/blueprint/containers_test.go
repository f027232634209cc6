package blueprint

import "testing"

func TestGuestTasks(t *testing.T) {
	for _, c := range []struct{ tasksMax, want int64 }{
		{0, 0}, {-1, 0}, // no limit
		{1, 16}, {100, 16}, // an agent with fewer could not work
		{600, 134}, {8192, 2032},
	} {
		if got := guestTasks(c.tasksMax); got != c.want {
			t.Errorf("guestTasks(%d) = %d, want %d", c.tasksMax, got, c.want)
		}
	}
}

package verify

import (
	"bytes"
	"context"
	"os"
	"strings"
	"time"

	"github.com/podbottle/podbottle/internal/verify/probe"
)

func lifeProbes() []hostProbe {
	return []hostProbe{
		{Probe: probe.Probe{
			ID:      "life.detached",
			Tried:   "leave a process of a session of its own behind in the container, and end the bottle",
			Control: "it runs before",
			Breach:  "a process of the bottle is left on this machine",
		}, run: detachedProbe, own: true},
		{Probe: probe.Probe{
			ID:      "life.leftovers",
			Tried:   "look for what the ended bottle left: Podman's objects, the slice, the runtime directory, the state",
			Control: "they were there before",
			Breach:  "one is left",
		}, run: leftoversProbe, own: true},
	}
}

func detachedProbe(ctx context.Context, r *run) probe.Result {
	mark := r.mark + "-child-1"
	var running bool
	if err := r.part(ctx, &running, "detach", mark); err != nil || !running {
		return incomplete("no process can be left behind: %v", err)
	}
	if !holds(processes(), r.slug) {
		return incomplete("this machine does not even show the processes of the bottle")
	}
	if err := r.ownLauncher(&bytes.Buffer{}, &bytes.Buffer{}).Stop(ctx, []string{r.slug}, true); err != nil {
		return incomplete("the bottle does not end: %v", err)
	}
	r.ended = true
	breakEnd(ctx, r)
	const patience, pause = 5 * time.Second, 50 * time.Millisecond
	left := r.left(mark)
	for deadline := time.Now().Add(patience); left != "" && time.Now().Before(deadline); left = r.left(mark) {
		time.Sleep(pause)
	}
	if left != "" {
		return breach("left %s after the end: %s", patience, left)
	}
	return held("it ran, and this machine showed the bottle's processes", "no process of the bottle is left")
}

// left returns a process that the ended bottle left.
func (r *run) left(mark string) string {
	for path, text := range processes() {
		if bytes.Contains(text, []byte("--exec-process-spec")) {
			continue // Podman's own: it keeps the status of a podbottle exec for five minutes
		}
		if bytes.Contains(text, []byte(mark)) || bytes.Contains(text, []byte("bot-bottle-"+r.slug)) {
			return path + " " + string(text[:min(len(text), 120)])
		}
	}
	return ""
}

func leftoversProbe(ctx context.Context, r *run) probe.Result {
	if !r.ended {
		return incomplete("the bottle has not ended")
	}
	objects, err := r.client.Objects(ctx)
	if err != nil {
		return incomplete("%v", err)
	}
	var left []string
	for _, o := range objects {
		if o.Slug == r.slug {
			left = append(left, o.Kind+" "+o.Name)
		}
	}
	runtime, err := r.launcher.RuntimeDir(r.slug)
	if err != nil {
		return incomplete("%v", err)
	}
	for _, dir := range append(r.stateDirs(), runtime) {
		if _, err := os.Lstat(dir); err == nil {
			left = append(left, dir)
		}
	}
	if len(left) > 0 {
		return breach("left: %s", strings.Join(left, ", "))
	}
	return held("the bottle ran", "nothing is left")
}

package gate

import (
	"context"
	"sync"
)

// flight lets many callers share one run of something, but only a run that began
// after each of them asked: a refresh that was under way already may have missed
// the commit that the caller comes for.
type flight struct {
	mu      sync.Mutex
	running *run
	next    *run
}

type run struct {
	done    chan struct{}
	changed bool
	err     error
}

// do returns the result of a run of work that begins after the call, or the cause of
// the end of ctx. The run itself goes on for the others.
func (f *flight) do(ctx context.Context, work func() (changed bool, err error)) (changed bool, err error) {
	f.mu.Lock()
	r := f.next
	if r == nil {
		r = &run{done: make(chan struct{})}
		f.next = r
		go f.start(r, f.running, work)
	}
	f.mu.Unlock()
	select {
	case <-r.done:
		return r.changed, r.err
	case <-ctx.Done():
		return false, context.Cause(ctx)
	}
}

func (f *flight) start(r, previous *run, work func() (bool, error)) {
	if previous != nil {
		<-previous.done
	}
	f.mu.Lock()
	f.running, f.next = r, nil
	f.mu.Unlock()
	defer close(r.done)
	r.changed, r.err = work()
}

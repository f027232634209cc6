package supervise

import (
	"context"
	"time"
)

// watchEvery is how often Watch looks at the queues.
const watchEvery = time.Second

// Watch calls found once for each proposal that waits: for those that do already,
// and then for each that comes, within a second. It returns when ctx ends, with nil,
// or when the bottles cannot be listed. A queue that cannot be read is left out.
func Watch(ctx context.Context, bottles func() ([]Bottle, error), found func(Bottle, Entry)) error {
	seen := map[string]bool{}
	for {
		all, err := bottles()
		if err != nil {
			return err
		}
		waiting := map[string]bool{}
		for _, b := range all {
			pending, _ := b.Pending()
			for _, p := range pending {
				waiting[p.ID] = true
				if !seen[p.ID] {
					found(b, Entry{Proposal: p})
				}
			}
		}
		seen = waiting
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(watchEvery):
		}
	}
}

package supervise

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"time"
)

// reloadTime bounds how long a sidecar may take to put a new file in force.
const reloadTime = 3 * time.Second

// maxStatus bounds a sidecar's report, in bytes.
const maxStatus = 64 << 10

// WaitForStatus reads a sidecar's JSON report until done says that it is the one
// waited for, or gives an error, or three seconds have passed.
func WaitForStatus[T any](ctx context.Context, path string, done func(T) (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, reloadTime)
	defer cancel()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	var last error
	for {
		data, err := readRegular(path, maxStatus)
		if err == nil {
			var status T
			if err = json.Unmarshal(data, &status); err == nil {
				ok, err := done(status)
				if ok || err != nil {
					return err
				}
			}
		}
		last = err
		select {
		case <-tick.C:
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("the sidecar did not take its new configuration (%s says nothing of it)", filepath.Base(path)), last)
		}
	}
}

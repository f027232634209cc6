package pod

import (
	"bytes"
	"context"
	"fmt"
	"os"
)

// Output runs a command in a container as a user (uid:gid; empty for the
// container's own), gives it input, and returns what it printed on its standard
// output. A status other than 0 is an error that holds what it said.
func (c *Client) Output(ctx context.Context, name, user string, command []string, input []byte) ([]byte, error) {
	reader, writer, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer reader.Close()
	go func() {
		_, _ = writer.Write(input)
		_ = writer.Close()
	}()
	var stdout, stderr bytes.Buffer
	code, err := c.execAs(ctx, name, user, command, false, IO{In: reader, Out: &stdout, Err: &stderr})
	if err == nil && code != 0 {
		err = fmt.Errorf("container %s: %s: status %d: %s", name, command[0], code, bytes.TrimSpace(stderr.Bytes()))
	}
	return stdout.Bytes(), err
}

package pod

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/containers/podman/v5/pkg/bindings/containers"
	mobyterm "github.com/moby/term"
	"golang.org/x/term"
)

// ErrDetached says that the user typed the detach keys; the process goes on.
var ErrDetached = errors.New("detached")

// ErrGone says that the container was removed while it was waited for.
var ErrGone = errors.New("the container was removed")

// ErrLost says that the connection to a process ended before the process did, as
// when Podman's service is killed.
var ErrLost = errors.New("the connection to Podman was lost")

// detachKeys are Podman's default, ctrl-p,ctrl-q.
var detachKeys = []byte{16, 17}

// IO are the streams of the user's side of a session.
type IO struct {
	In       *os.File
	Out, Err io.Writer
}

// session copies between the user and one process in a container.
type session struct {
	stream   *stream
	io       IO
	terminal bool
	resize   func(ctx context.Context, height, width int) error
}

// run copies until the process closes its output, the user detaches, or ctx ends.
func (s *session) run(ctx context.Context) error {
	defer s.stream.Close()
	stop := context.AfterFunc(ctx, func() { _ = s.stream.Close() })
	defer stop()
	var in io.Reader = s.io.In
	if s.terminal && term.IsTerminal(int(s.io.In.Fd())) {
		restore, err := s.takeTerminal(ctx)
		if err != nil {
			return err
		}
		defer restore()
		in = mobyterm.NewEscapeProxy(s.io.In, detachKeys)
	}
	detached := make(chan struct{})
	go func() {
		_, err := io.Copy(s.stream, in)
		var escape mobyterm.EscapeError
		if errors.As(err, &escape) {
			close(detached)
			_ = s.stream.Close()
			return
		}
		_ = s.stream.CloseWrite()
	}()
	err := s.copyOut()
	select {
	case <-detached:
		return ErrDetached
	default:
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// copyOut copies the process's output; without a terminal it comes in frames.
func (s *session) copyOut() error {
	if s.terminal {
		_, err := io.Copy(s.io.Out, s.stream)
		return err
	}
	return demultiplex(s.stream, s.io.Out, s.io.Err)
}

// demultiplex splits the frames of Podman's attach protocol: a byte for the
// stream, three of padding, four of big-endian length, the data.
func demultiplex(r io.Reader, stdout, stderr io.Writer) error {
	header := make([]byte, 8)
	for {
		fd, size, err := containers.DemuxHeader(r, header)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		w := stdout
		if fd == 2 {
			w = stderr
		}
		if fd == 3 {
			message, err := io.ReadAll(io.LimitReader(r, int64(size)))
			return errors.Join(fmt.Errorf("podman API: %s", message), err)
		}
		if _, err := io.CopyN(w, r, int64(size)); err != nil {
			return err
		}
	}
}

// takeTerminal puts the user's terminal into raw mode and passes its size on,
// now and whenever it changes.
func (s *session) takeTerminal(ctx context.Context) (restore func(), err error) {
	fd := int(s.io.In.Fd())
	old, err := term.MakeRaw(fd)
	if err != nil {
		return nil, fmt.Errorf("terminal: %w", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	changes := make(chan os.Signal, 1)
	signal.Notify(changes, syscall.SIGWINCH)
	go func() {
		for {
			if width, height, err := term.GetSize(fd); err == nil {
				_ = s.resize(ctx, height, width)
			}
			select {
			case <-changes:
			case <-ctx.Done():
				return
			}
		}
	}()
	return func() {
		signal.Stop(changes)
		cancel()
		_ = term.Restore(fd, old)
	}, nil
}

// Attachment is a connection to the agent's main process.
type Attachment struct {
	client *Client
	name   string
	s      *session
}

// Attach connects to the main process of a container; one that has not started
// yet is initialised, so that not a byte of its output is lost.
func (c *Client) Attach(ctx context.Context, name string, terminal bool, streams IO) (*Attachment, error) {
	query := url.Values{"stdin": {"true"}, "stdout": {"true"}, "stderr": {"true"}, "stream": {"true"}, "detachKeys": {""}}
	stream, err := c.hijack(ctx, "/containers/"+url.PathEscape(name)+"/attach", query, nil)
	if err != nil {
		return nil, fmt.Errorf("container %s: attach: %w", name, err)
	}
	resize := func(ctx context.Context, height, width int) error {
		return containers.ResizeContainerTTY(c.with(ctx), name, new(containers.ResizeTTYOptions).WithHeight(height).WithWidth(width))
	}
	return &Attachment{client: c, name: name, s: &session{stream: stream, io: streams, terminal: terminal, resize: resize}}, nil
}

// Close drops an attachment that was not run.
func (a *Attachment) Close() error { return a.s.stream.Close() }

// endTime is how long a process may go on after its output has ended.
const endTime = 5 * time.Second

// Run copies until the process ends and returns its exit status, or ErrDetached, or
// ErrLost when the process goes on and the connection to it does not.
func (a *Attachment) Run(ctx context.Context) (int, error) {
	if err := a.s.run(ctx); err != nil && !isConnectionError(err) {
		return 0, err
	}
	ending, cancel := context.WithTimeout(ctx, endTime)
	defer cancel()
	code, err := a.client.exitStatus(ending, a.name)
	switch {
	case err == nil, errors.Is(err, ErrGone), ctx.Err() != nil:
		return code, err
	default:
		return 0, ErrLost // it goes on, or nobody can say whether it does
	}
}

// isConnectionError tells a broken connection to Podman from an output that nobody
// reads any more.
func isConnectionError(err error) bool {
	var connection *net.OpError
	return errors.As(err, &connection) || errors.Is(err, io.ErrUnexpectedEOF)
}

// exitStatus waits for a container to end.
func (c *Client) exitStatus(ctx context.Context, name string) (int, error) {
	options := new(containers.WaitOptions).WithConditions([]string{"exited", "stopped"}).WithInterval("10ms")
	code, err := containers.Wait(c.with(ctx), name, options)
	if notFound(err) {
		return 0, ErrGone
	}
	if err != nil {
		return 0, fmt.Errorf("container %s: %w", name, err)
	}
	return int(code), nil
}

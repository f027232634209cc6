package bottle

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"syscall"

	"github.com/podbottle/podbottle/internal/archive"
	"github.com/podbottle/podbottle/internal/pod"
	"github.com/podbottle/podbottle/internal/resolve"
	"github.com/podbottle/podbottle/internal/state"
	"github.com/podbottle/podbottle/internal/visible"
)

// Location is one side of a copy.
type Location struct {
	Slug string // of the bottle; empty for this machine
	Path string // - for an archive on a standard stream
}

// ParseLocation reads SLUG:PATH, or a path of this machine; one that looks like
// the other is written as ./SLUG:PATH.
func ParseLocation(arg string) Location {
	slug, inside, found := strings.Cut(arg, ":")
	if found && state.ValidSlug(slug) {
		return Location{Slug: slug, Path: inside}
	}
	return Location{Path: arg}
}

// CheckCopy says what is wrong with the two sides of a copy.
func CheckCopy(from, to Location) error {
	switch {
	case from == Location{} || to == Location{}:
		return errors.New("a path is empty")
	case (from.Slug == "") == (to.Slug == ""):
		return errors.New("one side is SLUG:PATH in a bottle, the other a path of this machine or -")
	case from.Slug != "" && from.Path == "-", to.Slug != "" && to.Path == "-":
		return errors.New("- is for the side of this machine")
	}
	return nil
}

// Copy copies a file or a directory out of a bottle or into one. Nothing is
// followed out of the target, and what cannot come whole does not come at all.
func (l *Launcher) Copy(ctx context.Context, from, to Location) error {
	return l.copy(ctx, from, to, archive.PackArgs)
}

// CopyTrial is Copy out of a bottle that runs, whose end is another command of the
// sidecars' program than the one that packs: the agent can make that end send anything.
// It is for podbottle verify.
func (l *Launcher) CopyTrial(ctx context.Context, from, to Location, args []string) error {
	return l.copy(ctx, from, to, func(string, string) []string { return args })
}

func (l *Launcher) copy(ctx context.Context, from, to Location, pack func(path, name string) []string) error {
	if err := CheckCopy(from, to); err != nil {
		return err
	}
	client, err := pod.Connect(ctx)
	if err != nil {
		return err
	}
	defer client.Close()
	inside := from
	if inside.Slug == "" {
		inside = to
	}
	end, err := l.copyEnd(ctx, client, inside)
	if err != nil {
		return err
	}
	defer end.close()
	if from.Slug != "" {
		return l.copyOut(ctx, end, pack, to.Path)
	}
	if strings.HasSuffix(to.Path, "/") {
		end.path += "/" // only as a directory
	}
	return l.copyIn(ctx, end, from.Path)
}

// copyEnd is the end of a copy that lies in a bottle.
type copyEnd struct {
	path  string // absolute and clean, in the agent's container
	run   func(ctx context.Context, args []string, streams pod.IO) (int, error)
	close func()
}

// copyEnd finds the bottle: one that runs is reached through its agent's container,
// of another there is only the agent's home.
func (l *Launcher) copyEnd(ctx context.Context, client *pod.Client, at Location) (copyEnd, error) {
	found, err := l.find(ctx, client, at.Slug)
	if err != nil && !errors.Is(err, errNotHeld) {
		return copyEnd{}, err
	}
	at.Slug = found.Slug
	launched, err := resolve.Launched(l.Root, at.Slug)
	if err != nil {
		return copyEnd{}, err
	}
	home := launched.GuestHome
	end := copyEnd{path: insidePath(home, at.Path), close: func() {}}
	if found.Status == "running" || found.Status == "degraded" {
		end.run = func(ctx context.Context, args []string, streams pod.IO) (int, error) {
			return client.CopyRunning(ctx, found.Container, args, streams)
		}
		return end, nil
	}
	if end.path != home && !strings.HasPrefix(end.path, home+"/") {
		return end, fmt.Errorf("bottle %s does not run: only its agent's home, %s, is kept", at.Slug, home)
	}
	lock, err := state.Lock(l.Root, at.Slug)
	if err != nil {
		return end, err
	}
	end.close = func() { _ = lock.Unlock() }
	sidecar, err := l.Sidecar(ctx, client)
	if err != nil {
		end.close()
		return end, err
	}
	end.run = func(ctx context.Context, args []string, streams pod.IO) (int, error) {
		return client.CopyHome(ctx, at.Slug, sidecar.Image, home, args, streams)
	}
	return end, nil
}

// insidePath is a path in the agent's container; a relative one starts at its home,
// which an empty one is.
func insidePath(home, name string) string {
	if name == "~" || strings.HasPrefix(name, "~/") {
		name = strings.TrimPrefix(strings.TrimPrefix(name, "~"), "/")
	}
	if !path.IsAbs(name) {
		name = path.Join(home, name)
	}
	return path.Clean(name)
}

// copyOut copies from the bottle to a path of this machine, or as an archive to
// standard output.
func (l *Launcher) copyOut(ctx context.Context, end copyEnd, pack func(path, name string) []string, dest string) error {
	name := archive.Base(end.path)
	var report archive.Report
	err := l.receive(ctx, end, pack(end.path, name), func(r io.Reader) (err error) {
		if dest == "-" {
			return archive.Filter(l.Out, r, name)
		}
		report, err = archive.UnpackTo(r, dest, name)
		return onHost(err)
	})
	if err == nil && len(report.Settings) > 0 {
		names := visible.String(strings.Join(report.Settings, ", "))
		if report.Unlisted > 0 {
			names += fmt.Sprintf(" and %d more", report.Unlisted)
		}
		fmt.Fprintf(l.Err, "Warning: programs of this machine act on files of the copy, which the agent may have written: %s. Look at them first.\n", names)
	}
	return err
}

// receive runs the end in the bottle with args and gives its archive to use. An error of that
// end wins: it has the reason, where the archive is only cut short.
func (l *Launcher) receive(ctx context.Context, end copyEnd, args []string, use func(io.Reader) error) error {
	reader, writer := io.Pipe()
	done := make(chan error, 1)
	go func() {
		err := l.runEnd(ctx, end, args, nil, writer)
		_ = writer.CloseWithError(err)
		done <- err
	}()
	err := use(reader)
	_ = reader.CloseWithError(errStopped) // the other end need not go on
	if said := <-done; said != nil && !errors.Is(said, errStopped) {
		return said
	}
	return err
}

// errStopped ends the other end of a copy.
var errStopped = errors.New("the copy has ended")

// copyIn copies a path of this machine, or an archive from standard input, into
// the bottle.
func (l *Launcher) copyIn(ctx context.Context, end copyEnd, source string) error {
	reader, writer, err := os.Pipe()
	if err != nil {
		return err
	}
	defer reader.Close()
	var name string
	pack := func() error { return archive.Filter(writer, l.In, "") }
	if source != "-" {
		name = archive.Base(source)
		pack = func() error {
			return onHost(archive.Pack(writer, source, name, func(path string) { fmt.Fprintln(l.Err, visible.String(archive.LeftOut(path))) }))
		}
	}
	done := make(chan error, 1)
	go func() { done <- errors.Join(pack(), writer.Close()) }()
	err = l.runEnd(ctx, end, archive.UnpackArgs(end.path, name), reader, io.Discard)
	_ = reader.Close() // whatever is still written goes nowhere
	if packed := <-done; packed != nil && !errors.Is(packed, syscall.EPIPE) {
		return packed
	}
	return err
}

// onHost tells a path that is not there from one that is not in the bottle.
func onHost(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("on the host: %w", err)
	}
	return err
}

// maxSaid bounds what the end in the bottle may say, in bytes.
const maxSaid = 64 << 10

// runEnd runs the end in the bottle and turns what it says into messages. Where the
// bottle runs the agent can make it say anything.
func (l *Launcher) runEnd(ctx context.Context, end copyEnd, args []string, in *os.File, out io.Writer) error {
	if in == nil { // it ends when nobody reads any more
		reader, writer, err := os.Pipe()
		if err != nil {
			return err
		}
		defer reader.Close()
		defer writer.Close()
		in = reader
	}
	var said boundedBuffer
	code, err := end.run(ctx, args, pod.IO{In: in, Out: out, Err: &said})
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case err != nil:
		return err
	}
	notes, reason := strings.TrimSpace(said.String()), ""
	if code != 0 { // the reason comes last
		i := strings.LastIndexByte(notes, '\n') + 1
		notes, reason = strings.TrimSpace(notes[:i]), notes[i:]
	}
	if notes != "" {
		fmt.Fprintln(l.Err, strings.Join(visible.Lines(notes), "\n"))
	}
	if code != 0 {
		return fmt.Errorf("in the bottle: %s", strings.TrimPrefix(reason, "podbottle-sidecar copy: "))
	}
	return nil
}

// boundedBuffer keeps the first maxSaid bytes.
type boundedBuffer struct{ bytes.Buffer }

func (b *boundedBuffer) Write(p []byte) (int, error) {
	_, _ = b.Buffer.Write(p[:min(len(p), maxSaid-b.Len())])
	return len(p), nil
}

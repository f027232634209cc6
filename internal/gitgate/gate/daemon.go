package gate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os/exec"
	"sync"
	"time"
)

// maxConnections bounds what agents have open at the same time.
const maxConnections = 64

// drainTime is how long an agent may go on sending after git has answered.
const drainTime = 30 * time.Second

// acceptPause follows an accept that failed, such as for want of descriptors.
const acceptPause = 100 * time.Millisecond

// daemon serves the git protocol until ctx ends and calls ready when it listens.
//
// It accepts connections itself and gives each one a git daemon of its own, as
// inetd does: a git that refuses a push stops reading in the middle of it, and a
// socket that is closed with unread data is reset, so that the agent would never
// see the reason. Here the rest is read and dropped before the connection ends.
func (g *Gate) daemon(ctx context.Context, listen netip.AddrPort, ready func() error) error {
	listener, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(listen))
	if err != nil {
		return fmt.Errorf("git daemon: %w", err)
	}
	defer context.AfterFunc(ctx, func() { _ = listener.Close() })()
	defer listener.Close()
	if err := ready(); err != nil {
		return err
	}
	slots := make(chan struct{}, maxConnections)
	var open sync.WaitGroup
	defer open.Wait()
	for {
		slots <- struct{}{}
		conn, err := listener.AcceptTCP()
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, net.ErrClosed):
			return fmt.Errorf("git daemon: %w", err)
		case err != nil:
			g.log.Error("git daemon", "error", err.Error())
			time.Sleep(acceptPause)
			<-slots
			continue
		}
		open.Go(func() {
			defer func() { <-slots }()
			g.serveConnection(ctx, conn)
		})
	}
}

// serveConnection runs git daemon for one connection, to its orderly end. Only the
// mirrors are served, and each request passes the access hook.
func (g *Gate) serveConnection(ctx context.Context, conn *net.TCPConn) {
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	cmd := exec.CommandContext(ctx, "git", "daemon", "--inetd", "--log-destination=none", "--informative-errors", "--export-all",
		"--base-path="+g.mirrorsDir(), "--access-hook="+g.work.program(accessProgram), "--init-timeout=30",
		"--enable=upload-pack", "--enable=receive-pack", "--disable=upload-archive",
		"--forbid-override=upload-pack", "--forbid-override=receive-pack", "--forbid-override=upload-archive",
		g.mirrorsDir())
	cmd.Env = append(baseEnv(g.work.home()), workVariable+"="+string(g.work))
	inOwnGroup(cmd)
	cmd.WaitDelay = drainTime // the agent may be slow to read the rest
	cmd.Stdout = conn
	stdin, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		g.log.Error("git daemon", "error", err.Error())
		return
	}
	read := make(chan struct{})
	go func() {
		defer close(read)
		_, _ = io.Copy(stdin, conn)
		_ = stdin.Close()
		_, _ = io.Copy(io.Discard, conn)
	}()
	if err := cmd.Wait(); err != nil {
		g.log.Debug("git daemon", "error", err.Error())
	}
	_ = conn.CloseWrite()
	_ = conn.SetReadDeadline(time.Now().Add(drainTime))
	<-read
}

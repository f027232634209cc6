package gate

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os/exec"
	"strconv"
	"strings"
	"sync"

	"github.com/podbottle/podbottle/internal/visible"
)

// readyMessage is what git daemon --verbose prints once it listens.
const readyMessage = "Ready to rumble"

// daemon runs git daemon until ctx ends and calls ready when it listens. Only the
// mirrors are served, and each request passes the access hook.
func (g *Gate) daemon(ctx context.Context, listen netip.AddrPort, ready func() error) error {
	cmd := exec.CommandContext(ctx, "git", "daemon", "--verbose", "--reuseaddr", "--informative-errors", "--export-all",
		"--listen="+listen.Addr().String(), "--port="+strconv.Itoa(int(listen.Port())),
		"--base-path="+g.mirrorsDir(), "--access-hook="+g.work.program(accessProgram),
		"--max-connections=64", "--init-timeout=30",
		"--enable=upload-pack", "--enable=receive-pack", "--disable=upload-archive",
		"--forbid-override=upload-pack", "--forbid-override=receive-pack", "--forbid-override=upload-archive",
		g.mirrorsDir())
	cmd.Env = append(baseEnv(g.work.home()), workVariable+"="+string(g.work))
	inOwnGroup(cmd)
	stderr, err := cmd.StderrPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("git daemon: %w", err)
	}
	var last string
	once := sync.OnceValue(ready)
	// A line can be as long as the agent's request, so no bufio.Scanner.
	for lines := bufio.NewReader(stderr); ; {
		line, err := lines.ReadString('\n')
		if err != nil {
			break
		}
		last = strings.TrimSpace(line)
		if strings.Contains(last, readyMessage) {
			if err := once(); err != nil {
				_ = cmd.Cancel()
				_ = cmd.Wait()
				return err
			}
		}
		g.log.Debug("git daemon", "line", last)
	}
	err = cmd.Wait()
	if ctx.Err() != nil {
		return nil
	}
	return errors.Join(fmt.Errorf("git daemon ended: %s", truncate(visible.String(last), maxSaid)), err)
}

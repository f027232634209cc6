package gate

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"

	"github.com/podbottle/podbottle/internal/gitgate"
	"github.com/podbottle/podbottle/internal/visible"
)

// send is git push to the remote. Its answer goes on to the agent line by line.
func (p *push) send(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, transferTimeout, errors.New("the push to the remote took too long"))
	defer cancel()
	cmd := p.git.command(ctx, sendArgs(p.mirror.repo.URL(), p.updates)...)
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	stderr, err := cmd.StderrPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	var said, status string
	var group sync.WaitGroup
	group.Go(func() { said = relay(stderr, func(line string) { p.say(p.mirror.repo.Host + ": " + line) }) })
	group.Go(func() { status = rejections(stdout) })
	group.Wait()
	err = cmd.Wait()
	if err == nil {
		return nil
	}
	if status != "" {
		return fmt.Errorf("%s refused the push: %s", p.mirror.repo.Host, status)
	}
	return fmt.Errorf("the push did not reach %s: %w", p.mirror.repo.Address(), newGitError(ctx, "push", err, said))
}

// sendArgs are git push's arguments. Every ref is bound to what it was when the
// agent fetched (--force-with-lease): whether it may be rewritten is decided before.
func sendArgs(url string, updates []gitgate.Update) []string {
	args := []string{"push", "--porcelain", "--no-verify", "--no-progress", "--no-signed", "--no-follow-tags", "--recurse-submodules=no"}
	if len(updates) > 1 {
		args = append(args, "--atomic")
	}
	var refspecs []string
	for _, u := range updates {
		old, now := u.Old, u.New
		if u.Creates() {
			old = ""
		}
		if u.Deletes() {
			now = ""
		}
		args = append(args, "--force-with-lease="+u.Ref+":"+old)
		refspecs = append(refspecs, now+":"+u.Ref)
	}
	return append(append(args, "--", url), refspecs...)
}

// maxRelayed bounds what a remote may say in answer to one push.
const maxRelayed = 64 << 10

// relay passes on what the remote prints (lines that git marks with "remote: "), made
// visible, and returns the other lines, which are git's and ssh's own.
func relay(r io.Reader, say func(string)) (others string) {
	var rest strings.Builder
	lines := bufio.NewReader(io.LimitReader(r, maxRelayed))
	for {
		line, err := lines.ReadString('\n')
		if text, ok := strings.CutPrefix(line, "remote: "); ok {
			say(visible.String(strings.TrimRight(text, " \n")))
		} else {
			rest.WriteString(line)
		}
		if err != nil {
			break
		}
	}
	_, _ = io.Copy(io.Discard, r)
	return rest.String()
}

// rejections reads git push --porcelain: a line "!<TAB>from:to<TAB>summary" for each
// ref that the remote did not take.
func rejections(r io.Reader) string {
	var all []string
	lines := bufio.NewReader(io.LimitReader(r, maxRelayed))
	for {
		line, err := lines.ReadString('\n')
		if fields := strings.Split(strings.TrimSuffix(line, "\n"), "\t"); len(fields) == 3 && fields[0] == "!" {
			_, ref, _ := strings.Cut(fields[1], ":")
			all = append(all, ref+" "+rejection(fields[2]))
		}
		if err != nil {
			break
		}
	}
	_, _ = io.Copy(io.Discard, r)
	return truncate(visible.String(strings.Join(all, "; ")), maxSaid)
}

func rejection(summary string) string {
	if strings.Contains(summary, "(stale info)") {
		return "has changed there since the last fetch; fetch and try again"
	}
	return summary
}

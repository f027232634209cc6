// Package gate is the sidecar's side of git-gate: git daemon in front of bare
// mirrors, each refreshed from its remote before it is read, and a scan of
// everything that a push would add before anything of it goes to the remote.
//
// Git runs this binary again as its hooks and as its ssh; those copies are small
// and ask the one gate, which decides.
package gate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/google/renameio/v2"

	"github.com/podbottle/podbottle/internal/audit"
	"github.com/podbottle/podbottle/internal/gitgate"
)

// Gate serves the mirrors of one bottle.
type Gate struct {
	slug       string
	config     gitgate.Config
	configDir  string
	secretsDir string
	stateDir   string
	work       work
	mirrors    map[string]*mirror // by repository
	detector   func() (*detector, error)
	audit      *audit.Writer
	log        *slog.Logger
	// refusals guards the files of refused pushes, which are read and written again.
	refusals sync.Mutex
}

// newGate makes the mirrors and the work directory's content.
func newGate(f flags, w work, writer *audit.Writer, log *slog.Logger) (*Gate, error) {
	text, err := os.ReadFile(filepath.Join(f.configDir, gitgate.ConfigFile))
	if err != nil {
		return nil, err
	}
	config, err := gitgate.ParseConfig(text)
	if err != nil {
		return nil, err
	}
	g := &Gate{
		slug: f.slug, config: config, configDir: f.configDir, secretsDir: f.secretsDir, stateDir: f.stateDir, work: w,
		mirrors: map[string]*mirror{}, detector: sharedDetector, audit: writer, log: log,
	}
	if err := w.create(f); err != nil {
		return nil, err
	}
	for _, repo := range config.Repositories {
		env := append(baseEnv(w.home()), workVariable+"="+string(w), repositoryVariable+"="+repo.Name,
			"GIT_SSH="+w.program(sshProgram), "GIT_SSH_VARIANT=ssh")
		m, err := newMirror(filepath.Join(g.mirrorsDir(), repo.Name+".git"), w.hooks(), repo, config.Limits, env)
		if err != nil {
			return nil, fmt.Errorf("mirror of %s: %w", repo.Name, err)
		}
		g.mirrors[repo.Name] = m
	}
	return g, nil
}

func (g *Gate) mirrorsDir() string { return filepath.Join(g.stateDir, gitgate.MirrorsDir) }

// serveHooks answers the hooks until ctx ends.
func (g *Gate) serveHooks(ctx context.Context, listener net.Listener) error {
	stop := context.AfterFunc(ctx, func() { _ = listener.Close() })
	defer stop()
	for {
		conn, err := listener.Accept()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		go g.serveHook(ctx, conn)
	}
}

// serveHook answers one hook. When the hook goes away, as when the agent's git is
// stopped, what it asked for is given up, unless it is on its way to the remote.
func (g *Gate) serveHook(life context.Context, conn net.Conn) {
	defer conn.Close()
	var r request
	decoder := json.NewDecoder(conn)
	if err := decoder.Decode(&r); err != nil {
		g.log.Error("a hook asked for something unknown", "error", err)
		return
	}
	ctx, cancel := context.WithCancelCause(life)
	defer cancel(nil)
	go func() {
		_, _ = io.Copy(io.Discard, conn)
		cancel(errors.New("the agent's git went away"))
	}()
	replies := json.NewEncoder(conn)
	say := func(line string) { _ = replies.Encode(reply{Say: line}) }
	ok := false
	switch r.Hook {
	case accessProgram:
		ok = g.access(ctx, life, r, say)
	case preReceiveHook:
		ok = g.receive(ctx, life, r, say)
	}
	_ = replies.Encode(reply{Done: true, OK: ok})
}

// access decides whether git daemon may serve a repository, and refreshes its
// mirror. It says the reason of a refusal in one line, which is all that git daemon
// passes on.
func (g *Gate) access(ctx, life context.Context, r request, say func(string)) bool {
	start := time.Now()
	rec := gitgate.Record{Event: gitgate.EventFetch, Verdict: gitgate.VerdictDeny}
	m, err := g.find(r.Dir)
	if err != nil {
		rec.Reason, rec.Detail = gitgate.ReasonUnknown, err.Error()
		_ = g.record(rec, start)
		say(err.Error())
		return false
	}
	rec.Repository = m.repo.Name
	// A push is scanned before there is any contact with the remote. Only the first
	// one, when nobody fetched before, needs to know what the remote has.
	if r.Service == "receive-pack" && m.filled() {
		return true
	}
	rec.Reason, err = g.refresh(ctx, life, m)
	if err != nil {
		rec.Detail = err.Error()
		_ = g.record(rec, start)
		say(fmt.Sprintf("git-gate cannot serve %s from %s: %v", m.repo.Name, m.repo.Address(), err))
		return false
	}
	rec.Verdict = gitgate.VerdictAllow
	return g.record(rec, start) == nil
}

// find returns the mirror in a directory that git daemon named.
func (g *Gate) find(dir string) (*mirror, error) {
	name := strings.TrimSuffix(filepath.Base(dir), ".git")
	m := g.mirrors[name]
	if m == nil || filepath.Clean(dir) != m.git.dir {
		return nil, errors.New("no declared remote has that name")
	}
	return m, nil
}

// refresh makes a mirror like its remote, together with others who ask for it.
// life is the gate's: the refresh ends with that and not with the one who asked first.
func (g *Gate) refresh(ctx, life context.Context, m *mirror) (gitgate.Reason, error) {
	if reason, err := g.prepare(m.repo); err != nil {
		return reason, err
	}
	changed, err := m.shared.do(ctx, func() (bool, error) { return m.update(life) })
	switch {
	case err != nil:
		return gitgate.ReasonUnreachable, err
	case changed:
		g.tidy(life, m)
		return gitgate.ReasonRefreshed, nil
	}
	return gitgate.ReasonUnchanged, nil
}

// tidy packs the mirror in the background, which nobody waits for.
func (g *Gate) tidy(life context.Context, m *mirror) {
	go func() {
		if err := m.tidy(life); err != nil && life.Err() == nil {
			g.log.Warn("git gc", "repository", m.repo.Name, "error", err)
		}
	}()
}

// prepare checks what every contact with the remote needs.
func (g *Gate) prepare(repo gitgate.Repository) (gitgate.Reason, error) {
	if repo.HostKeyAlias == "" {
		return gitgate.ReasonUnpinned, errors.New("no host key is pinned for it; give the bottle's remote its KnownHostKey")
	}
	if err := g.copyKey(repo); err != nil {
		return gitgate.ReasonInternal, err
	}
	return "", nil
}

// copyKey puts a repository's key where ssh accepts it: its own copy, closed to
// others, with a newline at its end. The key may arrive while the gate runs.
func (g *Gate) copyKey(repo gitgate.Repository) error {
	if repo.SSHAgent {
		return nil
	}
	key, err := os.ReadFile(filepath.Join(g.secretsDir, gitgate.IdentitiesDir, repo.Name))
	if errors.Is(err, fs.ErrNotExist) {
		return errors.New("the sidecar has no key for it")
	}
	if err != nil {
		return err
	}
	defer clear(key)
	if len(key) > 0 && key[len(key)-1] != '\n' {
		key = append(key, '\n')
	}
	return renameio.WriteFile(g.work.key(repo.Name), key, 0o600)
}

// record writes a decision to the log and to the audit file.
func (g *Gate) record(rec gitgate.Record, start time.Time) error {
	rec.Time, rec.Slug = time.Now().UTC(), g.slug
	rec.DurationMS = float64(time.Since(start).Microseconds()) / 1000
	rec = rec.Limited()
	g.log.Info(string(rec.Event), "verdict", rec.Verdict, "reason", rec.Reason, "repository", rec.Repository,
		"updates", rec.Updates, "findings", rec.FindingCount, "refusal", rec.Refusal, "detail", rec.Detail, "duration_ms", rec.DurationMS)
	_, err := g.audit.Append(rec)
	if err != nil {
		g.log.Error("audit", "error", err)
	}
	return err
}

package gate

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/podbottle/podbottle/internal/gitgate"
	"github.com/podbottle/podbottle/internal/ready"
	"github.com/podbottle/podbottle/internal/sshdtest"
)

// TestMain lets the test's own binary be the programs that the gate links to.
func TestMain(m *testing.M) {
	if run := Commands()[filepath.Base(os.Args[0])]; run != nil {
		if err := run(context.Background(), os.Args[1:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// program finds a program that the tests need, or says which package has it.
func program(t testing.TB, name, debianPackage string) string {
	t.Helper()
	for _, dir := range strings.Split(searchPath, ":") {
		if path := filepath.Join(dir, name); syscall.Access(path, 1) == nil {
			return path
		}
	}
	t.Fatalf("%s is missing, and these tests are about the real one: apt-get install %s", name, debianPackage)
	return ""
}

// mustRun runs a command and returns its output.
func mustRun(t testing.TB, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

// server is a real sshd on loopback, the remote of the tests.
type server struct {
	*sshdtest.Server
	t testing.TB
}

func newServer(t testing.TB) *server {
	t.Helper()
	remote, err := sshdtest.Start(t.TempDir(), netip.MustParseAddrPort("127.0.0.1:0"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(remote.Stop)
	return &server{remote, t}
}

// start runs sshd again after Stop.
func (s *server) start() {
	s.t.Helper()
	if err := s.Start(); err != nil {
		s.t.Fatal(err)
	}
}

// create makes a bare repository with one commit on main, and declares it.
func (s *server) create(name string) gitgate.Upstream {
	s.t.Helper()
	if err := s.Create(name); err != nil {
		s.t.Fatal(err)
	}
	return s.upstream(name)
}

// commit makes a commit outside of any bottle and puts it into the repository.
func (s *server) commit(name, file, content, message string) string {
	s.t.Helper()
	commit, err := s.Commit(name, file, content, message)
	if err != nil {
		s.t.Fatal(err)
	}
	return commit
}

// git runs git in a directory below the server's.
func (s *server) git(dir string, args ...string) string {
	s.t.Helper()
	out, err := s.Git(dir, args...)
	if err != nil {
		s.t.Fatal(err)
	}
	return out
}

// upstream declares the repository as a bottle would.
func (s *server) upstream(name string) gitgate.Upstream {
	s.t.Helper()
	hostKey, err := s.HostKey("host")
	if err != nil {
		s.t.Fatal(err)
	}
	path, port := s.RepositoryPath(name), int(s.Addr.Port())
	return gitgate.Upstream{
		Name: name, URL: fmt.Sprintf("ssh://%s@127.0.0.1:%d%s", s.User, port, path), User: s.User, Host: "127.0.0.1", Port: port, Path: path,
		IdentityFile: s.Path("client"), KnownHostKey: hostKey,
	}
}

// refs are the repository's refs at the remote.
func (s *server) refs(name string) string { return s.git(name+".git", "for-each-ref") }

func freePort(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// bottle is a gate with its directories, and an agent in front of it.
type bottle struct {
	t     testing.TB
	plan  gitgate.Plan
	dir   string
	home  string // the agent's
	port  int
	limit gitgate.Limits
	stop  func()
}

// newBottle starts a gate for the remotes and writes the agent's gitconfig, in which
// the name git-gate is this gate's address.
func newBottle(t testing.TB, upstreams ...gitgate.Upstream) *bottle {
	t.Helper()
	return startBottle(t, gitgate.DefaultLimits(), upstreams...)
}

func startBottle(t testing.TB, limits gitgate.Limits, upstreams ...gitgate.Upstream) *bottle {
	t.Helper()
	b := &bottle{
		t: t, dir: t.TempDir(), home: t.TempDir(), port: freePort(t), limit: limits,
		plan: gitgate.Plan{Slug: "demo-abc12", Upstreams: upstreams, User: gitgate.User{Name: "Agent", Email: "agent@example.org"}},
	}
	for _, d := range []string{"config", "secrets/identities", "run", "state"} {
		if err := os.MkdirAll(filepath.Join(b.dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, u := range upstreams {
		if u.IdentityFile != "" {
			b.copyKey(u)
		}
	}
	b.write()
	b.start()
	t.Cleanup(func() { b.stop() })
	return b
}

func (b *bottle) copyKey(u gitgate.Upstream) {
	b.t.Helper()
	key, err := os.ReadFile(u.IdentityFile)
	if err != nil {
		b.t.Fatal(err)
	}
	// As podbottle writes it: readable by the container's uid, closed by the directory above.
	if err := os.WriteFile(filepath.Join(b.dir, "secrets/identities", u.Name), key, 0o444); err != nil {
		b.t.Fatal(err)
	}
}

// write renders the configuration of the gate and of the agent's git.
func (b *bottle) write() {
	b.t.Helper()
	files, err := b.plan.ConfigFiles()
	if err != nil {
		b.t.Fatal(err)
	}
	config, err := gitgate.ParseConfig(files[gitgate.ConfigFile])
	if err != nil {
		b.t.Fatal(err)
	}
	config.Limits = b.limit
	if files[gitgate.ConfigFile], err = config.Marshal(); err != nil {
		b.t.Fatal(err)
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(b.dir, "config", name), content, 0o644); err != nil {
			b.t.Fatal(err)
		}
	}
	// Here nothing resolves the name git-gate; a second rewrite does not happen, so the first one is changed.
	gitconfig := bytes.ReplaceAll(gitgate.Gitconfig(b.plan), []byte("git://git-gate/"), fmt.Appendf(nil, "git://127.0.0.1:%d/", b.port))
	if err := os.WriteFile(filepath.Join(b.home, ".gitconfig"), gitconfig, 0o644); err != nil {
		b.t.Fatal(err)
	}
}

// start runs the gate in this process, as the sidecar's main function does.
func (b *bottle) start() {
	b.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- Run(ctx, []string{
			"--slug", b.plan.Slug, "--listen", netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), uint16(b.port)).String(),
			"--config", b.path("config"), "--secrets", b.path("secrets"), "--run", b.path("run"), "--state", b.path("state"),
			"--ssh-agent", b.path("ssh-agent.sock"),
		})
	}()
	b.stop = func() {
		cancel()
		if err := <-done; err != nil {
			b.t.Errorf("the gate ended with %v", err)
		}
		b.stop = func() {}
	}
	waitFor(b.t, "the gate to be ready", func() bool {
		select {
		case err := <-done:
			b.stop = func() {}
			b.t.Fatalf("the gate ended with %v", err)
		default:
		}
		_, err := os.Stat(b.path("run", ready.Service))
		return err == nil
	})
}

func (b *bottle) path(elem ...string) string {
	return filepath.Join(append([]string{b.dir}, elem...)...)
}

// try runs git as the agent does, in a directory below its home.
func (b *bottle) try(dir string, args ...string) (string, error) {
	b.t.Helper()
	cmd := exec.Command("git", append([]string{"-C", filepath.Join(b.home, dir)}, args...)...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + b.home, "LC_ALL=C", "GIT_TERMINAL_PROMPT=0", "GIT_CONFIG_NOSYSTEM=1"}
	out, err := cmd.CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

// git is try for what must succeed.
func (b *bottle) git(dir string, args ...string) string {
	b.t.Helper()
	out, err := b.try(dir, args...)
	if err != nil {
		b.t.Fatalf("agent: git %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

// commit writes a file in the agent's clone and commits it.
func (b *bottle) commit(clone, file, content, message string) string {
	b.t.Helper()
	b.put(clone, file, content)
	b.git(clone, "add", "-A")
	b.git(clone, "commit", "-q", "--allow-empty-message", "-m", message)
	return b.git(clone, "rev-parse", "HEAD")
}

// put writes a file in the agent's clone.
func (b *bottle) put(clone, file, content string) {
	b.t.Helper()
	path := filepath.Join(b.home, clone, file)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		b.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		b.t.Fatal(err)
	}
}

// waitFor gives something time to happen.
func waitFor(t testing.TB, what string, happened func() bool) {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Minute); !happened(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

package sshdtest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// RepositoryPath is the path of a repository, as it stands in a URL.
func (s *Server) RepositoryPath(name string) string { return s.Path(name + ".git") }

// Create makes a bare repository with one commit on main.
func (s *Server) Create(name string) error {
	if _, err := s.Git("", "init", "-q", "--bare", "-b", "main", name+".git"); err != nil {
		return err
	}
	if _, err := s.Git("", "init", "-q", "-b", "main", "work-"+name); err != nil {
		return err
	}
	_, err := s.Commit(name, "README", "hello\n", "first")
	return err
}

// Commit commits a file outside of any bottle, puts it into the repository, and
// returns the commit's name.
func (s *Server) Commit(name, file, content, message string) (string, error) {
	path := s.Path("work-"+name, file)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return "", err
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		return "", err
	}
	for _, args := range [][]string{
		{"add", "-A"},
		{"commit", "-q", "-m", message},
		{"push", "-q", s.RepositoryPath(name), "HEAD"},
	} {
		if _, err := s.Git("work-"+name, args...); err != nil {
			return "", err
		}
	}
	return s.Git("work-"+name, "rev-parse", "HEAD")
}

// Git runs git in a directory below the server's, without the user's
// configuration, and returns its output, trimmed.
func (s *Server) Git(dir string, args ...string) (string, error) {
	cmd := exec.Command("git", append([]string{"-C", s.Path(dir)}, args...)...)
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_AUTHOR_NAME=Up Stream", "GIT_AUTHOR_EMAIL=up@example.org",
		"GIT_COMMITTER_NAME=Up Stream", "GIT_COMMITTER_EMAIL=up@example.org")
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("git -C %s %s: %w\n%s", dir, strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out)), nil
}

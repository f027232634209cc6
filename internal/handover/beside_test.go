package handover

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/podbottle/podbottle/internal/exitstatus"
)

func sh(t *testing.T, script string, stdin io.Reader) (int, error) {
	t.Helper()
	path, err := exec.LookPath("sh")
	if err != nil {
		t.Fatal(err)
	}
	return runBeside(t.Context(), path, []string{"sh", "-c", script}, os.Environ(), stdin)
}

func TestRunBeside(t *testing.T) {
	const size = 1 << 20
	for script, want := range map[string]int{
		`test "$(wc -c)" -eq 1048576`:   0, // all of it arrives
		`exit 3`:                        3,
		`head -c 10 >/dev/null; exit 4`: 4,
		`exec <&-; kill -KILL $$`:       137,
	} {
		input := strings.NewReader(strings.Repeat("x", size))
		code, err := sh(t, script, input)
		if err != nil || code != want {
			t.Errorf("%s: status %d, %v; want %d", script, code, err, want)
		}
		if input.Len() > 0 {
			t.Errorf("%s: %d bytes of the input were not read", script, input.Len())
		}
	}
}

// Input that neither ends nor is read holds nobody up.
func TestRunBesideWithoutAnEnd(t *testing.T) {
	silent, writer := io.Pipe()
	defer writer.Close()
	for name, input := range map[string]io.Reader{"silent": silent, "endless": endless{}} {
		if code, err := sh(t, "exit 6", input); err != nil || code != 6 {
			t.Errorf("%s: status %d, %v", name, code, err)
		}
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

func TestRunBesideEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	path, err := exec.LookPath("sh")
	if err != nil {
		t.Fatal(err)
	}
	runs := filepath.Join(t.TempDir(), "runs")
	go func() {
		for ctx.Err() == nil {
			if _, err := os.Stat(runs); err == nil {
				cancel()
			}
			time.Sleep(time.Millisecond)
		}
	}()
	code, err := runBeside(ctx, path, []string{"sh", "-c", `: >"$0"; exec sleep 600`, runs}, os.Environ(), strings.NewReader(""))
	if err != nil || code != 143 {
		t.Errorf("status %d, %v; want that of SIGTERM", code, err)
	}
}

func TestACommandThatCannotBeRun(t *testing.T) {
	dir := t.TempDir()
	broken := filepath.Join(dir, "broken")
	if err := os.WriteFile(broken, []byte("\x7fELF nonsense"), 0o700); err != nil {
		t.Fatal(err)
	}
	plain := filepath.Join(dir, "plain")
	if err := os.WriteFile(plain, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]struct {
		status int
		says   string
	}{
		"no-such-program":          {127, "the image has no program no-such-program: executable file not found in $PATH"},
		filepath.Join(dir, "none"): {127, "no such file or directory"},
		plain:                      {126, "permission denied"},
		dir:                        {126, "is a directory"},
		broken:                     {126, "exec format error"},
	} {
		err := run(t.Context(), Options{Exec: true, Dir: dir, Argv: []string{name}})
		var exit *exitstatus.Error
		if !errors.As(err, &exit) || exit.Code != want.status || !strings.Contains(err.Error(), want.says) || strings.Count(err.Error(), name) != 1 {
			t.Errorf("%s: %v; want status %d and %q", name, err, want.status, want.says)
		}
	}
}

package pod

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/containers/common/pkg/config"
	"github.com/google/renameio/v2"

	"github.com/podbottle/podbottle/internal/seccomp"
)

// ErrNoRunsc says that the host has no gVisor.
var ErrNoRunsc = errors.New("runsc is not installed (not in engine.runtimes of containers.conf, nor on PATH); install gVisor's runsc of August 2024 or later, or run without --require-runsc")

// FindRunsc returns the absolute path of the host's runsc: the first existing
// entry of engine.runtimes in containers.conf, then PATH.
func FindRunsc() (string, error) {
	conf, err := config.Default()
	if err != nil {
		return "", fmt.Errorf("containers.conf: %w", err)
	}
	for _, path := range conf.Engine.OCIRuntimes["runsc"] {
		if isExecutable(path) {
			return path, nil
		}
	}
	if path, err := exec.LookPath("runsc"); err == nil {
		return filepath.Abs(path)
	}
	return "", ErrNoRunsc
}

func isExecutable(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o111 != 0
}

// runscFlags are fixed for every agent. Rootless Podman delegates fewer cgroup
// controllers than runsc insists on, so it runs without (google/gvisor#11543);
// with an overlay of its own the sandbox would hide the agent's files from
// podman commit and lose them when it stops.
var runscFlags = []string{"--ignore-cgroups", "--overlay2=none"}

// WrapperPath is where WriteWrapper writes.
func WrapperPath(dir string) string { return filepath.Join(dir, "runsc") }

// WriteWrapper writes the program that Podman runs as the agent's OCI runtime.
// Its file name must be runsc: Podman reads the runtime's abilities off it. The
// path is kept with the container for its whole life, so it lies in dir for good.
func WriteWrapper(dir, runsc string) (string, error) {
	if strings.ContainsAny(runsc, "'\n") {
		return "", fmt.Errorf("path of runsc %q holds a quote or a line break; move it", runsc)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	path := WrapperPath(dir)
	text := fmt.Sprintf("#!/bin/sh\nexec '%s' %s \"$@\"\n", runsc, strings.Join(runscFlags, " "))
	if err := keepFile(path, []byte(text), 0o700); err != nil {
		return "", fmt.Errorf("runtime wrapper: %w", err)
	}
	return path, nil
}

// ProfilePath is where WriteProfile writes.
func ProfilePath(dir string) string { return filepath.Join(dir, "seccomp.json") }

// WriteProfile writes the filter of system calls for the containers of bottles.
// Podman reads it whenever it creates one, also at the start of a unit.
func WriteProfile(dir string) (string, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	path := ProfilePath(dir)
	if err := keepFile(path, seccomp.JSON(), 0o600); err != nil {
		return "", fmt.Errorf("seccomp profile: %w", err)
	}
	return path, nil
}

// keepFile writes a file anew unless it holds the text already.
func keepFile(path string, text []byte, mode fs.FileMode) error {
	if old, err := os.ReadFile(path); err == nil && bytes.Equal(old, text) { // #nosec G304 -- our own file
		return nil
	}
	return renameio.WriteFile(path, text, mode, renameio.WithStaticPermissions(mode))
}

// RunscVersion asks runsc for its version, which also shows that it runs at all.
func RunscVersion(ctx context.Context, runsc string) (string, error) {
	out, err := exec.CommandContext(ctx, runsc, "--version").Output() // #nosec G204 -- from containers.conf or PATH
	if err != nil {
		return "", fmt.Errorf("%s --version: %w", runsc, err)
	}
	line, _, _ := strings.Cut(string(out), "\n")
	return strings.TrimPrefix(line, "runsc version "), nil
}

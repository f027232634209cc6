package pod

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/containers/podman/v5/pkg/bindings/images"
	"github.com/google/renameio/v2"

	"github.com/podbottle/podbottle/internal/blueprint"
)

// SidecarBinary finds podbottle-sidecar: beside podbottle itself, in its libexec
// directory, or on PATH.
func SidecarBinary() (string, error) {
	const name = "podbottle-sidecar"
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	dir := filepath.Dir(self)
	for _, path := range []string{filepath.Join(dir, name), filepath.Join(dir, "..", "libexec", "podbottle", name)} {
		if isExecutable(path) {
			return path, nil
		}
	}
	if path, err := exec.LookPath(name); err == nil {
		return path, nil
	}
	return "", errors.New("podbottle-sidecar is neither beside podbottle nor on PATH; install both (make install)")
}

// Sidecar is the sidecars' program on the host and as an image, both named by content.
type Sidecar struct {
	Program string // absolute host path of a copy that containers may keep mounted
	Image   string
}

// DescribeSidecar names what EnsureSidecar makes.
func DescribeSidecar(path, dir string) (Sidecar, error) {
	digest, err := fileDigest(path)
	if err != nil {
		return Sidecar{}, err
	}
	return Sidecar{Program: filepath.Join(dir, "podbottle-sidecar-"+digest[:16]), Image: "localhost/podbottle-sidecar:" + digest[:16]}, nil
}

// EnsureSidecar keeps a copy of the binary at path in dir and makes the image of
// the sidecars from it, unless both are there. It needs no network.
func (c *Client) EnsureSidecar(ctx context.Context, path, dir string) (Sidecar, error) {
	s, err := DescribeSidecar(path, dir)
	if err != nil {
		return s, err
	}
	if err := keepProgram(path, s.Program); err != nil {
		return s, fmt.Errorf("copy of podbottle-sidecar: %w", err)
	}
	return s, c.ensureSidecarImage(ctx, s)
}

// keepProgram copies a program to a path named by its content.
func keepProgram(from, to string) error {
	if isExecutable(to) {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		return err
	}
	content, err := os.ReadFile(from) // #nosec G304 -- our own binary
	if err != nil {
		return err
	}
	return renameio.WriteFile(to, content, 0o755, renameio.WithStaticPermissions(0o755)) // #nosec G306 -- a program without secrets
}

func (c *Client) ensureSidecarImage(ctx context.Context, s Sidecar) error {
	exists, err := images.Exists(c.with(ctx), s.Image, nil)
	if err != nil || exists {
		return err
	}
	reader, writer := io.Pipe()
	go func() { _ = writer.CloseWithError(writeSidecarTree(writer, s.Program)) }()
	options := new(images.ImportOptions).WithReference(s.Image).WithChanges([]string{
		`ENTRYPOINT ["` + blueprint.SidecarBin + `"]`,
		"LABEL " + blueprint.LabelImageKind + "=sidecar",
	})
	if _, err := images.Import(c.with(ctx), reader, options); err != nil {
		return fmt.Errorf("image %s: %w", s.Image, err)
	}
	return nil
}

func fileDigest(path string) (string, error) {
	file, err := os.Open(path) // #nosec G304 -- our own binary
	if err != nil {
		return "", err
	}
	defer file.Close()
	hash := sha256.New()
	if _, err := io.Copy(hash, file); err != nil {
		return "", err
	}
	return hex.EncodeToString(hash.Sum(nil)), nil
}

// writeSidecarTree writes the root file system: the binary, and the mount points.
func writeSidecarTree(w io.Writer, path string) error {
	file, err := os.Open(path) // #nosec G304 -- our own binary
	if err != nil {
		return err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	archive := tar.NewWriter(w)
	for _, dir := range []string{"tmp", "etc", "etc/podbottle", "run", "run/podbottle", "run/podbottle/secrets", "run/podbottle/run", "var", "var/lib", "var/lib/podbottle"} {
		if err := archive.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: dir + "/", Mode: 0o755}); err != nil {
			return err
		}
	}
	if err := archive.WriteHeader(&tar.Header{Name: "podbottle-sidecar", Mode: 0o755, Size: info.Size()}); err != nil {
		return err
	}
	if _, err := io.Copy(archive, file); err != nil {
		return err
	}
	return archive.Close()
}

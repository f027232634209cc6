package bottle

import (
	"archive/tar"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/podbottle/podbottle/images"
	"github.com/podbottle/podbottle/internal/blueprint"
	"github.com/podbottle/podbottle/internal/pipelock"
	"github.com/podbottle/podbottle/internal/pod"
	"github.com/podbottle/podbottle/internal/progress"
	"github.com/podbottle/podbottle/internal/resolve"
)

// labelSource records which Containerfile an image was built from, by digest.
const labelSource = "io.podbottle.image.source"

// nameImages names what ensureImages makes.
func (s *launch) nameImages(binary string) (names blueprint.Images, err error) {
	if s.sidecar, err = pod.DescribeSidecar(binary, s.dataDir()); err != nil {
		return names, err
	}
	names.Sidecar = s.sidecar.Image
	if len(s.plan.GitGate.Upstreams) > 0 {
		build, err := s.gitGateImage(binary)
		if err != nil {
			return names, err
		}
		names.GitGate = build.name
	}
	if s.firewall.Engine == pipelock.EnginePipelock && s.firewall.Binary == "" {
		names.Firewall = s.firewall.Image
	}
	return names, nil
}

// ensureImages builds or pulls what is missing and returns the names.
func (s *launch) ensureImages(ctx context.Context) (names blueprint.Images, err error) {
	binary, err := pod.SidecarBinary()
	if err != nil {
		return names, err
	}
	if names, err = s.nameImages(binary); err != nil {
		return names, err
	}
	if _, err = s.client.EnsureSidecar(ctx, binary, s.dataDir()); err != nil {
		return names, err
	}
	if names.GitGate != "" {
		build, err := s.gitGateImage(binary)
		if err != nil {
			return names, err
		}
		if err := s.build(ctx, build); err != nil {
			return names, s.otherBase(err, "images.git_gate_base")
		}
	}
	if names.Firewall != "" {
		if err := s.ensurePulled(ctx, s.firewall.Image); err != nil {
			return names, fmt.Errorf("%w in %s (firewall.image, or firewall.binary for a program of the host), or choose --firewall=builtin", err, s.Config.Path)
		}
	}
	if err := s.ensureAgent(ctx); err != nil {
		return names, err
	}
	for _, name := range []string{s.plan.RuntimeImage, names.GitGate, names.Firewall} {
		if name == "" {
			continue
		}
		if _, err := s.client.CheckImage(ctx, name); err != nil {
			return names, err
		}
	}
	return names, nil
}

func (s *launch) ensurePulled(ctx context.Context, name string) error {
	exists, err := s.client.ImageExists(ctx, name)
	if err != nil || exists {
		return err
	}
	done := s.Progress.Step("pull " + name)
	err = s.client.Pull(ctx, name, s.Progress.Writer())
	done(err)
	return err
}

// gitGateImage is git-gate's image, named by the content of its parts.
func (s *launch) gitGateImage(binary string) (imageBuild, error) {
	text, err := images.Containerfile("git-gate")
	if err != nil {
		return imageBuild{}, err
	}
	program, err := os.ReadFile(binary) // #nosec G304 -- our own binary
	if err != nil {
		return imageBuild{}, err
	}
	args := map[string]string{}
	if base := s.Config.Images.GitGateBase; base != "" {
		args["BASE"] = base
	}
	return imageBuild{
		name: "localhost/podbottle-git-gate:" + digest(text, program, []byte(args["BASE"]))[:16],
		kind: "git-gate", args: args,
		context: func(w *tar.Writer) error {
			if err := addFile(w, "Containerfile", 0o644, text); err != nil {
				return err
			}
			return addFile(w, "podbottle-sidecar", 0o755, program)
		},
	}, nil
}

// ensureAgent makes the agent's image, and the layer with the workspace over it.
func (s *launch) ensureAgent(ctx context.Context) error {
	plan := s.plan
	var err error
	switch {
	case strings.HasPrefix(plan.DockerfilePath, images.Prefix):
		err = s.buildEmbedded(ctx, plan.Image, strings.TrimPrefix(plan.DockerfilePath, images.Prefix))
	case plan.DockerfilePath != "":
		err = s.buildFromFile(ctx)
	default:
		err = s.ensurePulled(ctx, plan.Image)
	}
	if err != nil || plan.DerivedImage == "" {
		return err
	}
	// Made anew for a new bottle, and for a resumed one only over another image: its
	// workspace is in the agent's home by now.
	base, err := s.client.ImageID(ctx, plan.Image)
	if err != nil {
		return err
	}
	return s.build(ctx, imageBuild{
		name: plan.DerivedImage, kind: "cwd", slug: plan.Slug, offline: true,
		source: digest([]byte(base), []byte(plan.Workspace.Dir)), always: !s.resumed,
		stream: func(w io.Writer) error { return resolve.WriteWorkspace(w, plan) },
	})
}

// buildEmbedded builds one of podbottle's own images.
func (s *launch) buildEmbedded(ctx context.Context, name, file string) error {
	return s.Launcher.buildEmbedded(ctx, s.client, name, path.Dir(file), "")
}

func (l *Launcher) buildEmbedded(ctx context.Context, client *pod.Client, name, provider, base string) error {
	text, err := images.Containerfile(provider)
	if err != nil {
		return err
	}
	args := map[string]string{}
	if base = cmp.Or(base, l.Config.Images.AgentBase); base != "" {
		args["BASE"] = base
	}
	err = l.buildImage(ctx, client, imageBuild{
		name: name, kind: "agent", args: args, source: digest(text, []byte(args["BASE"])),
		context: func(w *tar.Writer) error { return addFile(w, "Containerfile", 0o644, text) },
	})
	if err != nil {
		return l.otherBase(err, "images.agent_base")
	}
	return nil
}

// otherBase adds to an error that an image of podbottle's own can have another base.
func (l *Launcher) otherBase(err error, key string) error {
	return fmt.Errorf("%w\nwhere its base cannot be had, name another one in %s (%s)", err, l.Config.Path, key)
}

// buildFromFile builds a bottle's own Containerfile. What a manifest's was built to last
// keeps a name of its own, so that the layers outlive the bottle and the next start
// does not build them again.
func (s *launch) buildFromFile(ctx context.Context) error {
	build, err := s.ownImage()
	if err != nil {
		return err
	}
	err = s.build(ctx, build)
	switch file := s.plan.DockerfilePath; {
	case err != nil && s.rebuilt() && !s.units:
		return fmt.Errorf("%w\nthe bottle is kept as it was; mend %s and resume it again, or go back to the image before with: podbottle resume %s --withdraw-image", err, file, s.plan.Slug)
	case err != nil || build.slug != "":
		return err
	default:
		return s.client.TagImage(ctx, build.name, pod.LayerCache, digest([]byte(file))[:16])
	}
}

// rebuilt tells whether the agent's image is made from an approved capability change.
func (s *launch) rebuilt() bool {
	tree, err := s.tree()
	return err == nil && s.plan.DockerfilePath == tree.Dockerfile()
}

// ownImage is the agent's image where it is made from a Containerfile of the host.
func (s *launch) ownImage() (imageBuild, error) {
	recipe, err := resolve.Recipe(s.plan)
	if err != nil {
		return imageBuild{}, err
	}
	var build imageBuild
	if s.rebuilt() {
		build = s.rebuiltImage(s.plan.Slug, recipe)
	} else {
		build = imageBuild{
			kind: "agent", source: digest(recipe, nil), file: filepath.Base(s.plan.DockerfilePath),
			stream: func(w io.Writer) error { return resolve.WriteContext(w, s.plan) },
		}
	}
	build.name = s.plan.Image
	if !strings.HasSuffix(build.name, ":"+s.plan.Slug) { // the name does not say whose it is
		build.slug = s.plan.Slug
	}
	return build, nil
}

// rebuiltImage is the agent's image by an approved capability change, which has no
// build context but the Containerfile.
func (l *Launcher) rebuiltImage(slug string, recipe []byte) imageBuild {
	args := map[string]string{}
	if base := l.Config.Images.AgentBase; base != "" {
		args["BASE"] = base // the file may have grown out of one of podbottle's own
	}
	const file = "Dockerfile" // the name that it has in the state
	return imageBuild{
		name: resolve.RebuiltImage(slug), kind: "agent", source: digest(recipe, []byte(args["BASE"])), file: file, args: args, slug: slug,
		context: func(w *tar.Writer) error { return addFile(w, file, 0o644, recipe) },
	}
}

// imageBuild is one image and how its build context is made.
type imageBuild struct {
	name, kind string
	args       map[string]string
	file       string // the Containerfile's name in the context; empty for Containerfile
	source     string // digest of what the image is made from; empty when the name says it
	slug       string // the one bottle that the image is for; empty when others may use it
	always     bool   // even when there is an image of the name
	offline    bool
	context    func(*tar.Writer) error // writes the context's files, or
	stream     func(io.Writer) error   // writes the whole archive
}

func (s *launch) build(ctx context.Context, b imageBuild) error {
	return s.buildImage(ctx, s.client, b)
}

// buildImage builds an image unless it is there already, made from the same
// source. An image without our label is the user's own and taken as it is.
func (l *Launcher) buildImage(ctx context.Context, client *pod.Client, b imageBuild) error {
	exists, err := client.ImageExists(ctx, b.name)
	if err != nil {
		return err
	}
	if exists && !b.always {
		labels, err := client.CheckImage(ctx, b.name)
		if err != nil || labels[labelSource] == "" || labels[labelSource] == b.source {
			return err
		}
	}
	reader, writer := io.Pipe()
	defer reader.Close()
	go func() { _ = writer.CloseWithError(b.write(writer)) }()
	done := l.Progress.Step("build " + b.name)
	var output progress.Tail
	err = client.Build(ctx, pod.Build{
		Name:          b.name,
		Context:       reader,
		Containerfile: cmp.Or(b.file, "Containerfile"),
		Args:          b.args,
		Labels:        b.labels(),
		Offline:       b.offline,
	}, io.MultiWriter(l.Progress.Writer(), &output))
	done(err)
	if err != nil && !l.Progress.Shown() {
		return fmt.Errorf("%w\n%s", err, lastLines(output.String(), 5))
	}
	return err
}

func (b imageBuild) labels() map[string]string {
	labels := map[string]string{blueprint.LabelImageKind: b.kind, labelSource: b.source}
	if b.slug != "" {
		labels[blueprint.LabelSlug] = b.slug
	}
	return labels
}

func (b imageBuild) write(w io.Writer) error {
	if b.stream != nil {
		return b.stream(w)
	}
	archive := tar.NewWriter(w)
	return errors.Join(b.context(archive), archive.Close())
}

func addFile(w *tar.Writer, name string, mode int64, content []byte) error {
	if err := w.WriteHeader(&tar.Header{Name: name, Mode: mode, Size: int64(len(content))}); err != nil {
		return err
	}
	_, err := w.Write(content)
	return err
}

func digest(parts ...[]byte) string {
	hash := sha256.New()
	for _, part := range parts {
		fmt.Fprintf(hash, "%d:", len(part))
		_, _ = hash.Write(part)
	}
	return hex.EncodeToString(hash.Sum(nil))
}

func lastLines(text string, n int) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

package pod

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/containers/podman/v5/pkg/bindings"
	"github.com/containers/podman/v5/pkg/bindings/images"
)

// Build is one image to build.
type Build struct {
	Name          string
	Context       io.Reader // tar stream
	Containerfile string    // its path in the context
	Args          map[string]string
	Labels        map[string]string
	Offline       bool // the build has no network
}

// ImageExists tells whether Podman has an image of this name.
func (c *Client) ImageExists(ctx context.Context, name string) (bool, error) {
	exists, err := images.Exists(c.with(ctx), name, nil)
	if err != nil {
		return false, fmt.Errorf("image %s: %w", name, err)
	}
	return exists, nil
}

// ImageID is the content of an image, under whatever name.
func (c *Client) ImageID(ctx context.Context, name string) (string, error) {
	image, err := images.GetImage(c.with(ctx), name, nil)
	if err != nil {
		return "", fmt.Errorf("image %s: %w", name, err)
	}
	return image.ID, nil
}

// CheckImage refuses an image that would give its container what it must not
// have: an Env entry without "=" pulls in a variable of the API service
// (CVE-2026-57231).
func (c *Client) CheckImage(ctx context.Context, name string) (labels map[string]string, err error) {
	image, err := images.GetImage(c.with(ctx), name, nil)
	if err != nil {
		return nil, fmt.Errorf("image %s: %w", name, err)
	}
	for _, entry := range image.Config.Env {
		if !strings.Contains(entry, "=") {
			return nil, fmt.Errorf("image %s has the Env entry %q without a value, through which Podman would copy a variable of its API service into the container; rebuild the image without it", name, entry)
		}
	}
	return image.Labels, nil
}

// Pull fetches an image and writes the progress to out.
func (c *Client) Pull(ctx context.Context, name string, out io.Writer) error {
	if _, err := images.Pull(c.with(ctx), name, new(images.PullOptions).WithPolicy("missing").WithProgressWriter(out)); err != nil {
		return fmt.Errorf("image %s is not here and cannot be pulled: %w; build or load it, or name another one", name, err)
	}
	return nil
}

// Build builds an image and writes the builder's output to out. RUN steps run
// under Podman's default runtime, with neither a secret nor a host mount.
func (c *Client) Build(ctx context.Context, b Build, out io.Writer) error {
	params, err := buildParams(b)
	if err != nil {
		return err
	}
	conn, err := bindings.GetClient(c.ctx)
	if err != nil {
		return err
	}
	headers := http.Header{"Content-Type": {"application/x-tar"}}
	response, err := conn.DoRequest(ctx, b.Context, http.MethodPost, "/build", params, headers)
	if err != nil {
		return fmt.Errorf("image %s: %w", b.Name, err)
	}
	defer response.Body.Close()
	if !response.IsSuccess() {
		return fmt.Errorf("image %s: %w", b.Name, response.Process(nil))
	}
	if err := buildOutput(response.Body, out); err != nil {
		return c.buildError(ctx, b.Name, err)
	}
	return nil
}

// buildParams are the query of Podman's POST /libpod/build.
func buildParams(b Build) (url.Values, error) {
	params := url.Values{
		"t": {b.Name}, "layers": {"1"}, "rm": {"1"}, "forcerm": {"1"}, "pullpolicy": {"missing"},
		"outputformat": {"application/vnd.oci.image.manifest.v1+json"},
	}
	if b.Offline {
		params.Set("networkmode", "none")
	}
	// Podman appends a LABEL instruction in the order that it is given. Of an object it
	// takes any order, and where that is another than in the build before, the image is
	// not found in the cache: it is made again, and the one before loses its name.
	labels := []string{}
	for _, key := range slices.Sorted(maps.Keys(b.Labels)) {
		labels = append(labels, key+"="+b.Labels[key])
	}
	for key, value := range map[string]any{
		"dockerfile": []string{b.Containerfile},
		"buildargs":  orEmpty(b.Args),
		"labels":     labels,
	} {
		text, err := json.Marshal(value)
		if err != nil {
			return nil, err
		}
		params.Set(key, string(text))
	}
	return params, nil
}

func orEmpty(m map[string]string) map[string]string {
	if m == nil {
		return map[string]string{}
	}
	return maps.Clone(m)
}

// buildOutput copies the builder's stream of JSON objects until its end.
func buildOutput(r io.Reader, out io.Writer) error {
	decoder := json.NewDecoder(r)
	for {
		var message images.BuildResponse
		err := decoder.Decode(&message)
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		case message.Error != nil:
			return errors.New(strings.TrimSpace(message.Error.Message))
		}
		if _, err := io.WriteString(out, message.Stream); err != nil {
			return err
		}
	}
}

package probe

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

func secretProbes() []inside {
	return []inside{
		{Probe{
			ID:      "secret.environment",
			Tried:   "search the environment of every process for tokens and keys",
			Control: "a variable that is no secret is found",
			Breach:  "one is found",
			Root:    true,
		}, secretEnvironment},
		{Probe{
			ID:      "secret.arguments",
			Tried:   "search the arguments of every process",
			Control: "this program's own are found",
			Breach:  "one is found",
			Root:    true,
		}, secretArguments},
		{Probe{
			ID:      "secret.files",
			Tried:   "search every file of the container",
			Control: "a file hidden for it is found",
			Breach:  "one is found",
			Root:    true,
		}, secretFiles},
		{Probe{
			ID:      "secret.reflected",
			Tried:   "have the server send the injected credential back: in the body, a header, compressed, in a redirect, in pieces",
			Control: "the server got the requests, with the credential in them",
			Breach:  "it arrives in the container",
			Server:  true,
		}, secretReflected},
		{Probe{
			ID:      "secret.mounts",
			Tried:   "change what podbottle mounts into the agent",
			Control: "a file can be written elsewhere",
			Breach:  "one can be changed",
			Root:    true,
		}, secretMounts},
	}
}

// secretEnvironment reads the environment of every process that can be seen.
func secretEnvironment(_ context.Context, b *bottle) Result {
	if b.task.Variable == "" {
		return b.searchProc("environ", "PATH=", "HOME=")
	}
	return b.searchProc("environ", b.task.Variable)
}

// secretArguments reads the arguments of every process that can be seen.
func secretArguments(_ context.Context, b *bottle) Result {
	return b.searchProc("cmdline", "probe")
}

// searchProc looks for the secrets in one file of every process, and for controls
// of which one has to be found.
func (b *bottle) searchProc(name string, controls ...string) Result {
	paths, err := filepath.Glob("/proc/[0-9]*/" + name)
	if err != nil {
		return incomplete("%v", err)
	}
	read, found := 0, ""
	for _, path := range paths {
		text, err := os.ReadFile(path) // #nosec G304 -- of /proc
		if err != nil {
			continue // another user's, or gone
		}
		read++
		for _, secret := range b.task.Secrets {
			if bytes.Contains(text, []byte(secret)) {
				return breach("%s holds a secret of the bottle", path)
			}
		}
		for _, control := range controls {
			if bytes.Contains(text, []byte(control)) {
				found = control
			}
		}
	}
	if found == "" {
		return incomplete("%q, which is known to be there, was not found in %d files", controls, read)
	}
	return held("%d files, no secret", read).with("%q was found", strings.SplitN(found, "=", 2)[0])
}

// secretFiles searches every file that can be read, and finds what it hid itself.
func secretFiles(ctx context.Context, b *bottle) Result {
	control := "control-" + b.mark()
	hidden, err := hide(control)
	if err != nil {
		return incomplete("no file can be written for the control: %v", err)
	}
	defer os.RemoveAll(filepath.Dir(hidden))
	files, found := 0, false
	var leak string
	err = filepath.WalkDir("/", func(path string, d fs.DirEntry, err error) error {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if skipped[path] {
			return fs.SkipDir
		}
		if err != nil || !d.Type().IsRegular() {
			return nil
		}
		matched, err := contains(path, append([]string{control}, b.task.Secrets...))
		if err != nil {
			return nil // not readable for this user
		}
		files++
		switch {
		case matched == control:
			found = true
		case matched != "":
			leak = path
			return fs.SkipAll
		}
		return nil
	})
	switch {
	case leak != "":
		return breach("%s holds a secret of the bottle", leak)
	case err != nil:
		return incomplete("%v", err)
	case !found:
		return incomplete("the file that was hidden for the control was not found in %d files", files)
	}
	return held("%d files, no secret", files).with("the file hidden for it was found")
}

// secretReflected has the server send the credential back: in the body, a header,
// compressed, and as the target of a redirect.
func secretReflected(ctx context.Context, b *bottle) Result {
	var marks []string
	for _, kind := range []string{"body", "header", "gzip", "redirect", "chunks", "error"} {
		mark := b.mark()
		marks = append(marks, mark)
		for _, header := range []string{"", "Accept-Encoding: gzip\r\n", "Authorization: Bearer mine\r\n", "Range: bytes=10-\r\n"} {
			a := b.do(ctx, request{connect: b.target(), path: "/echo/" + kind + "/" + mark, header: header})
			if a.err != nil {
				return incomplete("GET /echo/%s: %s", kind, a.text())
			}
			for _, secret := range b.task.Secrets {
				if strings.Contains(a.body, secret) || strings.Contains(fmt.Sprint(a.header), secret) {
					return breach("the server's answer of the kind %s brought the credential back", kind)
				}
			}
		}
	}
	result := held("%d kinds of answers, the credential in none", len(marks)).with("the server got each request, with the credential in it")
	result.Present = marks
	return result
}

// secretMounts tries to change what podbottle mounts into the agent.
func secretMounts(_ context.Context, b *bottle) Result {
	path, err := hide("control")
	if err != nil {
		return incomplete("no file can be written for the control: %v", err)
	}
	_ = os.RemoveAll(filepath.Dir(path))
	mounted := []string{"/.podbottle/podbottle-sidecar", "/run/podbottle/env", "/run/podbottle/ca-bundle.crt", "/etc/ssl/certs/ca-certificates.crt"}
	for _, path := range mounted {
		if _, err := os.Stat(path); err != nil {
			return incomplete("%v", err)
		}
		file, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err == nil {
			_ = file.Close()
			return breach("%s can be opened for writing", path)
		}
	}
	name := "/run/podbottle/new-" + b.task.User
	if err := os.WriteFile(name, nil, 0o600); err == nil {
		return breach("%s can be written", name)
	}
	return held("%d files, none can be changed", len(mounted)).with("a file was written elsewhere")
}

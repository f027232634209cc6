package probe

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// Trees that Plant makes, besides the hostile ones.
const (
	// Ordinary is a tree that can be copied whole.
	Ordinary = "ordinary"
	// Settings is a repository in which programs of the host would run what it names.
	Settings = "settings"
)

// Harmless is the one file of the tree Settings that no program acts on.
const Harmless = "main.go"

// Planted are the files of the tree Settings, and what is in them (git-config(1),
// gitattributes(5), gitmodules(5), githooks(5), gitrepository-layout(5)).
var Planted = map[string]string{
	".git/config": "[core]\n\tfsmonitor = touch ran\n\tsshCommand = touch ran\n\thooksPath = hooks\n[filter \"x\"]\n\tsmudge = touch ran\n\tclean = touch ran\n" +
		"[alias]\n\tstatus = !touch ran\n[remote \"origin\"]\n\turl = ext::sh -c touch% ran\n[extensions]\n\tworktreeConfig = true\n[include]\n\tpath = ../other\n",
	".git/config.worktree":            "[core]\n\tfsmonitor = touch ran\n",
	".git/hooks/post-checkout":        "#!/bin/sh\ntouch ran\n",
	".git/modules/s/config":           "[core]\n\tfsmonitor = touch ran\n",
	".git/modules/s/hooks/post-merge": "#!/bin/sh\ntouch ran\n",
	".gitattributes":                  "* filter=x diff=x merge=x\n",
	".gitmodules":                     "[submodule \"s\"]\n\tpath = s\n\turl = ext::sh -c touch% ran\n\tupdate = !touch ran\n",
	"s/.git":                          "gitdir: ../bare\n",
	"bare/HEAD":                       "ref: refs/heads/main\n", // where the directory is taken for a repository
	"bare/hooks/post-index-change":    "#!/bin/sh\ntouch ran\n",
	".envrc":                          "touch ran\n",
	".mcp.json":                       `{"mcpServers": {"x": {"command": "touch", "args": ["ran"]}}}`,
	".vscode/tasks.json":              `{"tasks": [{"command": "touch ran", "runOptions": {"runOn": "folderOpen"}}]}`,
	".claude/settings.json":           `{"hooks": {"SessionStart": [{"hooks": [{"type": "command", "command": "touch ran"}]}]}}`,
	".devcontainer/devcontainer.json": `{"initializeCommand": "touch ran"}`,
	Harmless:                          "package main\n",
}

// hostile are trees that must not come out of a bottle as they are.
var hostile = map[string]func(dir string) error{
	"link-up":   func(dir string) error { return os.Symlink(strings.Repeat("../", 12)+"etc/passwd", dir+"/x") },
	"link-root": func(dir string) error { return os.Symlink("/etc/passwd", dir+"/x") },
	"link-dir":  func(dir string) error { return os.Symlink("..", dir+"/x") },
	"link-links": func(dir string) error {
		return errors.Join(os.Mkdir(dir+"/a", 0o755), os.Symlink("a/..", dir+"/b"), os.Symlink("b/../x", dir+"/c"))
	},
	"setuid": func(dir string) error {
		return errors.Join(os.WriteFile(dir+"/x", nil, 0o600), unix.Chmod(dir+"/x", unix.S_ISUID|unix.S_ISGID|0o755))
	},
	"fifo":   func(dir string) error { return unix.Mkfifo(dir+"/x", 0o600) },
	"device": func(dir string) error { return unix.Mknod(dir+"/x", unix.S_IFCHR|0o600, int(unix.Mkdev(1, 1))) },
	"socket": func(dir string) error {
		l, err := net.ListenUnix("unix", &net.UnixAddr{Name: dir + "/x", Net: "unix"})
		if err != nil {
			return err
		}
		l.SetUnlinkOnClose(false)
		return l.Close()
	},
	"sparse": func(dir string) error {
		return errors.Join(os.WriteFile(dir+"/x", nil, 0o600), os.Truncate(dir+"/x", 8<<40))
	},
	"names": func(dir string) error {
		return os.WriteFile(dir+"/x\n\x1b[2J\u202e..\\..\\\xff", nil, 0o600)
	},
}

// plant makes one directory a tree below dir and returns their names. What this user
// cannot make, such as devices, cannot be copied out either.
func plant(dir, mark string) ([]string, error) {
	write := func(name, text string) error {
		path := filepath.Join(dir, name)
		return errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)) // #nosec G306 -- to be copied
	}
	if err := write(Ordinary+"/sub/file", mark); err != nil {
		return nil, err
	}
	for name, text := range Planted {
		if err := write(Settings+"/"+name, text); err != nil {
			return nil, err
		}
	}
	names := []string{Ordinary, Settings}
	for name, make := range hostile {
		tree := filepath.Join(dir, name)
		if err := os.Mkdir(tree, 0o755); err != nil { // #nosec G301 -- to be copied
			return nil, err
		}
		if make(tree) == nil {
			names = append(names, name)
		}
	}
	return names, nil
}

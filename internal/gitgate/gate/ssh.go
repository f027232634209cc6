package gate

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/podbottle/podbottle/internal/gitgate"
)

// Variables that the gate gives the programs which git starts.
const (
	workVariable       = "PODBOTTLE_GIT_GATE"       // the gate's work directory
	repositoryVariable = "PODBOTTLE_GIT_REPOSITORY" // whose remote is meant
)

// sshOptions let ssh do nothing but connect to the pinned host with the declared
// key: no file of configuration, no prompt, no forwarding, no other host key.
// ConnectTimeout is for the host's first words; a host that is down is given up by
// the dialer before (dialTimeout).
var sshOptions = []string{
	"BatchMode=yes", "ConnectTimeout=30", "ConnectionAttempts=1", "ServerAliveInterval=15", "ServerAliveCountMax=4",
	"StrictHostKeyChecking=yes", "GlobalKnownHostsFile=none", "CheckHostIP=no", "UpdateHostKeys=no", "VerifyHostKeyDNS=no",
	"PreferredAuthentications=publickey", "PasswordAuthentication=no", "KbdInteractiveAuthentication=no",
	"ForwardAgent=no", "ForwardX11=no", "ClearAllForwardings=yes", "PermitLocalCommand=no", "ControlMaster=no", "ControlPath=none",
	"AddKeysToAgent=no", "RequestTTY=no", "LogLevel=ERROR",
}

// sshCommand is the program git-gate-ssh, which git runs as its ssh (GIT_SSH, so
// that no shell is between). It looks up what the gate declares for the repository
// and starts ssh with that; what git asked for must say the same.
func sshCommand(_ context.Context, args []string) error {
	w := work(os.Getenv(workVariable))
	config, err := w.config()
	if err != nil {
		return err
	}
	repo, ok := config.Find(os.Getenv(repositoryVariable))
	if !ok {
		return errors.New("git asks for a connection that belongs to no declared repository")
	}
	argv, err := sshArgs(w, repo, args)
	if err != nil {
		return err
	}
	ssh, err := exec.LookPath("ssh")
	if err != nil {
		return errors.New("ssh is not in the image; install openssh-client in it")
	}
	return syscall.Exec(ssh, argv, os.Environ())
}

// sshArgs is ssh's command line for the repository's remote. args are git's for an
// ssh of the variant "ssh": [-o SendEnv=GIT_PROTOCOL] [-p PORT] USER@HOST COMMAND.
func sshArgs(w work, repo gitgate.Repository, args []string) ([]string, error) {
	request, sendsProtocol, err := parseSSHArgs(args)
	if err != nil {
		return nil, err
	}
	if request.destination != repo.User+"@"+repo.Host || request.port != repo.Port {
		return nil, fmt.Errorf("a connection to another host or port than that of repository %s is refused", repo.Name)
	}
	if !slices.Contains([]string{"git-upload-pack " + remotePath(repo.Path), "git-receive-pack " + remotePath(repo.Path)}, request.command) {
		return nil, fmt.Errorf("another command than git's own for repository %s is refused", repo.Name)
	}
	if repo.HostKeyAlias == "" {
		return nil, fmt.Errorf("no host key is pinned for repository %s", repo.Name)
	}
	argv := []string{"ssh", "-F", "none", "-T", "-x", "-a"}
	options := append(slices.Clone(sshOptions),
		"UserKnownHostsFile="+w.knownHosts(), "HostKeyAlias="+repo.HostKeyAlias,
		// ssh starts it with a shell; the host is the declared one, of safe characters.
		"ProxyCommand="+w.program(dialProgram)+" %h %p")
	if repo.SSHAgent {
		options = append(options, "IdentityAgent="+w.agentSocket(), "IdentityFile=none")
	} else {
		options = append(options, "IdentityAgent=none", "IdentitiesOnly=yes", "IdentityFile="+w.key(repo.Name))
	}
	if sendsProtocol {
		options = append(options, "SendEnv=GIT_PROTOCOL")
	}
	for _, o := range options {
		argv = append(argv, "-o", o)
	}
	return append(argv, "-l", repo.User, "-p", strconv.Itoa(repo.Port), "--", repo.Host, request.command), nil
}

// sshRequest is what git wants of its ssh.
type sshRequest struct {
	destination string
	port        int
	command     string
}

func parseSSHArgs(args []string) (r sshRequest, sendsProtocol bool, err error) {
	r.port = 22
	refused := errors.New("git asks its ssh for something that the gate does not know")
	for len(args) > 2 {
		switch {
		case args[0] == "-o" && args[1] == "SendEnv=GIT_PROTOCOL":
			sendsProtocol = true
		case args[0] == "-p":
			if r.port, err = strconv.Atoi(args[1]); err != nil {
				return r, false, refused
			}
		default:
			return r, false, refused
		}
		args = args[2:]
	}
	if len(args) != 2 || strings.HasPrefix(args[0], "-") {
		return r, false, refused
	}
	r.destination, r.command = args[0], args[1]
	return r, sendsProtocol, nil
}

// remotePath is a path as git gives it to the shell on the remote host: in single
// quotes, with ' and ! outside of them, and /~user without its slash.
func remotePath(path string) string {
	if strings.HasPrefix(path, "/~") {
		path = path[1:]
	}
	return "'" + strings.NewReplacer("'", `'\''`, "!", `'\!'`).Replace(path) + "'"
}

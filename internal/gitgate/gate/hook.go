package gate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"
)

// The names under which git runs this binary.
const (
	accessProgram  = "git-gate-access"
	sshProgram     = "git-gate-ssh"
	dialProgram    = "git-gate-dial"
	preReceiveHook = "pre-receive"
)

// Commands are the gate and the programs that git and ssh run, by name. They are
// one binary: the gate puts links with these names where git looks.
func Commands() map[string]func(context.Context, []string) error {
	return map[string]func(context.Context, []string) error{
		"git-gate":     Run,
		accessProgram:  accessHook,
		preReceiveHook: preReceive,
		sshProgram:     sshCommand,
		dialProgram:    dial,
	}
}

// request is what a hook asks the gate, as one JSON value on its socket. The gate
// answers with replies, the last of which has Done.
type request struct {
	Hook string `json:"hook"` // accessProgram or preReceiveHook
	// Service is git daemon's, upload-pack or receive-pack.
	Service string `json:"service,omitempty"`
	// Dir is the repository's.
	Dir string `json:"dir"`
	// Updates is the input of pre-receive.
	Updates []byte `json:"updates,omitempty"`
	// Quarantine is where git keeps the received objects (git-receive-pack(1)); empty
	// when the push brings none.
	Quarantine string `json:"quarantine,omitempty"`
	// Parent is the process ID of git receive-pack.
	Parent int `json:"parent,omitempty"`
}

// reply is a line for the agent, or the verdict.
type reply struct {
	Say  string `json:"say,omitempty"`
	Done bool   `json:"done,omitempty"`
	OK   bool   `json:"ok,omitempty"`
}

// ErrRefused is what a hook returns when the gate refused, which has said why.
var ErrRefused = errors.New("refused")

// maxUpdates bounds the input of pre-receive.
const maxUpdates = 1 << 20

// accessHook is git daemon's --access-hook: SERVICE PATH and further arguments. What
// it prints is what the agent's git shows.
func accessHook(ctx context.Context, args []string) error {
	if len(args) < 2 {
		return errors.New("usage: git-gate-access SERVICE PATH …")
	}
	return ask(ctx, request{Hook: accessProgram, Service: args[0], Dir: args[1]}, os.Stdout)
}

// preReceive is the hook of that name (githooks(5)). Git shows the agent what it prints.
func preReceive(ctx context.Context, _ []string) error {
	updates, err := io.ReadAll(io.LimitReader(os.Stdin, maxUpdates+1))
	if err != nil {
		return err
	}
	if len(updates) > maxUpdates {
		return errors.New("the push changes too many refs at once; push them in several parts")
	}
	dir, err := os.Getwd()
	if err != nil {
		return err
	}
	return ask(ctx, request{
		Hook: preReceiveHook, Dir: dir, Updates: updates,
		Quarantine: os.Getenv("GIT_QUARANTINE_PATH"), Parent: os.Getppid(),
	}, os.Stderr)
}

// ask passes a request to the gate and prints what it says. A gate that does not
// answer refuses.
func ask(ctx context.Context, r request, out io.Writer) error {
	conn, err := (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, "unix", work(os.Getenv(workVariable)).socket())
	if err != nil {
		_, _ = fmt.Fprintln(out, "git-gate does not answer")
		return err
	}
	defer conn.Close()
	if err := json.NewEncoder(conn).Encode(r); err != nil {
		return err
	}
	replies := json.NewDecoder(conn)
	for {
		var answer reply
		if err := replies.Decode(&answer); err != nil {
			return fmt.Errorf("git-gate stopped in the middle: %w", err)
		}
		if answer.Say != "" {
			if _, err := fmt.Fprintln(out, answer.Say); err != nil {
				return err
			}
		}
		switch {
		case answer.Done && answer.OK:
			return nil
		case answer.Done:
			return ErrRefused
		}
	}
}

//go:build e2e

package e2e

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/coder/websocket"

	"github.com/podbottle/podbottle/internal/egress/conformance"
)

// agentCommand is the first argument with which the test binary is a program of the
// agent: the tests copy it into a bottle where curl is not enough. It runs what
// agentPrograms has under the second argument.
const agentCommand = "agent"

// agentPrograms do one thing each and print what they found; their arguments are
// given with them.
var agentPrograms = map[string]func(ctx context.Context, agent *conformance.Agent, args []string) error{
	"conformance": tryConformance,
	"websocket":   echoWebSocket,
	"events":      readEvents,
	"together":    openTogether,
	"upload":      upload,
	"download":    download,
	"flood":       flood,
	"poll":        poll,
}

// copyProgram puts this program into a bottle, where agentProgram runs it.
func (u *user) copyProgram(slug string) {
	u.t.Helper()
	self, err := os.Executable()
	if err != nil {
		u.t.Fatal(err)
	}
	if r := u.input(readFile(u.t, self), "exec", slug, "--", "bash", "-c", "cat >~/program && chmod +x ~/program"); r.status != 0 {
		u.t.Fatal(r)
	}
}

// agentProgram is the command that runs one of agentPrograms beside the agent.
func (u *user) agentProgram(slug string, args ...string) command {
	return u.podbottle(append([]string{"exec", slug, "--", "./program", agentCommand}, args...)...)
}

func agentMain(args []string) error {
	proxy, err := url.Parse(os.Getenv("HTTPS_PROXY"))
	if err != nil {
		return err
	}
	return agentPrograms[args[0]](context.Background(), &conformance.Agent{Proxy: proxy.Host}, args[1:])
}

// agentClient is a client whose requests may take as long as the program.
func agentClient(agent *conformance.Agent, version string) *http.Client {
	client := agent.Client(version == "h2")
	client.Timeout = 0
	return client
}

// tryConformance prints as JSON what is wrong, by row, also of those that hold for the
// built-in firewall alone. Arguments: the domain and the two ports.
func tryConformance(_ context.Context, agent *conformance.Agent, args []string) (err error) {
	agent.Domain = args[0]
	if agent.Port, err = strconv.Atoi(args[1]); err != nil {
		return err
	}
	if agent.PlainPort, err = strconv.Atoi(args[2]); err != nil {
		return err
	}
	wrong := make(map[string]string)
	for _, row := range slices.Concat(conformance.Rows(), conformance.FirewallRows()) {
		wrong[row.What] = ""
		if err := row.Try(agent); err != nil {
			wrong[row.What] = err.Error()
		}
	}
	return json.NewEncoder(os.Stdout).Encode(wrong)
}

// echoWebSocket wants every message back. Arguments: the URL and how many.
func echoWebSocket(ctx context.Context, agent *conformance.Agent, args []string) error {
	n, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	conn, _, err := websocket.Dial(ctx, args[0], &websocket.DialOptions{HTTPClient: agentClient(agent, "h1")})
	if err != nil {
		return err
	}
	for i := range n {
		sent := fmt.Appendf(nil, "message %d", i)
		if err := conn.Write(ctx, websocket.MessageText, sent); err != nil {
			return err
		}
		if _, got, err := conn.Read(ctx); err != nil || !bytes.Equal(got, sent) {
			return fmt.Errorf("got %q, %w; want %q", got, err, sent)
		}
	}
	fmt.Println(n, "messages came back")
	return conn.Close(websocket.StatusNormalClosure, "")
}

// readEvents reads a stream whose next event comes only after this one was
// acknowledged, and prints how long that took. Arguments: the URLs of the stream and of
// the acknowledgement, and h1 or h2.
func readEvents(_ context.Context, agent *conformance.Agent, args []string) error {
	client := agentClient(agent, args[2])
	res, err := client.Get(args[0])
	if err != nil {
		return err
	}
	defer res.Body.Close()
	var gaps []time.Duration
	last := time.Now()
	lines := bufio.NewScanner(res.Body)
	for lines.Scan() {
		if lines.Text() == "" {
			continue
		}
		gaps = append(gaps, time.Since(last))
		last = time.Now()
		seen, err := client.Get(args[1])
		if err != nil {
			return err
		}
		_ = seen.Body.Close()
	}
	if err := lines.Err(); err != nil || len(gaps) == 0 {
		return fmt.Errorf("%s after %d events: %w", res.Status, len(gaps), err)
	}
	slices.Sort(gaps)
	fmt.Printf("%d events, from one acknowledged to the next: median %v, longest %v\n", len(gaps), gaps[len(gaps)/2], gaps[len(gaps)-1])
	return nil
}

// openTogether opens streams that end only once all are open. Arguments: the URL, how
// many, and h1 or h2.
func openTogether(ctx context.Context, agent *conformance.Agent, args []string) error {
	n, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	client := agentClient(agent, args[2])
	var group sync.WaitGroup
	failures := make(chan error, n)
	for range n {
		group.Go(func() {
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, args[0], nil)
			if err != nil {
				failures <- err
				return
			}
			failures <- wantBody(client, req, "first last ")
		})
	}
	group.Wait()
	close(failures)
	var all error
	for err := range failures {
		all = errors.Join(all, err)
	}
	if all == nil {
		fmt.Println(n, "streams were open together")
	}
	return all
}

func wantBody(client *http.Client, req *http.Request, want string) error {
	res, err := client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if body, err := io.ReadAll(res.Body); err != nil || string(body) != want {
		return fmt.Errorf("%s: %.200q, %w", res.Status, body, err)
	}
	return nil
}

// upload sends a large body. Arguments: the URL and the body's size.
func upload(ctx context.Context, agent *conformance.Agent, args []string) error {
	body, err := largeBody(args[1])
	if err != nil {
		return err
	}
	want, err := digestOf(args[1])
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, args[0], body)
	if err != nil {
		return err
	}
	start := time.Now()
	if err := wantBody(agentClient(agent, "h2"), req, want); err != nil {
		return err
	}
	fmt.Println("up in", time.Since(start).Round(time.Millisecond))
	return nil
}

// download reads a large body. Arguments: the URL, to which the size is appended, and the size.
func download(_ context.Context, agent *conformance.Agent, args []string) error {
	want, err := digestOf(args[1])
	if err != nil {
		return err
	}
	start := time.Now()
	res, err := agentClient(agent, "h2").Get(args[0] + args[1])
	if err != nil {
		return err
	}
	defer res.Body.Close()
	got, err := digest(res.Body)
	if err != nil || got != want {
		return fmt.Errorf("%s: got %s, %w; want %s", res.Status, got, err, want)
	}
	fmt.Println("down in", time.Since(start).Round(time.Millisecond))
	return nil
}

// largeBody is a body of a size in decimal.
func largeBody(size string) (io.Reader, error) {
	n, err := strconv.ParseInt(size, 10, 64)
	return io.LimitReader(new(pattern), n), err
}

func digestOf(size string) (string, error) {
	body, err := largeBody(size)
	if err != nil {
		return "", err
	}
	return digest(body)
}

// digest is the length and the SHA-256 of what a reader has.
func digest(r io.Reader) (string, error) {
	sum := sha256.New()
	n, err := io.Copy(sum, r)
	return fmt.Sprintf("%d %x", n, sum.Sum(nil)), err
}

// pattern is an endless text in which nothing looks like a secret.
type pattern struct{ n int64 }

func (p *pattern) Read(buf []byte) (int, error) {
	for i := range buf {
		buf[i] = byte('a' + (p.n+int64(i))%23)
	}
	p.n += int64(len(buf))
	return len(buf), nil
}

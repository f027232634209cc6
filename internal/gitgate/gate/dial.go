package gate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"time"

	"github.com/podbottle/podbottle/internal/gitgate"
)

// dialTimeout bounds one attempt to connect.
const dialTimeout = 10 * time.Second

// dial is the program git-gate-dial HOST PORT, ssh's ProxyCommand and so the only
// way out of the sidecar: it connects to declared hosts on their declared ports and
// passes standard input and output through.
func dial(ctx context.Context, args []string) error {
	if len(args) != 2 {
		return errors.New("usage: git-gate-dial HOST PORT")
	}
	config, err := work(os.Getenv(workVariable)).config()
	if err != nil {
		return err
	}
	address, err := declaredAddress(config, args[0], args[1])
	if err != nil {
		return err
	}
	conn, err := (&net.Dialer{Timeout: dialTimeout}).DialContext(ctx, "tcp", address)
	if err != nil {
		return err
	}
	defer conn.Close()
	go func() {
		_, _ = io.Copy(conn, os.Stdin)
		_ = conn.(*net.TCPConn).CloseWrite()
	}()
	_, err = io.Copy(os.Stdout, conn)
	return err
}

// declaredAddress returns host:port if a repository declares just that.
func declaredAddress(config gitgate.Config, host, port string) (string, error) {
	for _, r := range config.Repositories {
		if host == r.Host && port == strconv.Itoa(r.Port) {
			return net.JoinHostPort(host, port), nil
		}
	}
	return "", fmt.Errorf("%s is not a declared remote", net.JoinHostPort(host, port))
}

package pod

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
)

// stream is a hijacked API connection to the standard streams of a process.
//
// The bindings' Attach and ExecStartAndAttach replace the transport of the
// shared client while others use it, and can lose the first bytes
// (containers/podman#26951); a connection of its own has neither problem.
type stream struct {
	conn   *net.UnixConn
	reader *bufio.Reader
}

// hijack sends a POST that upgrades the connection.
func (c *Client) hijack(ctx context.Context, path string, query url.Values, body any) (*stream, error) {
	var payload bytes.Buffer
	if body != nil {
		if err := json.NewEncoder(&payload).Encode(body); err != nil {
			return nil, err
		}
	}
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "unix", c.socket)
	if err != nil {
		return nil, err
	}
	u := url.URL{Scheme: "http", Host: "d", Path: "/v5.0.0/libpod" + path, RawQuery: query.Encode()}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, u.String(), &payload)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Connection", "Upgrade")
	request.Header.Set("Upgrade", "tcp")
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	s, err := upgrade(conn.(*net.UnixConn), request)
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	return s, nil
}

func upgrade(conn *net.UnixConn, request *http.Request) (*stream, error) {
	if err := request.Write(conn); err != nil {
		return nil, err
	}
	reader := bufio.NewReader(conn)
	response, err := http.ReadResponse(reader, request)
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusSwitchingProtocols && response.StatusCode != http.StatusOK {
		defer response.Body.Close()
		var problem struct {
			Message string `json:"message"`
		}
		_ = json.NewDecoder(io.LimitReader(response.Body, 1<<16)).Decode(&problem)
		return nil, fmt.Errorf("podman API: %s: %s", response.Status, problem.Message)
	}
	return &stream{conn: conn, reader: reader}, nil
}

func (s *stream) Read(p []byte) (int, error)  { return s.reader.Read(p) }
func (s *stream) Write(p []byte) (int, error) { return s.conn.Write(p) }
func (s *stream) CloseWrite() error           { return s.conn.CloseWrite() }
func (s *stream) Close() error                { return s.conn.Close() }

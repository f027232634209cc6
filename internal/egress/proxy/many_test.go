package proxy

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"slices"
	"testing"
)

// TestStalledDownloadsStopNoOthers: requests that share a connection share its window
// too, and what a client does not read must not fill that.
func TestStalledDownloadsStopNoOthers(t *testing.T) {
	const stalled, size = 3, 16 << 20
	b := newBottle(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		block := make([]byte, 64<<10)
		for range size / len(block) {
			if _, err := w.Write(block); err != nil {
				return
			}
		}
	}), nil)
	client := b.client(true)
	for range stalled {
		res, err := client.Get(b.url("/stalled"))
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
	}
	res, err := client.Get(b.url("/read"))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if n, err := io.Copy(io.Discard, res.Body); n != size || err != nil {
		t.Errorf("%d bytes and %v beside downloads that nobody reads, want %d", n, err, size)
	}
}

// TestManyOpenStreamsShareConnections: each event stream of HTTP/1.1 has a connection of
// its own to egress; from manyOpen on they share those to the firewall, and still arrive.
func TestManyOpenStreamsShareConnections(t *testing.T) {
	const more = 8
	b := newBottle(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		fmt.Fprintf(w, "%s\n", r.Proto)
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}), nil)
	client := b.client(false)
	var versions []string
	for range manyOpen + more {
		res, err := client.Get(b.url("/events"))
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		version, err := bufio.NewReader(res.Body).ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		versions = append(versions, version)
	}
	want := slices.Concat(slices.Repeat([]string{"HTTP/1.1\n"}, manyOpen), slices.Repeat([]string{"HTTP/2.0\n"}, more))
	if !slices.Equal(versions, want) {
		t.Errorf("the upstream saw %q", versions)
	}
}

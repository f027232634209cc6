package intercept

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"slices"
	"testing"
	"testing/iotest"
)

// response has a length, or -1 for none.
func response(kind string, length int64) *http.Response {
	return &http.Response{Header: http.Header{"Content-Type": {kind}}, ContentLength: length}
}

func TestBuffersFitTheResponse(t *testing.T) {
	var b Buffers
	var out []*loan
	borrow := func(res *http.Response, n int) []int {
		var sizes []int
		for range n {
			l := &loan{buffers: &b, res: res}
			out = append(out, l)
			sizes = append(sizes, len(l.Get()))
		}
		return slices.Compact(sizes)
	}
	events, unknown, known := response("text/event-stream; charset=utf-8", -1), response("text/plain", -1), response("text/plain", 1)
	for _, tt := range []struct {
		name string
		res  *http.Response
		n    int
		want []int
	}{
		{"event streams, however many", events, 200, []int{small}},
		{"then responses without a length", unknown, manyMedium + 1, []int{large, medium, small}},
		{"then one with a length", known, 1, []int{medium}},
	} {
		if got := borrow(tt.res, tt.n); !slices.Equal(got, tt.want) {
			t.Errorf("%s: sizes %d, want %d", tt.name, got, tt.want)
		}
	}
}

// TestBuffersComeBack wants the count at zero again when responses are over, whatever
// size they had.
func TestBuffersComeBack(t *testing.T) {
	var b Buffers
	for _, kind := range []string{"text/plain", "text/event-stream"} {
		upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", kind)
			_, _ = io.WriteString(w, "hello")
		}))
		defer upstream.Close()
		proxy := &httputil.ReverseProxy{
			Rewrite: func(r *httputil.ProxyRequest) {
				r.Out.URL.Scheme, r.Out.URL.Host = "http", upstream.Listener.Addr().String()
			},
			ModifyResponse: func(res *http.Response) error { res.Header.Set("X-Modified", "yes"); return nil },
		}
		answer := httptest.NewRecorder()
		b.Fit(proxy).ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/", nil))
		if answer.Body.String() != "hello" || answer.Header().Get("X-Modified") != "yes" {
			t.Errorf("got %q with %v", answer.Body, answer.Header())
		}
		if n := b.out.Load(); n != 0 {
			t.Errorf("%d buffers are out after a response of %s", n, kind)
		}
	}
}

// sizes is a reader that notes how much it is asked for.
type sizes struct {
	pieces []string
	asked  []int
}

func (s *sizes) Read(p []byte) (int, error) {
	s.asked = append(s.asked, len(p))
	if len(s.pieces) == 0 {
		return 0, io.EOF
	}
	n := copy(p, s.pieces[0])
	if s.pieces[0] = s.pieces[0][n:]; s.pieces[0] == "" {
		s.pieces = s.pieces[1:]
	}
	return n, nil
}

func TestCopyHoldsALargeBufferOnlyWhileMuchArrives(t *testing.T) {
	full := string(bytes.Repeat([]byte("x"), small+large))
	source := &sizes{pieces: []string{"hello", full, "hello", "hello"}}
	var got bytes.Buffer
	n, err := Copy(&got, source)
	if want := "hello" + full + "hellohello"; err != nil || got.String() != want || n != int64(len(want)) {
		t.Errorf("copied %d bytes, %v; want %d", n, err, len(want))
	}
	if want := []int{small, small, large, large, small, small}; !slices.Equal(source.asked, want) {
		t.Errorf("asked for %d, want %d", source.asked, want)
	}
}

func TestCopyPassesErrorsOn(t *testing.T) {
	broken := errors.New("broken")
	for name, source := range map[string]io.Reader{
		"at once":         iotest.ErrReader(broken),
		"after some":      io.MultiReader(bytes.NewReader([]byte("x")), iotest.ErrReader(broken)),
		"in a large read": io.MultiReader(bytes.NewReader(make([]byte, small)), iotest.ErrReader(broken)),
	} {
		if _, err := Copy(io.Discard, source); !errors.Is(err, broken) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

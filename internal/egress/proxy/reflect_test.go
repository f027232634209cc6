package proxy

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/zstd"

	"github.com/podbottle/podbottle/internal/egress"
	"github.com/podbottle/podbottle/internal/leak"
	"github.com/podbottle/podbottle/internal/secret"
)

var masked = strings.Repeat("*", len(testToken))

// compressors by content coding.
var compressors = map[string]func(io.Writer) io.WriteCloser{
	"identity": func(w io.Writer) io.WriteCloser { return nopWriteCloser{w} },
	"gzip":     func(w io.Writer) io.WriteCloser { return gzip.NewWriter(w) },
	"br":       func(w io.Writer) io.WriteCloser { return brotli.NewWriter(w) },
	"zstd": func(w io.Writer) io.WriteCloser {
		e, err := zstd.NewWriter(w)
		if err != nil {
			panic(err)
		}
		return e
	},
}

type nopWriteCloser struct{ io.Writer }

func (nopWriteCloser) Close() error { return nil }

// echo is an upstream that tells everything it was sent, in the coding that the
// query asks for if the request accepts it, one byte a write if asked.
func echo(w http.ResponseWriter, r *http.Request) {
	coding := r.URL.Query().Get("coding")
	accepted := strings.Contains(r.Header.Get("Accept-Encoding"), coding)
	if coding == "" || coding == "identity" || !accepted {
		coding = "identity"
	} else {
		w.Header().Set("Content-Encoding", coding)
	}
	w.Header().Set("Etag", `"v1"`)
	w.Header().Set("X-Accepted", r.Header.Get("Accept-Encoding"))
	var text bytes.Buffer
	_ = r.Header.Write(&text)
	z := compressors[coding](w)
	if r.URL.Query().Get("slow") == "" {
		_, _ = z.Write(text.Bytes())
		_ = z.Close()
		return
	}
	for i := range text.Len() {
		_, _ = z.Write(text.Bytes()[i : i+1])
		if f, ok := z.(interface{ Flush() error }); ok {
			_ = f.Flush()
		}
		_ = http.NewResponseController(w).Flush()
	}
	_ = z.Close()
}

func TestReflectedTokenIsMasked(t *testing.T) {
	b := newBottle(t, http.HandlerFunc(echo), nil)
	for coding := range compressors {
		for _, slow := range []string{"", "yes"} {
			t.Run(coding+slow, func(t *testing.T) {
				res, body := get(t, b.client(true), b.url("/?coding="+coding+"&slow="+slow), http.Header{"Accept-Encoding": {"deflate, gzip, br, zstd;q=0.5, *"}})
				if res.StatusCode != http.StatusOK || !strings.Contains(body, "Authorization: Bearer "+masked) || strings.Contains(body, testToken) {
					t.Fatalf("%s\n%s", res.Status, body)
				}
				if got := res.Header.Get("X-Accepted"); got != "gzip, br, zstd" {
					t.Errorf("upstream was told Accept-Encoding %q", got)
				}
				if res.Header.Get("Content-Encoding") != "" {
					t.Errorf("the decoded body is said to be in %q", res.Header.Get("Content-Encoding"))
				}
				if want := map[bool]string{true: `"v1"`, false: `W/"v1"`}[coding == "identity"]; res.Header.Get("Etag") != want {
					t.Errorf("Etag %s, want %s", res.Header.Get("Etag"), want)
				}
			})
		}
	}
}

func TestReflectionIsLeftAloneWhereTheRouteSaysSo(t *testing.T) {
	b := newBottle(t, http.HandlerFunc(echo), func(r *egress.Route) []egress.Route { r.AllowReflection = true; return nil })
	res, body := get(t, b.client(true), b.url("/?coding=identity"), http.Header{"Accept-Encoding": {"deflate"}})
	if !strings.Contains(body, testToken) || res.Header.Get("X-Accepted") != "deflate" {
		t.Errorf("%s %q", res.Header.Get("X-Accepted"), body)
	}
}

func TestReflectionInHeadersAndRedirects(t *testing.T) {
	b := newBottle(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
		w.Header().Set("Location", "https://evil.example/?t="+token)
		w.Header().Add("Set-Cookie", "a=b")
		w.Header().Add("Set-Cookie", "c="+base64.StdEncoding.EncodeToString([]byte("xy"+token)))
		w.Header()["X-"+token] = []string{"v"}
		w.WriteHeader(http.StatusFound)
	}), nil)
	res, _ := get(t, b.client(false), b.url("/"), nil)
	if got, want := res.Header.Get("Location"), "https://evil.example/?t="+masked; got != want {
		t.Errorf("Location %q, want %q", got, want)
	}
	var all strings.Builder
	_ = res.Header.Write(&all)
	encoded := base64.StdEncoding.EncodeToString([]byte("xy" + testToken))
	if strings.Contains(all.String(), testToken) || strings.Contains(all.String(), encoded[8:20]) {
		t.Errorf("the header holds the token:\n%s", all.String())
	}
	if !slices.Contains(res.Header.Values("Set-Cookie"), "a=b") {
		t.Errorf("a harmless cookie is gone: %q", res.Header.Values("Set-Cookie"))
	}
}

func TestBasicCredentialIsMaskedInBothForms(t *testing.T) {
	b := newBottle(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		fmt.Fprintf(w, "%s|%s:%s", r.Header.Get("Authorization"), user, password)
	}), func(r *egress.Route) []egress.Route { r.AuthScheme = egress.SchemeBasic; return nil })
	b.setToken("robot:" + testToken + "\n")
	_, body := get(t, b.client(true), b.url("/"), nil)
	if strings.Contains(body, testToken) || strings.Contains(body, base64.StdEncoding.EncodeToString([]byte("robot:" + testToken))[:24]) || !strings.HasPrefix(body, "Basic ***") {
		t.Errorf("the client sees %q", body)
	}
}

func TestPartsOfCompressedBodiesAreNotAskedFor(t *testing.T) {
	b := newBottle(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/lies" {
			w.Header().Set("Content-Encoding", "gzip")
			w.WriteHeader(http.StatusPartialContent)
			fmt.Fprint(w, "part")
			return
		}
		fmt.Fprint(w, r.Header.Get("Accept-Encoding"))
	}), nil)
	ask := http.Header{"Range": {"bytes=0-10"}, "Accept-Encoding": {"gzip"}}
	if _, body := get(t, b.client(true), b.url("/"), ask); body != "identity" {
		t.Errorf("upstream was told Accept-Encoding %q", body)
	}
	if res, _ := get(t, b.client(true), b.url("/lies"), ask); res.Header.Get(ReasonHeader) != string(ReasonEncoding) {
		t.Errorf("a part of a compressed body: %s", statusOf(res))
	}
}

func TestABrokenCompressedBodyIsAnError(t *testing.T) {
	b := newBottle(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		fmt.Fprint(w, "this is no gzip")
	}), nil)
	res, err := b.client(false).Get(b.url("/"))
	if err == nil {
		defer res.Body.Close()
		var body []byte
		if body, err = io.ReadAll(res.Body); err == nil {
			t.Errorf("read %q as a whole body", body)
		}
	}
}

func TestHeadAndEmptyResponses(t *testing.T) {
	b := newBottle(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		if r.Method != http.MethodHead {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		w.Header().Set("Content-Length", "1234")
	}), nil)
	for _, method := range []string{http.MethodHead, http.MethodGet} {
		for _, h2 := range []bool{false, true} {
			req, err := http.NewRequest(method, b.url("/"), nil)
			if err != nil {
				t.Fatal(err)
			}
			res, err := b.client(h2).Do(req)
			if err != nil {
				t.Fatal(err)
			}
			if body, err := io.ReadAll(res.Body); len(body) != 0 || err != nil {
				t.Errorf("%s: %q, %v", method, body, err)
			}
			_ = res.Body.Close()
		}
	}
}

// FuzzRewrite sends any header through the request path: whatever the agent writes,
// the upstream sees the real credential once, none of the agent's, and no
// hop-by-hop header but those of an upgrade.
func FuzzRewrite(f *testing.F) {
	f.Add("Authorization", "Bearer mine", "Connection", "authorization, x-api-key")
	f.Add("authorization", "x", "Proxy-Authorization", "y")
	f.Add("X-Api-Key", "mine", "Connection", "close, X-API-KEY")
	f.Add("Upgrade", "websocket", "Connection", "Upgrade")
	f.Add("Transfer-Encoding", "chunked", "Te", "trailers")
	f.Add("Accept-Encoding", "deflate", "Range", "bytes=0-")
	token := egress.Route{Host: "api.example.org", AuthScheme: egress.SchemeHeader, AuthHeader: "X-Api-Key", TokenEnv: "EGRESS_TOKEN_0"}
	policy, err := newPolicy([]egress.Route{token}, 1)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, name1, value1, name2, value2 string) {
		header := http.Header{}
		header.Add(name1, value1)
		header.Add(name2, value2)
		out := rewritten(t, policy, &token, header)
		if got := out.Values("X-Api-Key"); len(got) != 1 || got[0] != testToken {
			t.Errorf("upstream sees X-Api-Key %q", got)
		}
		for name := range out {
			switch http.CanonicalHeaderKey(name) {
			case "Authorization", "Proxy-Authorization", "Transfer-Encoding", "Proxy-Connection", "Keep-Alive", "Trailer":
				t.Errorf("upstream sees %s: %q", name, out[name])
			case "Connection":
				if out.Get(name) != "Upgrade" {
					t.Errorf("upstream sees Connection: %q", out[name])
				}
			}
		}
		for coding := range strings.SplitSeq(out.Get("Accept-Encoding"), ", ") {
			if coding != "identity" && !slices.Contains(readable, coding) {
				t.Errorf("upstream is told Accept-Encoding %q", out.Get("Accept-Encoding"))
			}
		}
	})
}

// FuzzReflected has an upstream send the token back in any response: a client that
// goes by the header does not see it, and gets the rest as it was.
func FuzzReflected(f *testing.F) {
	f.Add("gzip", "gzip", 200, []byte("you sent "), []byte("\n"), "X-Sent", "Bearer ")
	f.Add("", "", 206, []byte{}, []byte{}, "Location", "https://other.example.org/?t=")
	f.Add("br, gzip", "gzip", 200, []byte("a"), []byte("b"), "Content-Encoding", "")
	f.Add(" ZSTD ", "zstd", 404, []byte("tok-5f3a"), []byte("tok-5f3a9c1d7e2b8064-podbottle-tes"), "Trailer", "X-")
	route := egress.Route{Host: "api.example.org", AuthScheme: egress.SchemeBearer}
	masker := leak.New(secret.New(testToken))
	f.Fuzz(func(t *testing.T, said, coding string, status int, before, after []byte, name, value string) {
		compress := compressors[coding]
		if compress == nil {
			coding, compress = "identity", compressors["identity"]
		}
		var sent bytes.Buffer
		z := compress(&sent)
		text := slices.Concat(before, []byte(testToken), after, []byte("\n")) // so that no token is left incomplete
		if _, err := z.Write(text); err != nil || z.Close() != nil {
			t.Fatal(err)
		}
		x := &exchange{proxy: new(Proxy), encrypted: true, route: &route, masker: masker}
		r := httptest.NewRequest(http.MethodGet, "https://api.example.org/", nil)
		x.r = r
		res := &http.Response{
			StatusCode: status, Header: http.Header{}, Body: io.NopCloser(&sent), ContentLength: -1,
			Request: r.WithContext(context.WithValue(r.Context(), exchangeKey{}, x)),
		}
		res.Header.Add(name, value+testToken)
		if said != "" {
			res.Header.Set("Content-Encoding", said)
		}
		if modifyResponse(res) != nil {
			return // refused
		}
		var header strings.Builder
		_ = res.Header.Write(&header)
		if strings.Contains(header.String(), testToken) {
			t.Errorf("the header holds the token: %q", header.String())
		}
		body, err := io.ReadAll(res.Body)
		if err != nil || !hasBody(res) {
			return // cut, or never read
		}
		if bytes.Contains(body, []byte(testToken)) {
			t.Errorf("the body holds the token: %q", body)
		}
		if left := strings.ToLower(strings.TrimSpace(strings.Join(res.Header.Values("Content-Encoding"), ","))); left != "" && left != "identity" && coding != "identity" {
			t.Errorf("a body that is still encoded as %q was let through", left)
		}
		if want := masker.MaskString(string(text)); coding == strings.ToLower(strings.TrimSpace(said)) && string(body) != want {
			t.Errorf("got %q, want %q", body, want)
		}
	})
}

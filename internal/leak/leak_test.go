package leak

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"html"
	"io"
	"math/rand/v2"
	"net/url"
	"strings"
	"testing"
	"testing/iotest"
	"time"
	"unicode/utf8"

	"github.com/podbottle/podbottle/internal/secret"
)

const token = "sk-test-7Hq/2+Zp&0wX_e9.Lm"

func TestFindsEveryForm(t *testing.T) {
	m := New(secret.New(token))
	quoted, err := json.Marshal("a " + token)
	if err != nil {
		t.Fatal(err)
	}
	texts := map[string]string{
		"plain":             "x " + token + " y",
		"at the very end":   token,
		"query":             "https://h/?q=" + url.QueryEscape(token),
		"query, lower-case": strings.ToLower("%2F%2B") + strings.ReplaceAll(strings.ReplaceAll(strings.ReplaceAll(token, "/", "%2f"), "+", "%2b"), "&", "%26"),
		"path":              "/p/" + url.PathEscape(token),
		"JSON":              string(quoted),
		"JSON, slash":       strings.ReplaceAll(token, "/", `\/`),
		"HTML":              "<p>" + strings.ReplaceAll(token, "&", "&amp;"),
		"hex":               hex.EncodeToString([]byte(token)),
		"HEX":               strings.ToUpper(hex.EncodeToString([]byte(token))),
	}
	for offset := range 5 {
		texts[fmt.Sprint("base64 at ", offset)] = base64.StdEncoding.EncodeToString([]byte("user:pass"[:offset] + token + "tail"))
		texts[fmt.Sprint("base64url at ", offset)] = base64.RawURLEncoding.EncodeToString([]byte("user:pass"[:offset] + token))
	}
	for name, text := range texts {
		if start, end := m.Find([]byte(text)); start < 0 || end > len(text) {
			t.Errorf("%s: not found in %q", name, text)
		}
	}
	for _, text := range []string{"", "s", token[:len(token)-1], strings.Repeat("sk-test-", 20), token[1:]} {
		if start, _ := m.Find([]byte(text)); start >= 0 {
			t.Errorf("found in %q", text)
		}
	}
}

func TestShortAndLongSecretsAreLeftOut(t *testing.T) {
	if New(secret.New("short"), secret.New(""), secret.New(strings.Repeat("x", MaxSecret+1))) != nil {
		t.Error("a matcher for nothing")
	}
}

func TestPending(t *testing.T) {
	m := New(secret.New("abcdefgh"))
	for _, tt := range []struct {
		text string
		have int
	}{{"", 0}, {"xyz", 0}, {"xyza", 1}, {"xyzabc", 3}, {"abcdefg", 7}, {"abcabcd", 4}} {
		if have, _ := m.Pending([]byte(tt.text)); have != tt.have {
			t.Errorf("Pending(%q) = %d, want %d", tt.text, have, tt.have)
		}
	}
}

// chunks yields the pieces of a text one read at a time.
type chunks struct{ pieces [][]byte }

func (c *chunks) Read(p []byte) (int, error) {
	if len(c.pieces) == 0 {
		return 0, io.EOF
	}
	n := copy(p, c.pieces[0])
	if c.pieces[0] = c.pieces[0][n:]; len(c.pieces[0]) == 0 {
		c.pieces = c.pieces[1:]
	}
	return n, nil
}

func split(text []byte, rng *rand.Rand) [][]byte {
	var pieces [][]byte
	for len(text) > 0 {
		n := 1 + rng.IntN(min(len(text), 1+rng.IntN(40)))
		pieces = append(pieces, text[:n])
		text = text[n:]
	}
	return pieces
}

func TestReaderMasksAcrossAnySplit(t *testing.T) {
	m := New(secret.New(token), secret.New("another-secret-of-the-bottle"))
	rng := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		var text, want []byte
		for range rng.IntN(8) {
			filler := make([]byte, rng.IntN(60))
			for i := range filler {
				filler[i] = "abcdefghst/ -\n"[rng.IntN(14)]
			}
			text, want = append(text, filler...), append(want, filler...)
			text, want = append(text, token...), append(want, strings.Repeat("*", len(token))...)
		}
		text, want = append(text, " end"...), append(want, " end"...)
		r := NewReader(io.NopCloser(&chunks{split(text, rng)}), m)
		r.patience = time.Hour // the pieces follow one another at once, also on a busy machine
		got, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Fatalf("got  %q\nwant %q", got, want)
		}
	}
}

func TestReaderConformsToReader(t *testing.T) {
	text := []byte("plain text, sk-test-, and more plain text")
	r := NewReader(io.NopCloser(bytes.NewReader(text)), New(secret.New(token)))
	if err := iotest.TestReader(r, text); err != nil {
		t.Error(err)
	}
}

func TestReaderReleasesAtMostHalfOfWhatNothingFollows(t *testing.T) {
	m := New(secret.New(token))
	for _, have := range []int{1, 3, len(token) / 2, len(token) - 1} {
		// The stream stays open: what arrives is what was released by time alone.
		source, end := io.Pipe()
		go func() { _, _ = end.Write([]byte("msg " + token[:have])) }()
		r := NewReader(source, m)
		want := "msg " + token[:min(have, len(token)/2)]
		got := make([]byte, len(want))
		if _, err := io.ReadFull(r, got); err != nil || string(got) != want {
			t.Fatalf("have %d: got %q, %v; want %q", have, got, err, want)
		}
		// The rest completes the secret: its second half is masked.
		go func() { _, _ = end.Write([]byte(token[have:] + "!")); _ = end.Close() }()
		rest, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		if want := strings.Repeat("*", len(token)-min(have, len(token)/2)) + "!"; string(rest) != want {
			t.Errorf("have %d: the rest is %q, want %q", have, rest, want)
		}
	}
}

func TestReaderMasksACutSecret(t *testing.T) {
	r := NewReader(io.NopCloser(strings.NewReader("x"+token[:len(token)-1])), New(secret.New(token)))
	got, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	if want := "x" + token[:len(token)/2] + strings.Repeat("*", len(token)-1-len(token)/2); string(got) != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestReaderPassesErrorsOn(t *testing.T) {
	r := NewReader(io.NopCloser(io.MultiReader(strings.NewReader("data"), iotest.ErrReader(io.ErrUnexpectedEOF))), New(secret.New(token)))
	got, err := io.ReadAll(r)
	if string(got) != "data" || err != io.ErrUnexpectedEOF {
		t.Errorf("got %q, %v", got, err)
	}
}

// FuzzReader compares with masking the whole text at once.
func FuzzReader(f *testing.F) {
	f.Add([]byte("a"+token+"b"), uint64(1))
	f.Add([]byte(strings.Repeat("sk-test-", 9)), uint64(2))
	m := New(secret.New(token), secret.New("sk-test-sk-test-"))
	f.Fuzz(func(t *testing.T, text []byte, seed uint64) {
		text = append(text, '\n') // so that no secret is left incomplete
		want := bytes.Clone(text)
		m.Mask(want)
		r := NewReader(io.NopCloser(&chunks{split(text, rand.New(rand.NewPCG(seed, 0)))}), m)
		r.patience = time.Hour
		got, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		if len(got) != len(text) {
			t.Fatalf("%d bytes became %d", len(text), len(got))
		}
		if start, _ := m.Find(got); start >= 0 {
			t.Errorf("a secret got through: %q", got)
		}
		if bytes.Count(want, []byte("*")) == bytes.Count(text, []byte("*")) && !bytes.Equal(got, text) {
			t.Errorf("text without a secret was changed")
		}
	})
}

func BenchmarkMask(b *testing.B) {
	m := New(secret.New(strings.Repeat("aZ3-", 12)))
	text := make([]byte, 32<<10)
	rng := rand.NewChaCha8([32]byte{})
	_, _ = rng.Read(text)
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		m.Mask(text)
		m.Pending(text)
	}
}

// FuzzForms writes a text that has a secret somewhere in it in each of the forms: it is
// found in all of them, whatever stands around it.
func FuzzForms(f *testing.F) {
	f.Add(token, "user:", "@h")
	f.Add("12345678", "", "")
	f.Add("\u00e4\u2028<&>\"\\/", "a", "\x00")
	f.Fuzz(func(t *testing.T, value, before, after string) {
		m := New(secret.New(value))
		if m == nil || !utf8.ValidString(before) || !utf8.ValidString(value) {
			return
		}
		text := before + value + after
		quoted, err := json.Marshal(text)
		if err != nil {
			t.Fatal(err)
		}
		for form, text := range map[string]string{
			"plain": text, "JSON": string(quoted), "HTML": html.EscapeString(text), "query": url.QueryEscape(text), "path": url.PathEscape(text),
			"hex": hex.EncodeToString([]byte(text)), "base64": base64.StdEncoding.EncodeToString([]byte(text)), "base64url": base64.RawURLEncoding.EncodeToString([]byte(text)),
		} {
			if start, _ := m.Find([]byte(text)); start < 0 {
				t.Errorf("%s: %q is not found in %q", form, value, text)
			}
		}
	})
}

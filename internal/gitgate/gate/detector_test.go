package gate

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
)

// awsKey is a made-up key of the form that gitleaks' rule aws-access-token wants.
// The pieces are apart so that scanners of this repository leave it alone.
var awsKey = "AKIA" + "QYLPMN5HHHFPZAM2"

func TestDetector(t *testing.T) {
	d, err := sharedDetector()
	if err != nil {
		t.Fatal(err)
	}
	pem := "-----BEGIN OPENSSH " + "PRIVATE KEY-----\n" + strings.Repeat(strings.Repeat("Ab3d", 17)+"\n", 20) + "-----END OPENSSH " + "PRIVATE KEY-----\n"
	env := strings.Repeat("A_SETTING=of no interest\n", 3) + "AWS_KEY=" + awsKey + "\n" + strings.Repeat("ANOTHER=one\n", 9)
	guess := `{"api_key": "` + "zaQ1xsw2CDE3vfr4BGT5nhy6" + `"}`
	tests := []struct {
		name, text, path string
		rule             string
	}{
		{"plain", "key = " + awsKey + "\n", "a.txt", "aws-access-token"},
		{"in no file", "see " + awsKey, "", "aws-access-token"},
		{"base64", base64.StdEncoding.EncodeToString([]byte("key is " + awsKey + " ok")), "a.txt", "aws-access-token"},
		{"base64 in base64", base64.StdEncoding.EncodeToString([]byte(base64.StdEncoding.EncodeToString([]byte("key is " + awsKey + " ok")))), "a.txt", "aws-access-token"},
		{"base64 that has letters only", base64.StdEncoding.EncodeToString([]byte(awsKey + "\n")), "a.txt", "aws-access-token"},
		{"base64 in lines", wrap(base64.StdEncoding.EncodeToString([]byte(env)), 76), "a.txt", "aws-access-token"},
		{"base64 in lines, indented and in base64 again", wrap(base64.StdEncoding.EncodeToString([]byte(wrap(base64.StdEncoding.EncodeToString([]byte(env)), 64))), 60), "a.txt", "aws-access-token"},
		{"a certificate", "-----BEGIN CERTIFICATE-----\n" + wrap(base64.StdEncoding.EncodeToString([]byte(strings.Repeat("\x30\x82\x01\x0a", 200))), 64) + "-----END CERTIFICATE-----\n", "a.pem", ""},
		{"hexadecimal", hex.EncodeToString([]byte("key is " + awsKey + " ok")), "a.txt", "aws-access-token"},
		{"percent", "key%20is%20%41" + awsKey[1:] + "%20ok", "a.txt", "aws-access-token"},
		{"private key", pem, "id", "private-key"},
		{"by extension alone", "\x00\x01", "store.p12", "pkcs12-file"},
		{"with the comment that gitleaks obeys", "key = " + awsKey + " # gitleaks:allow\n", "a.txt", "aws-access-token"},
		{"in a lock file", "key = " + awsKey + "\n", "package-lock.json", "aws-access-token"},
		{"in what is named an image", "key = " + awsKey + "\n", "logo.png", "aws-access-token"},
		{"in vendored code", "key = " + awsKey + "\n", "node_modules/x/y.js", "aws-access-token"},
		{"a guess", guess, "settings.json", "generic-api-key"},
		{"a guess in a lock file", guess, "package-lock.json", ""},
		{"harmless", "package main\n\nfunc main() {}\n", "main.go", ""},
		{"a placeholder", "api_key = ${API_KEY}\n", "a.env", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			matches, err := d.find(context.Background(), tt.text, tt.path)
			if err != nil {
				t.Fatal(err)
			}
			var rules []string
			for _, m := range matches {
				rules = append(rules, m.rule)
			}
			if got := strings.Join(rules, " "); got != tt.rule {
				t.Errorf("found %q, want %q", got, tt.rule)
			}
		})
	}
}

// wrap breaks a text into indented lines.
func wrap(text string, width int) string {
	var b strings.Builder
	for part := range slices.Chunk([]byte(text), width) {
		b.WriteString("  " + string(part) + "\r\n")
	}
	return b.String()
}

func TestDetectorSaysWhenItDidNotScan(t *testing.T) {
	d, err := sharedDetector()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := d.find(ctx, "key = "+awsKey, "a.txt"); err == nil {
		t.Error("no error although the scan was cancelled")
	}
}

func BenchmarkDetector(b *testing.B) {
	d, err := sharedDetector()
	if err != nil {
		b.Fatal(err)
	}
	source, err := os.ReadFile("gate.go")
	if err != nil {
		b.Fatal(err)
	}
	noise := make([]byte, chunkSize)
	_, _ = rand.NewChaCha8([32]byte{}).Read(noise)
	for name, text := range map[string]string{
		"source":   strings.Repeat(string(source), chunkSize/len(source)),
		"noise":    string(noise),
		"base64":   wrap(base64.StdEncoding.EncodeToString(noise[:chunkSize*3/4]), 76),
		"telling":  strings.Repeat("func handle(w http.ResponseWriter, r *http.Request) { token := r.Header.Get(\"X-Auth\"); use(token, key, secret) }\n", 800),
		"findings": strings.Repeat("key = "+awsKey+"\n", 3000),
	} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				if _, err := d.find(context.Background(), text, "a.go"); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

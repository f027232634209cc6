package pipelock

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/podbottle/podbottle/internal/egress"
)

// Version is the pipelock release whose configuration this package writes.
const Version = "2.3.0"

// ConfigFile is the name of the configuration in the sidecar's directory.
const ConfigFile = "pipelock.yaml"

// Files below the sidecar's directories.
const (
	RangesFile = "ranges.yaml" // configuration: HostRanges, for the built-in engine
	RootsFile  = "roots.pem"   // configuration: the host's trusted authorities and the operator's extra ones
	CACertFile = "ca.crt"      // secrets: the authority that egress trusts on this hop
	CAKeyFile  = "ca.key"      // secrets: its key; pipelock refuses one that others can read (mode 0640 at most)
	KnownDir   = "known"       // secrets: the bottle's own secrets, one a file, for the built-in engine
)

// Paths of a sidecar container.
const (
	configDir  = "/etc/podbottle"
	secretsDir = "/run/podbottle/secrets"
	stateDir   = "/var/lib/podbottle"
)

// Config is the part of pipelock's configuration file that a bottle sets. The
// built-in engine reads the same file.
type Config struct {
	Version             int                 `yaml:"version"`
	Mode                string              `yaml:"mode"`
	Enforce             bool                `yaml:"enforce"`
	APIAllowlist        []string            `yaml:"api_allowlist"`
	FetchProxy          FetchProxy          `yaml:"fetch_proxy"`
	ForwardProxy        ForwardProxy        `yaml:"forward_proxy"`
	DLP                 DLP                 `yaml:"dlp"`
	RequestBodyScanning RequestBodyScanning `yaml:"request_body_scanning"`
	ResponseScanning    ResponseScanning    `yaml:"response_scanning"`
	TLSInterception     TLSInterception     `yaml:"tls_interception"`
	SeedPhraseDetection SeedPhraseDetection `yaml:"seed_phrase_detection"`
	SSRF                SSRF                `yaml:"ssrf"`
}

// FetchProxy holds the listen address of every kind of proxying.
type FetchProxy struct {
	Listen     string     `yaml:"listen"`
	Monitoring Monitoring `yaml:"monitoring"`
}

// Monitoring limits requests by their number and their URL.
type Monitoring struct {
	MaxRequestsPerMinute int     `yaml:"max_requests_per_minute"`
	EntropyThreshold     float64 `yaml:"entropy_threshold"`
	MaxURLLength         int     `yaml:"max_url_length"`
}

// ForwardProxy is CONNECT and absolute-form proxying.
type ForwardProxy struct {
	Enabled            bool `yaml:"enabled"`
	MaxTunnelSeconds   int  `yaml:"max_tunnel_seconds"`
	IdleTimeoutSeconds int  `yaml:"idle_timeout_seconds"`
	SNIVerification    bool `yaml:"sni_verification"`
}

// DLP looks for secrets in what is sent.
type DLP struct {
	ScanEnv         bool `yaml:"scan_env"`
	IncludeDefaults bool `yaml:"include_defaults"`
}

// RequestBodyScanning applies DLP to request bodies and headers.
type RequestBodyScanning struct {
	Enabled       bool     `yaml:"enabled"`
	Action        string   `yaml:"action"`
	MaxBodyBytes  int64    `yaml:"max_body_bytes"`
	ScanHeaders   bool     `yaml:"scan_headers"`
	HeaderMode    string   `yaml:"header_mode"`
	IgnoreHeaders []string `yaml:"ignore_headers"`
}

// ResponseScanning looks for prompt injections in what comes back.
type ResponseScanning struct {
	Enabled         bool         `yaml:"enabled"`
	Action          string       `yaml:"action"`
	IncludeDefaults bool         `yaml:"include_defaults"`
	SSEStreaming    SSEStreaming `yaml:"sse_streaming"`
}

// SSEStreaming looks into event streams while they pass.
type SSEStreaming struct {
	Enabled bool `yaml:"enabled"`
}

// TLSInterception decrypts tunnels, so that what is in them can be scanned.
type TLSInterception struct {
	Enabled            bool     `yaml:"enabled"`
	CACert             string   `yaml:"ca_cert"`
	CAKey              string   `yaml:"ca_key"`
	PassthroughDomains []string `yaml:"passthrough_domains"`
	MaxResponseBytes   int64    `yaml:"max_response_bytes"`
}

// SeedPhraseDetection looks for BIP-39 mnemonics.
type SeedPhraseDetection struct {
	Enabled bool `yaml:"enabled"`
}

// SSRF exempts address ranges from the guard against special-purpose addresses.
type SSRF struct {
	IPAllowlist []netip.Prefix `yaml:"ip_allowlist"`
}

// NewConfig is the configuration for a set of effective routes.
func NewConfig(routes []egress.Route) Config {
	c := Config{
		Version: 1,
		Mode:    "strict", // only what api_allowlist names
		Enforce: true,
		FetchProxy: FetchProxy{
			Listen: listenAddress,
			Monitoring: Monitoring{
				// 60 by default; an agent that reads a page with its parts makes more in a second.
				MaxRequestsPerMinute: 1_000_000,
				// 4.5 bits a character by default, which identifiers in the paths of APIs exceed.
				// Eight is the most that bytes can have.
				EntropyThreshold: 8,
				// 2048 by default; signed URLs of object stores are longer.
				MaxURLLength: 16 << 10,
			},
		},
		ForwardProxy: ForwardProxy{
			Enabled: true, // off by default, but it is what egress speaks
			// 300 by default. A tunnel is a kept connection here and lives as long as the bottle.
			MaxTunnelSeconds: 7 * 24 * 3600,
			// 120 by default; a language model may think for minutes. The same as egress's own.
			IdleTimeoutSeconds: 600,
			SNIVerification:    true,
		},
		DLP: DLP{ScanEnv: true, IncludeDefaults: true},
		RequestBodyScanning: RequestBodyScanning{
			Enabled: true,
			Action:  "block", // "warn" by default
			// 5 MiB by default, and anything larger is refused; conversations with images are.
			MaxBodyBytes: 32 << 20,
			ScanHeaders:  true,
			HeaderMode:   "all", // "sensitive" by default, which names six headers
			// Egress strips these from what the agent sends and puts the real credential there.
			IgnoreHeaders: []string{"Authorization"},
		},
		ResponseScanning: ResponseScanning{
			// Switched off, it would hold event streams back until they end.
			Enabled: true,
			// "warn" by default. What is left to find are the patterns that pipelock always has.
			Action: "block",
			// On by default: further patterns for documents, at less than a megabyte a second.
			IncludeDefaults: false,
			// On by default: it blocks event streams, which is how language models answer.
			SSEStreaming: SSEStreaming{Enabled: false},
		},
		TLSInterception: TLSInterception{
			Enabled: true, // off by default
			CACert:  secretsDir + "/" + CACertFile,
			CAKey:   secretsDir + "/" + CAKeyFile,
			// 5 MiB by default, and anything larger is refused; packages are. Each response is held
			// in memory whole, so what is larger still needs tls_passthrough.
			MaxResponseBytes: 64 << 20,
		},
		SeedPhraseDetection: SeedPhraseDetection{Enabled: true},
		SSRF:                SSRF{IPAllowlist: []netip.Prefix{}},
	}
	for _, r := range routes {
		c.addRoute(r)
	}
	if len(c.APIAllowlist) == 0 {
		// pipelock refuses an empty list in strict mode. Egress answers for this host itself,
		// and no resolver knows it.
		c.APIAllowlist = []string{egress.IntrospectionHost}
	}
	slices.Sort(c.RequestBodyScanning.IgnoreHeaders)
	c.RequestBodyScanning.IgnoreHeaders = slices.Compact(c.RequestBodyScanning.IgnoreHeaders)
	return c
}

func (c *Config) addRoute(r egress.Route) {
	c.APIAllowlist = append(c.APIAllowlist, r.Host)
	if r.TLSPassthrough {
		c.TLSInterception.PassthroughDomains = append(c.TLSInterception.PassthroughDomains, r.Host)
	}
	if r.AuthHeader != "" {
		c.RequestBodyScanning.IgnoreHeaders = append(c.RequestBodyScanning.IgnoreHeaders, r.AuthHeader)
	}
	for _, prefix := range r.SSRFIPAllowlist {
		if !slices.Contains(c.SSRF.IPAllowlist, prefix) {
			c.SSRF.IPAllowlist = append(c.SSRF.IPAllowlist, prefix)
		}
	}
}

// Marshal renders the file.
func (c Config) Marshal() ([]byte, error) {
	var out bytes.Buffer
	encoder := yaml.NewEncoder(&out)
	encoder.SetIndent(2)
	if err := encoder.Encode(c); err != nil {
		return nil, fmt.Errorf("pipelock configuration: %w", err)
	}
	return out.Bytes(), nil
}

// ParseConfig reads a rendered file back. Unknown keys, a second document and a
// configuration that does not enforce are errors.
func ParseConfig(data []byte) (Config, error) {
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	decoder.KnownFields(true)
	var c Config
	if err := decoder.Decode(&c); err != nil {
		return c, fmt.Errorf("pipelock configuration: %w", err)
	}
	if err := decoder.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return c, errors.New("pipelock configuration: more than one document")
	}
	if c.Version != 1 || c.Mode != "strict" || !c.Enforce {
		return c, errors.New("pipelock configuration: it is not version 1, strict and enforcing")
	}
	return c, nil
}

// Allows reports whether api_allowlist has host, which is in its normal form.
func (c Config) Allows(host string) bool { return matchesAny(c.APIAllowlist, host) }

// PassesThrough reports whether the TLS of host is left alone.
func (c Config) PassesThrough(host string) bool {
	return matchesAny(c.TLSInterception.PassthroughDomains, host)
}

// matchesAny compares with exact names and with "*.domain", which fits every name below the domain.
func matchesAny(patterns []string, host string) bool {
	return slices.ContainsFunc(patterns, func(pattern string) bool {
		domain, wild := strings.CutPrefix(pattern, "*")
		return wild && strings.HasSuffix(host, domain) || pattern == host
	})
}

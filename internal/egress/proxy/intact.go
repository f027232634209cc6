//go:build !breakage

package proxy

// breakOpen breaks the proxy (package breakage).
func breakOpen(*Proxy) {}

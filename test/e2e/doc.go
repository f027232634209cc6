// Package e2e tests podbottle on a real rootless Podman. Its tests run inside
// the test host (make e2e), as an unprivileged user, and need the build tag e2e.
//
// Nothing in it is faked: the upstream servers are real TLS servers on the test
// host's public addresses, and what a test left behind is asked of Podman.
package e2e

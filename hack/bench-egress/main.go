// Command bench-egress compares the ways to one upstream server on loopback, in one
// run: directly, through bare TLS relays, through egress alone, through egress and the
// built-in firewall, and through mitmproxy with the same TLS termination and header
// injection. Every proxy is a process of its own. It prints ratios beside the wanted ones.
package main

import (
	"flag"
	"fmt"
	"os"
	"time"
)

// sizes of a run.
type sizes struct {
	requests   int   // small requests on each path
	workers    int   // kept connections that send them at once
	bulk       int64 // bytes of a download
	downloads  int   // on each path
	firstBytes int   // event streams whose first byte is timed
	streams    int   // streams that are open at once
}

func main() {
	if len(os.Args) > 1 && helpers[os.Args[1]] != nil {
		fail(helpers[os.Args[1]](os.Args[2:]))
		return
	}
	s := sizes{workers: 8, downloads: 3, firstBytes: 40, streams: 500}
	sidecar := flag.String("sidecar", "bin/podbottle-sidecar", "the sidecar binary")
	mitmdump := flag.String("mitmdump", "mitmdump", "mitmproxy's command line program; empty leaves it out")
	flag.IntVar(&s.requests, "requests", 4000, "small requests on each path; mitmproxy gets a tenth")
	flag.Int64Var(&s.bulk, "bulk", 512<<20, "bytes of a download")
	flag.Parse()
	fail(run(*sidecar, *mitmdump, s))
}

func fail(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench-egress:", err)
		os.Exit(1)
	}
}

func run(sidecar, mitmdump string, s sizes) error {
	b, err := newBench(sidecar, mitmdump)
	if err != nil {
		return err
	}
	defer b.stop()
	results := make(map[string]result)
	for _, p := range b.paths {
		n := s.requests
		if p.name == mitmproxy {
			n /= 10
		}
		if results[p.name], err = measure(p, n, s); err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
	}
	if err := b.bulk(results, s); err != nil {
		return err
	}
	idle, open1, err := b.memory(s.streams, false)
	if err != nil {
		return err
	}
	_, open2, err := b.memory(s.streams, true)
	if err != nil {
		return err
	}
	report(b.paths, results)
	reportMemory(idle, open1, open2, s)
	return nil
}

// report prints the figures and their ratios.
func report(paths []path, results map[string]result) {
	base, mitm, ours, both := results[direct], results[mitmproxy], results[alone], results[walled]
	fmt.Printf("%-22s %11s %11s %11s %14s %15s %13s\n", "path", "requests/s", "median ms", "bulk MB/s", "its CPU s/GB", "all CPU s/GB", "first byte ms")
	for _, p := range paths {
		r := results[p.name]
		fmt.Printf("%-22s %11.0f %11.3f %11.0f %14.2f %15.2f %13.3f\n", p.name, r.rate, ms(r.median), r.bulk, r.proxyCPU, r.allCPU, ms(r.firstByte))
	}
	fmt.Printf("\n%-58s %10s   %s\n", "egress alone", "measured", "wanted")
	if mitm.rate > 0 {
		line("small requests, against mitmproxy", ours.rate/mitm.rate, "×", "at least 10 ×")
		line("bulk download, against mitmproxy", ours.bulk/mitm.bulk, "×", "")
	}
	line("small requests, added at the median", ms(ours.median-base.median), "ms", "at most 0.3 ms")
	line("bulk download, against direct", ours.bulk/base.bulk, "×", "at least 0.6 ×")
	line("  a bare relay, against direct", results[floor].bulk/base.bulk, "×", "")
	line("  egress against the bare relay", ours.bulk/results[floor].bulk, "×", "")
	line("  egress and firewall against two bare relays", both.bulk/results[floors].bulk, "×", "")
	line("  processor time of egress against the bare relay's", ours.proxyCPU/results[floor].proxyCPU, "×", "")
	line("  of egress and firewall against two bare relays'", both.proxyCPU/results[floors].proxyCPU, "×", "")
	line("first byte of an event stream, added", ms(ours.firstByte-base.firstByte), "ms", "at most 1 ms")
}

func reportMemory(idle, open1, open2 usage, s sizes) {
	line("memory, idle", idle.resident, "MB", "at most 15 MB")
	line("  of it pages of the program file, shared by all sidecars", idle.shared, "MB", "")
	for _, open := range []struct {
		what string
		usage
	}{{"each on its own connection", open1}, {"in HTTP/2", open2}} {
		line(fmt.Sprintf("memory, %d open streams, %s", s.streams, open.what), open.resident, "MB", "at most 40 MB")
		line("  of it pages of the program file", open.shared, "MB", "")
		line("  at the peak, while they were opened", open.peak, "MB", "")
	}
}

func line(what string, value float64, unit, wanted string) {
	fmt.Printf("%-58s %8.2f %s   %s\n", what, value, unit, wanted)
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// Command bench compares podbottle's start with the least that could do the
// same, in one run on one machine, and prints ratios: (a) a bare program that
// creates and starts the same objects through Podman's bindings, (b) the podman
// command line, one command after the other, (c) the same bottle as units of
// systemd, which is to be compared with podbottle's start. It runs inside the test host
// (make bench).
package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

const rounds = 10

func main() {
	if len(os.Args) == 2 && os.Args[1] == "bare" {
		exitOn(bare())
		return
	}
	exitOn(run())
}

func exitOn(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run() error {
	dir, err := os.MkdirTemp("", "podbottle-bench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	root := filepath.Join(dir, "bot-bottle")
	if err := os.CopyFS(root, os.DirFS("/src/examples/demo")); err != nil {
		return err
	}
	env := append(os.Environ(), "BOT_BOTTLE_ROOT="+root, "DEMO_TOKEN=bench")
	// The first start imports the sidecar image; the others find it.
	if _, err := podbottleStart(env); err != nil {
		return err
	}
	if _, err := timed(env, "podbottle", "quadlet", "install", "demo", "--name", benchUnits, "--yes", "--firewall=builtin"); err != nil {
		return err
	}
	defer func() { _, _ = timed(env, "podbottle", "quadlet", "uninstall", benchUnits, "--yes") }()
	var ours, bindings, cli, units, list, dryRun []time.Duration
	for range rounds {
		for series, measure := range map[*[]time.Duration]func() (time.Duration, error){
			&ours:     func() (time.Duration, error) { return podbottleStart(env) },
			&bindings: bareStart,
			&cli:      cliStart,
			&units:    func() (time.Duration, error) { return unitsStart(env) },
			&list:     func() (time.Duration, error) { return timed(env, "podbottle", "list") },
			&dryRun: func() (time.Duration, error) {
				return timed(env, "podbottle", "start", "demo", "--dry-run", "--firewall=builtin")
			},
		} {
			d, err := measure()
			if err != nil {
				return err
			}
			*series = append(*series, d)
		}
	}
	fmt.Printf("medians of %d rounds, interleaved\n", rounds)
	fmt.Printf("  podbottle start --detach --yes   %v\n", median(ours))
	fmt.Printf("  (a) bare bindings                %v   ratio %.2f (wanted: at most 1.25)\n", median(bindings), ratio(ours, bindings))
	fmt.Printf("  (b) podman, command by command   %v   ratio %.2f (wanted: at most 0.45)\n", median(cli), ratio(ours, cli))
	fmt.Printf("  (c) systemctl start              %v   ratio %.2f to podbottle start (wanted: at most 2)\n", median(units), ratio(units, ours))
	fmt.Printf("  podbottle list                   %v   (wanted: at most 60ms)\n", median(list))
	fmt.Printf("  podbottle start --dry-run        %v   (wanted: at most 60ms)\n", median(dryRun))
	return nil
}

// podbottleStart measures a start until the agent's program runs, and removes the bottle.
func podbottleStart(env []string) (time.Duration, error) {
	var slug bytes.Buffer
	d, err := timedTo(&slug, env, "podbottle", "start", "demo", "--detach", "--yes", "--firewall=builtin")
	if err != nil {
		return 0, err
	}
	_, err = timed(env, "podbottle", "stop", "--discard", strings.TrimSpace(slug.String()))
	return d, err
}

// benchUnits is the bottle that is installed as units.
const benchUnits = "bench-units"

// unitsStart measures systemd's start of the installed bottle until the agent's
// program runs, and stops the bottle.
func unitsStart(env []string) (time.Duration, error) {
	d, err := timed(env, "systemctl", "--user", "start", "bot-bottle-"+benchUnits+"-agent.service")
	if err != nil {
		return 0, err
	}
	_, err = timed(env, "podbottle", "quadlet", "stop", benchUnits)
	return d, err
}

func bareStart() (time.Duration, error) {
	self, err := os.Executable()
	if err != nil {
		return 0, err
	}
	d, err := timed(os.Environ(), self, "bare")
	if err != nil {
		return 0, err
	}
	return d, removeBare()
}

// cliStart does with commands what bare does with the bindings.
func cliStart() (time.Duration, error) {
	image, err := sidecarImage()
	if err != nil {
		return 0, err
	}
	wrapper, err := wrapperPath()
	if err != nil {
		return 0, err
	}
	hardening := []string{"--cap-drop=all", "--security-opt=no-new-privileges"}
	sidecar := func(name string) []string {
		return slices.Concat([]string{"run", "--detach", "--pod", barePod, "--name", name, "--read-only", "--user=65532:65532"}, hardening,
			[]string{image, "version"})
	}
	start := time.Now()
	for _, args := range [][]string{
		{"volume", "create", bareHome},
		{"network", "create", "--internal", "--disable-dns", bareInternal},
		{"network", "create", "--disable-dns", "--opt=isolate=strict", bareUplink},
		{"pod", "create", "--name", barePod, "--share=net", "--network", bareInternal, "--network", bareUplink},
		sidecar("bench-egress"),
		sidecar("bench-firewall"),
		slices.Concat([]string{"--runtime=" + wrapper, "run", "--detach", "--pod", barePod, "--name", "bench-agent", "--network", bareInternal, "--volume", bareHome + ":/home/node", "--uts=private", "--ipc=private", "--user=1000:1000"},
			hardening, []string{agentImage, "sleep", "60"}),
	} {
		if _, err := timed(os.Environ(), "podman", args...); err != nil {
			return 0, err
		}
	}
	return time.Since(start), removeBare()
}

func timed(env []string, program string, args ...string) (time.Duration, error) {
	return timedTo(&bytes.Buffer{}, env, program, args...)
}

func timedTo(stdout *bytes.Buffer, env []string, program string, args ...string) (time.Duration, error) {
	var stderr bytes.Buffer
	cmd := exec.Command(program, args...) // #nosec G204 -- what the benchmark is for
	cmd.Env, cmd.Stdout, cmd.Stderr = env, stdout, &stderr
	start := time.Now()
	if err := cmd.Run(); err != nil {
		return 0, fmt.Errorf("%s %s: %w\n%s", program, strings.Join(args, " "), err, stderr.String())
	}
	return time.Since(start), nil
}

func median(series []time.Duration) time.Duration {
	sorted := slices.Sorted(slices.Values(series))
	return sorted[len(sorted)/2].Round(100 * time.Microsecond)
}

func ratio(a, b []time.Duration) float64 { return float64(median(a)) / float64(median(b)) }

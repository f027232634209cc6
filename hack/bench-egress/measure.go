package main

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// result is what was measured on one path.
type result struct {
	rate      float64 // small requests a second on all workers' connections
	median    time.Duration
	bulk      float64 // MB a second, the median
	proxyCPU  float64 // seconds of processor for each GB, of what stands between
	allCPU    float64 // the same with the client and the upstream
	firstByte time.Duration
}

func measure(p path, requests int, s sizes) (result, error) {
	var r result
	client := p.client()
	defer client.CloseIdleConnections()
	if err := check(client, p); err != nil {
		return r, err
	}
	var err error
	if r.median, err = latency(client, p, requests/4); err != nil {
		return r, err
	}
	if r.rate, err = rate(client, p, requests, s.workers); err != nil {
		return r, err
	}
	r.firstByte, err = firstByte(client, p, s.firstBytes)
	return r, err
}

// check wants the token injected where a proxy is, so that all paths do the same.
func check(client *http.Client, p path) error {
	res, err := client.Get(p.base + "/authorized")
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if (res.StatusCode == http.StatusOK) != (p.proxy != nil) {
		return fmt.Errorf("the upstream saw another credential than expected: %s", res.Status)
	}
	return nil
}

func small(client *http.Client, p path) error {
	res, err := client.Get(p.base + "/small")
	if err != nil {
		return err
	}
	defer res.Body.Close()
	_, err = io.Copy(io.Discard, res.Body)
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("small request: %s", res.Status)
	}
	return err
}

// latency is the median of requests made one after the other on one connection.
func latency(client *http.Client, p path, n int) (time.Duration, error) {
	var times []time.Duration
	for range n {
		start := time.Now()
		if err := small(client, p); err != nil {
			return 0, err
		}
		times = append(times, time.Since(start))
	}
	return median(times), nil
}

func rate(client *http.Client, p path, n, workers int) (float64, error) {
	var group sync.WaitGroup
	failed := make(chan error, workers)
	start := time.Now()
	for range workers {
		group.Go(func() {
			for range n / workers {
				if err := small(client, p); err != nil {
					failed <- err
					return
				}
			}
		})
	}
	group.Wait()
	elapsed := time.Since(start)
	select {
	case err := <-failed:
		return 0, err
	default:
		return float64(n/workers*workers) / elapsed.Seconds(), nil
	}
}

// bulk fills in the rate and the cost of downloads. The paths take turns, so that what
// else the machine does falls on all of them.
func (b *bench) bulk(results map[string]result, s sizes) error {
	rates := make(map[string][]float64)
	for range s.downloads {
		for _, p := range b.paths {
			r := results[p.name]
			before, err := b.cost(p)
			if err != nil {
				return err
			}
			client := p.client()
			rate, err := download(client, p, s.bulk)
			client.CloseIdleConnections()
			if err != nil {
				return fmt.Errorf("%s: %w", p.name, err)
			}
			after, err := b.cost(p)
			if err != nil {
				return err
			}
			gigabytes := float64(s.bulk) * float64(s.downloads) / 1e9
			r.proxyCPU += (after.between - before.between) / gigabytes
			r.allCPU += (after.all - before.all) / gigabytes
			rates[p.name] = append(rates[p.name], rate)
			r.bulk = median(rates[p.name])
			results[p.name] = r
		}
	}
	return nil
}

// cost is the processor time, in seconds, of what stands on a path.
type cost struct{ between, all float64 }

func (b *bench) cost(p path) (cost, error) {
	between, err := cpuSeconds(p.pids)
	if err != nil {
		return cost{}, err
	}
	ends, err := cpuSeconds([]int{os.Getpid(), b.upstream})
	return cost{between, between + ends}, err
}

// cpuSeconds is what processes have used so far, in user and in kernel mode
// (proc_pid_stat(5), fields 14 and 15, in hundredths of a second).
func cpuSeconds(pids []int) (float64, error) {
	var ticks float64
	for _, pid := range pids {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			return 0, err
		}
		_, rest, _ := strings.Cut(string(stat), ") ") // after the program's name, from field 3 on
		fields := strings.Fields(rest)
		for _, field := range fields[11:13] {
			n, err := strconv.ParseFloat(field, 64)
			if err != nil {
				return 0, fmt.Errorf("/proc/%d/stat: %w", pid, err)
			}
			ticks += n
		}
	}
	return ticks / 100, nil
}

func download(client *http.Client, p path, size int64) (float64, error) {
	start := time.Now()
	res, err := client.Get(fmt.Sprintf("%s/bulk?size=%d", p.base, size))
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	n, err := io.Copy(io.Discard, res.Body)
	if err == nil && n != size {
		err = fmt.Errorf("the download has %d bytes, want %d", n, size)
	}
	return float64(n) / 1e6 / time.Since(start).Seconds(), err
}

// firstByte is the median time to the first event of a stream on a kept connection.
func firstByte(client *http.Client, p path, n int) (time.Duration, error) {
	var times []time.Duration
	for range n {
		start := time.Now()
		res, err := client.Get(p.base + "/events")
		if err != nil {
			return 0, err
		}
		_, err = bufio.NewReader(res.Body).ReadString('\n')
		times = append(times, time.Since(start))
		if err == nil {
			_, err = io.Copy(io.Discard, res.Body)
		}
		_ = res.Body.Close()
		if err != nil {
			return 0, err
		}
	}
	return median(times), nil
}

func median[T cmp.Ordered](values []T) T {
	slices.Sort(values)
	return values[len(values)/2]
}

// usage is the memory of a process in MB. Shared is the part of the resident pages that
// are the program file's: all sidecars of all bottles have them in common. Peak is the most
// that was ever resident.
type usage struct{ resident, shared, peak float64 }

// released is when a sidecar has given back what it needed for a moment only.
const released = 12 * time.Second

// memory is that of a fresh egress, a second after it is ready, and of the same twelve
// seconds after n event streams were opened.
func (b *bench) memory(n int, h2 bool) (idle, open usage, err error) {
	if err := b.restartAlone(); err != nil {
		return idle, open, err
	}
	if idle, err = resident(b.egressPID); err != nil {
		return idle, open, err
	}
	var p path
	for _, candidate := range b.paths {
		if candidate.name == alone {
			p = candidate
		}
	}
	client := p.client()
	client.Transport.(*http.Transport).ForceAttemptHTTP2 = h2
	defer client.CloseIdleConnections()
	for range n {
		res, err := client.Get(p.base + "/open")
		if err != nil {
			return idle, open, err
		}
		defer res.Body.Close()
		if _, err := io.ReadFull(res.Body, make([]byte, 1)); err != nil {
			return idle, open, err
		}
	}
	time.Sleep(released)
	open, err = resident(b.egressPID)
	return idle, open, err
}

// resident reads the memory of a process (proc_pid_status(5)).
func resident(pid int) (usage, error) {
	var u usage
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return u, err
	}
	for line := range strings.Lines(string(status)) {
		var kilobytes float64
		name, value, _ := strings.Cut(line, ":")
		if _, err := fmt.Sscan(value, &kilobytes); err != nil {
			continue
		}
		switch name {
		case "VmRSS":
			u.resident = kilobytes * 1024 / 1e6
		case "RssFile":
			u.shared = kilobytes * 1024 / 1e6
		case "VmHWM":
			u.peak = kilobytes * 1024 / 1e6
		}
	}
	return u, nil
}

package probe

import (
	"context"
	"os"
	"strings"
)

// kernelFiles tries to write where the kernel takes settings, and to read memory.
func kernelFiles(context.Context, *bottle) Result {
	write := []string{
		"/proc/sysrq-trigger", "/proc/sys/kernel/core_pattern", "/proc/sys/kernel/modprobe", "/proc/sys/vm/panic_on_oom", "/proc/sys/kernel/randomize_va_space",
		"/proc/irq/0/smp_affinity", "/proc/acpi/wakeup", "/sys/kernel/uevent_helper", "/sys/power/state", "/sys/class/net/lo/mtu", "/sys/fs/cgroup/cgroup.procs",
		"/sys/fs/cgroup/release_agent", "/sys/kernel/mm/transparent_hugepage/enabled", "/proc/sys/net/ipv4/ip_forward",
	}
	read := []string{"/proc/kcore", "/proc/kmsg", "/dev/mem", "/dev/kmsg", "/proc/keys", "/proc/sched_debug", "/sys/firmware/acpi/tables/DSDT", "/sys/kernel/debug/tracing/trace", "/proc/scsi/scsi", "/sys/devices/virtual/powercap/intel-rapl/intel-rapl:0/energy_uj"}
	if _, err := os.ReadFile("/proc/self/stat"); err != nil {
		return incomplete("/proc cannot even be read: %v", err)
	}
	for _, path := range write {
		if isGVisor() && strings.HasPrefix(path, "/proc/") {
			continue // its own: the host's settings are not behind them
		}
		file, err := os.OpenFile(path, os.O_WRONLY, 0) // #nosec G304 -- the list above
		if err == nil {
			_ = file.Close()
			return breach("%s can be opened for writing", path)
		}
	}
	for _, path := range read {
		file, err := os.Open(path) // #nosec G304 -- the list above
		if err != nil {
			continue
		}
		n, err := file.Read(make([]byte, 16))
		_ = file.Close()
		if err == nil && n > 0 {
			return breach("%s can be read", path)
		}
	}
	return held("%d files for writing, %d for reading, none opens", len(write), len(read)).with("/proc/self/stat can be read")
}

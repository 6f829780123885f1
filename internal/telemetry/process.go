package telemetry

import (
	"bytes"
	"os"
	"runtime/metrics"
	"strconv"
	"strings"
)

// memory is what the process has, in bytes.
type memory struct {
	Active    uint64 `json:"active_bytes"`
	Allocated uint64 `json:"allocated_bytes"`
	Metadata  uint64 `json:"metadata_bytes"`
	Resident  uint64 `json:"resident_bytes"`
	Retained  uint64 `json:"retained_bytes"`
}

// readMemory asks the runtime, and the system for what is resident.
func readMemory() memory {
	const classes = "/memory/classes/"
	v := sample(classes+"heap/objects:bytes", classes+"heap/unused:bytes", classes+"heap/free:bytes",
		classes+"metadata/mspan/inuse:bytes", classes+"metadata/mcache/inuse:bytes", classes+"metadata/other:bytes",
		classes+"total:bytes")
	m := memory{Allocated: v[0], Active: v[0] + v[1], Retained: v[2], Metadata: v[3] + v[4] + v[5], Resident: v[6]}
	if fields := procFields("/proc/self/statm"); len(fields) > 1 {
		m.Resident = number(fields[1]) * uint64(os.Getpagesize())
	}
	return m
}

// sample reads counters of the Go runtime; what it does not know is 0.
func sample(names ...string) []uint64 {
	samples := make([]metrics.Sample, len(names))
	for i, name := range names {
		samples[i].Name = name
	}
	metrics.Read(samples)
	values := make([]uint64, len(names))
	for i, s := range samples {
		if s.Value.Kind() == metrics.KindUint64 {
			values[i] = s.Value.Uint64()
		}
	}
	return values
}

// procFields returns the words of a file of /proc, nil where there is none.
func procFields(name string) []string {
	b, err := os.ReadFile(name)
	if err != nil {
		return nil
	}
	// The second word of stat is a command in parentheses that may hold blanks.
	if i := bytes.LastIndexByte(b, ')'); i >= 0 {
		b = b[i+1:]
	}
	return strings.Fields(string(b))
}

func number(s string) uint64 {
	n, _ := strconv.ParseUint(s, 10, 64)
	return n
}

// process prints what the system knows about the process.
func (p *printer) process() {
	if stat := procFields("/proc/self/stat"); len(stat) > 17 {
		p.family("process_threads", "gauge", "count of active threads")
		p.sample("process_threads", float64(number(stat[17])))
		p.family("process_minor_page_faults_total", "counter", "count of minor page faults")
		p.sample("process_minor_page_faults_total", float64(number(stat[7])))
		p.family("process_major_page_faults_total", "counter", "count of major page faults")
		p.sample("process_major_page_faults_total", float64(number(stat[9])))
	}
	if maps, err := os.ReadFile("/proc/self/maps"); err == nil {
		p.family("process_open_mmaps", "gauge", "count of open mmaps")
		p.sample("process_open_mmaps", float64(bytes.Count(maps, []byte{'\n'})))
	}
	if most := procFields("/proc/sys/vm/max_map_count"); len(most) > 0 {
		p.family("system_max_mmaps", "gauge", "system wide limit of open mmaps")
		p.sample("system_max_mmaps", float64(number(most[0])))
	}
	if open, err := os.ReadDir("/proc/self/fd"); err == nil {
		p.family("process_open_fds", "gauge", "count of currently open file descriptors")
		p.sample("process_open_fds", float64(len(open)))
	}
	if limits, err := os.ReadFile("/proc/self/limits"); err == nil {
		for line := range strings.Lines(string(limits)) {
			if rest, ok := strings.CutPrefix(line, "Max open files"); ok && len(strings.Fields(rest)) > 0 {
				p.family("process_max_fds", "gauge", "limit for open file descriptors")
				p.sample("process_max_fds", float64(number(strings.Fields(rest)[0])))
			}
		}
	}
}

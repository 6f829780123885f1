package process

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// namespaces is a network of network namespaces on one bridge. A link is cut by a wrong hardware address: packets leave and
// nobody takes them.
type namespaces struct {
	t      testing.TB
	name   string // of this process; the parts' names begin with it
	subnet string
	n      int
}

// Namespaces makes a network of n peers, each in a namespace of its own. It skips the test where that is not allowed.
func Namespaces(t testing.TB, n int) Network {
	t.Helper()
	if why := NoNamespaces(); why != "" {
		t.Skip("no network namespaces here: " + why)
	}
	sweepNamespaces()
	a, b := 64+rand.IntN(128), rand.IntN(256)
	w := &namespaces{t: t, n: n, name: fmt.Sprintf("sx%d", os.Getpid()), subnet: fmt.Sprintf("10.%d.%d.", a, b)}
	t.Cleanup(func() {
		for i := range n {
			_ = ip("netns", "del", w.space(i))
		}
		_ = ip("link", "del", w.name)
	})
	w.must("link", "add", w.name, "type", "bridge")
	w.must("addr", "add", w.subnet+"1/24", "dev", w.name)
	w.must("link", "set", w.name, "up")
	for i := range n {
		far := fmt.Sprintf("%sv%d", w.name, i)
		w.must("netns", "add", w.space(i))
		w.must("link", "add", far, "type", "veth", "peer", "name", "eth0", "netns", w.space(i))
		w.must("link", "set", far, "master", w.name, "up")
		w.must("-n", w.space(i), "link", "set", "eth0", "address", hardware(i))
		w.must("-n", w.space(i), "addr", "add", w.host(i)+"/24", "dev", "eth0")
		w.must("-n", w.space(i), "link", "set", "lo", "up")
		w.must("-n", w.space(i), "link", "set", "eth0", "up")
	}
	for i := range n {
		for k := range n {
			if k != i {
				w.Lose(i, k, false)
			}
		}
	}
	return w
}

// NoNamespaces says why there can be none; "" if there can.
func NoNamespaces() string {
	if os.Getuid() != 0 {
		return "not root"
	}
	if _, err := exec.LookPath("ip"); err != nil {
		return err.Error()
	}
	name := fmt.Sprintf("sxtry%d", os.Getpid())
	if err := ip("netns", "add", name); err != nil {
		return err.Error()
	}
	defer func() { _ = ip("netns", "del", name) }()
	if err := ip("link", "add", name, "type", "bridge"); err != nil {
		return err.Error()
	}
	if err := ip("link", "del", name); err != nil {
		return err.Error()
	}
	return ""
}

// sweepNamespaces removes what tests left that were killed.
func sweepNamespaces() {
	list, err := os.ReadDir("/var/run/netns")
	if err != nil {
		return
	}
	for _, f := range list {
		var pid, i int
		if n, _ := fmt.Sscanf(f.Name(), "sx%dn%d", &pid, &i); n != 2 {
			continue
		}
		if _, err := os.Stat(fmt.Sprintf("/proc/%d", pid)); os.IsNotExist(err) {
			_ = ip("netns", "del", f.Name())
			_ = ip("link", "del", fmt.Sprintf("sx%d", pid))
		}
	}
}

func ip(args ...string) error {
	out, err := exec.Command("ip", args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("ip %s: %w: %s", strings.Join(args, " "), err, out)
	}
	return nil
}

func (w *namespaces) must(args ...string) {
	w.t.Helper()
	if err := ip(args...); err != nil {
		w.t.Fatal(err)
	}
}

func (w *namespaces) space(i int) string { return fmt.Sprintf("%sn%d", w.name, i) }
func (w *namespaces) host(i int) string  { return fmt.Sprintf("%s%d", w.subnet, i+2) }
func hardware(i int) string              { return fmt.Sprintf("02:53:58:00:00:%02x", i) }

func (w *namespaces) Place(i int) (string, Options) {
	return fmt.Sprintf("http://%s:6335", w.host(i)), Options{Host: w.host(i), Port: 6333, Wrap: []string{"ip", "netns", "exec", w.space(i)},
		Env: []string{"QDRANT__CLUSTER__P2P__PORT=6335"}}
}

// Lose implements Network; it is called while the test runs, from any goroutine.
func (w *namespaces) Lose(from, to int, lost bool) {
	at := hardware(to)
	if lost {
		at = "02:53:58:00:ff:ff"
	}
	if err := ip("-n", w.space(from), "neigh", "replace", w.host(to), "lladdr", at, "dev", "eth0", "nud", "permanent"); err != nil {
		w.t.Error(err)
	}
}

// Slow lets a peer send 2 Mbit/s: what is more waits, and is lost when it would wait too long.
func (w *namespaces) Slow(from int, slow bool) bool {
	args := []string{"netns", "exec", w.space(from), "tc", "qdisc", "del", "dev", "eth0", "root"}
	if slow {
		args = []string{"netns", "exec", w.space(from), "tc", "qdisc", "replace", "dev", "eth0", "root", "tbf", "rate", "2mbit", "burst", "16kb", "latency", "400ms"}
	}
	return ip(args...) == nil
}

func (w *namespaces) Started(int, *Server) {}

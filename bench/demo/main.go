// Command demo loads 341,479 English words into a server and prints the nearest words to a few queries, with and without
// a filter. It talks plain REST, as any client would.
//
//	go run ./bench/demo                             starts a server of its own, in ./storage-demo
//	go run ./bench/demo -url http://localhost:6333  uses a running one
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/sextantdb/sextant/bench/dataset"
	"github.com/sextantdb/sextant/bench/peers"
)

const collection = "demo-words"

type demo struct {
	url   string
	words *dataset.Set
	index map[string]int
}

func main() {
	url := flag.String("url", "", "a running server; empty: start one in ./storage-demo")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *url); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, url string) error {
	fmt.Println("fetching word vectors (once, into the user's cache directory) …")
	words, err := dataset.Words()
	if err != nil {
		return err
	}
	d := &demo{url: url, words: words, index: map[string]int{}}
	for i, word := range words.Names {
		d.index[word] = i
	}
	if url == "" {
		stop, err := d.startServer(ctx)
		if err != nil {
			return err
		}
		defer stop()
	}
	if err := d.load(ctx); err != nil {
		return err
	}
	for _, word := range []string{"king", "violin", "berlin", "monday"} {
		if err := d.nearest(word, "", ""); err != nil {
			return err
		}
	}
	if err := d.nearest("king", "first letter q", `{"must":[{"key":"letter","match":{"value":"q"}}]}`); err != nil {
		return err
	}
	return d.nearest("violin", "common words only", `{"must":[{"key":"rank","range":{"lt":10000}}]}`)
}

// startServer builds and runs the server beside the demo; the data stays, so a second run is quick.
func (d *demo) startServer(ctx context.Context) (stop func(), err error) {
	dir, err := filepath.Abs("storage-demo")
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	binary := filepath.Join(dir, "sextant")
	if out, err := exec.CommandContext(ctx, "go", "build", "-o", binary, "./cmd/sextant").CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%w\n%s", err, out)
	}
	const port = 6399
	d.url = fmt.Sprintf("http://127.0.0.1:%d", port)
	server := exec.Command(binary)
	server.Dir = dir
	server.Env = append(os.Environ(), fmt.Sprintf("SEXTANT__SERVICE__HTTP_PORT=%d", port), "SEXTANT__SERVICE__HOST=127.0.0.1", "SEXTANT__LOG_LEVEL=WARN")
	server.Stderr = os.Stderr
	begin := time.Now()
	if err := server.Start(); err != nil {
		return nil, err
	}
	stop = func() {
		_ = server.Process.Signal(os.Interrupt)
		_ = server.Wait()
	}
	for {
		resp, err := http.Get(d.url + "/readyz")
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				fmt.Printf("server on %s ready after %d ms, data in %s\n", d.url, time.Since(begin).Milliseconds(), dir)
				return stop, nil
			}
		}
		if ctx.Err() != nil || time.Since(begin) > 30*time.Second {
			stop()
			return nil, errors.New("the server did not become ready")
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func (d *demo) call(method, path, body string, result any) error {
	return peers.Call(http.DefaultClient, method, d.url+path, []byte(body), result)
}

type info struct {
	Status  string `json:"status"`
	Points  int    `json:"points_count"`
	Indexed int    `json:"indexed_vectors_count"`
}

// load fills the collection unless an earlier run did, and waits until it is indexed.
func (d *demo) load(ctx context.Context) error {
	var i info
	if err := d.call("GET", "/collections/"+collection, "", &i); err == nil && i.Points == d.words.Len() {
		fmt.Printf("%d words are there already\n", i.Points)
		return nil
	}
	if err := d.call("DELETE", "/collections/"+collection, "", nil); err != nil {
		return err
	}
	create := fmt.Sprintf(`{"vectors":{"size":%d,"distance":"Cosine"}}`, d.words.Dim)
	if err := d.call("PUT", "/collections/"+collection, create, nil); err != nil {
		return err
	}
	for field, kind := range map[string]string{"letter": "keyword", "rank": "integer"} {
		body := fmt.Sprintf(`{"field_name":%q,"field_schema":%q}`, field, kind)
		if err := d.call("PUT", "/collections/"+collection+"/index?wait=true", body, nil); err != nil {
			return err
		}
	}
	begin := time.Now()
	var shown time.Time
	const batch = 1000
	for first := 0; first < d.words.Len() && ctx.Err() == nil; first += batch {
		last := min(first+batch, d.words.Len())
		if err := d.call("PUT", "/collections/"+collection+"/points", d.points(first, last), nil); err != nil {
			return err
		}
		if time.Since(shown) > 200*time.Millisecond || last == d.words.Len() {
			shown = time.Now()
			fmt.Printf("\rloading %6d of %d words, %.0f per second ", last, d.words.Len(), float64(last)/time.Since(begin).Seconds())
		}
	}
	fmt.Print("\nindexing ")
	for ctx.Err() == nil {
		if err := d.call("GET", "/collections/"+collection, "", &i); err != nil {
			return err
		}
		if i.Status == "green" && i.Points == d.words.Len() {
			fmt.Printf("done, %.1f s after the first word\n", time.Since(begin).Seconds())
			return nil
		}
		fmt.Print(".")
		time.Sleep(500 * time.Millisecond)
	}
	return ctx.Err()
}

func (d *demo) points(first, last int) string {
	b := []byte(`{"points":[`)
	for i := first; i < last; i++ {
		if i > first {
			b = append(b, ',')
		}
		word, _ := json.Marshal(d.words.Names[i])
		letter, _ := json.Marshal(string(unicode.ToLower([]rune(d.words.Names[i])[0])))
		b = fmt.Appendf(b, `{"id":%d,"payload":{"word":%s,"rank":%d,"letter":%s},"vector":[`, i, word, i, letter)
		for k, x := range d.words.Row(i) {
			if k > 0 {
				b = append(b, ',')
			}
			b = strconv.AppendFloat(b, float64(x), 'g', -1, 32)
		}
		b = append(b, "]}"...)
	}
	return string(append(b, "]}"...))
}

func (d *demo) nearest(word, what, filter string) error {
	body := fmt.Sprintf(`{"query":%d,"limit":8,"with_payload":["word"]}`, d.index[word])
	if filter != "" {
		body = strings.TrimSuffix(body, "}") + `,"filter":` + filter + "}"
		what = ", " + what
	}
	var result struct {
		Points []struct {
			Score   float32 `json:"score"`
			Payload struct {
				Word string `json:"word"`
			} `json:"payload"`
		} `json:"points"`
	}
	begin := time.Now()
	if err := d.call("POST", "/collections/"+collection+"/points/query", body, &result); err != nil {
		return err
	}
	fmt.Printf("\nnearest to %q%s (%.1f ms):\n", word, what, float64(time.Since(begin).Microseconds())/1000)
	for _, p := range result.Points {
		fmt.Printf("  %.3f  %s\n", p.Score, p.Payload.Word)
	}
	return nil
}

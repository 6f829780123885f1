package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"slices"
	"strconv"
	"text/tabwriter"
	"time"
)

type inspectClusterCommand struct {
	remote
	Timeout time.Duration `help:"How long other peers may take to answer." default:"5s"`
	All     bool          `help:"Print every shard; otherwise only the first ones of each collection and those that need a look."`
	JSON    bool          `help:"Print what the server answers." name:"json"`
}

// clusterView is the part of /cluster/telemetry that people look at.
type clusterView struct {
	Collections map[string]struct {
		Shards    []shardView
		Transfers []transferView `json:"shard_transfers"`
	}
	Cluster struct {
		Peers map[string]struct {
			URI        string
			Responsive bool
			Details    *struct {
				Version  string
				Role     string
				Voter    bool    `json:"is_voter"`
				Term     uint64  `json:"term"`
				Commit   uint64  `json:"commit"`
				Pending  uint64  `json:"num_pending_operations"`
				Leader   *uint64 `json:"leader"`
				Ready    bool    `json:"ready"`
				Failures map[string]struct {
					Count  uint64 `json:"count"`
					Latest string `json:"latest_error"`
				} `json:"message_send_failures"`
				Events []struct {
					At          time.Time `json:"at"`
					Shard, Text string
				} `json:"events"`
				Thread struct {
					Status string `json:"consensus_thread_status"`
					Err    string `json:"err"`
				} `json:"consensus_thread_status"`
			}
		}
	}
}

type shardView struct {
	ID       uint32
	Key      json.RawMessage
	Term     uint64
	Primary  uint64
	Replicas []replicaView
}

type replicaView struct {
	Peer     uint64 `json:"peer_id"`
	State    string
	InSync   bool     `json:"in_sync"`
	Points   *uint64  `json:"num_points"`
	Last     *uint64  `json:"last"`
	Applied  *uint64  `json:"applied"`
	Lag      *uint64  `json:"lag_entries"`
	Behind   *float64 `json:"lag_seconds"`
	Verified *float64 `json:"verified_seconds_ago"`
	Alarms   *uint64  `json:"alarms"`
	Error    string   `json:"error"`
}

type transferView struct {
	Shard   uint32 `json:"shard_id"`
	From    uint64 `json:"from"`
	To      uint64 `json:"to"`
	Sync    bool   `json:"sync"`
	Method  string `json:"method"`
	Comment string `json:"comment"`
}

// Run asks one peer, which asks the others. Something that needs a look makes the command fail after everything is shown.
func (c inspectClusterCommand) Run(ctx context.Context) error {
	var raw json.RawMessage
	path := fmt.Sprintf("/cluster/telemetry?details_level=2&timeout=%d", max(1, int(c.Timeout/time.Second)))
	if err := c.once(ctx, http.MethodGet, path, nil, &raw); err != nil {
		return err
	}
	if c.JSON {
		_, err := fmt.Printf("%s\n", raw)
		return err
	}
	var v clusterView
	if err := json.Unmarshal(raw, &v); err != nil {
		return err
	}
	wrong, err := printCluster(os.Stdout, &v, c.All)
	if err == nil && wrong > 0 {
		err = fmt.Errorf("%d things need a look, marked with !", wrong)
	}
	return err
}

// fewEvents is how many of the newest events of a peer are shown when nobody asks for all.
const fewEvents = 5

// fewShards is how many healthy shards of a collection are shown when nobody asks for all.
const fewShards = 16

// printCluster prints tables of peers, shards and transfers, and counts what needs a look.
func printCluster(out io.Writer, v *clusterView, all bool) (wrong int, err error) {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	var notes []string // lines between the rows of a table would tear it apart
	note := func(format string, args ...any) { notes = append(notes, fmt.Sprintf(format, args...)) }
	flush := func() {
		for _, line := range notes {
			fmt.Fprintln(w, line)
		}
		notes = nil
	}
	look := func(bad bool) string {
		if bad {
			wrong++
			return "!"
		}
		return ""
	}
	fmt.Fprintln(w, "PEER\tADDRESS\tROLE\tTERM\tCOMMIT\tPENDING\tREADY\tVERSION\t")
	numbers := slices.SortedFunc(maps.Keys(v.Cluster.Peers), func(a, b string) int {
		return cmp.Or(cmp.Compare(len(a), len(b)), cmp.Compare(a, b))
	})
	for _, id := range numbers {
		p := v.Cluster.Peers[id]
		if p.Details == nil {
			fmt.Fprintf(w, "%s\t%s\tdoes not answer\t\t\t\t\t\t%s\n", id, p.URI, look(true))
			continue
		}
		d := p.Details
		role := cmp.Or(d.Role, "-")
		if !d.Voter {
			role += ", no vote"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%d\t%d\t%t\t%s\t%s\n", id, p.URI, role, d.Term, d.Commit, d.Pending, d.Ready, d.Version,
			look(d.Leader == nil || d.Thread.Status != "working"))
		if d.Thread.Err != "" {
			note("peer %s: consensus stands still: %s", id, d.Thread.Err)
		}
		events := d.Events
		if !all {
			events = events[max(0, len(events)-fewEvents):]
		}
		for _, e := range events {
			note("peer %s, %s: %s (shard %s)", id, e.At.Format(time.DateTime), e.Text, e.Shard)
		}
		for _, uri := range slices.Sorted(maps.Keys(d.Failures)) {
			note("peer %s cannot reach %s, %d times: %s", id, uri, d.Failures[uri].Count, d.Failures[uri].Latest)
		}
	}
	flush()
	for _, name := range slices.Sorted(maps.Keys(v.Collections)) {
		c := v.Collections[name]
		fmt.Fprintf(w, "\n%s: %d shards\nSHARD\tKEY\tTERM\tREPLICA\tSTATE\tIN SYNC\tPOINTS\tAPPLIED\tLAG\tVERIFIED\t\n", name, len(c.Shards))
		skipped := 0
		for i := range c.Shards {
			s := &c.Shards[i]
			if !all && i >= fewShards && !slices.ContainsFunc(s.Replicas, replicaView.odd) {
				skipped++
				continue
			}
			for j, r := range s.Replicas {
				if j > 0 {
					fmt.Fprint(w, "\t\t\t")
				} else {
					fmt.Fprintf(w, "%d\t%s\t%d\t", s.ID, s.Key, s.Term)
				}
				fmt.Fprintf(w, "%d%s\t%s\t%t\t%s\t%s\t%s\t%s\t%s\n", r.Peer, mark(r.Peer == s.Primary, " primary"), r.State, r.InSync,
					orDash(r.Points), orDash(r.Applied), r.lag(r.Peer == s.Primary), r.verified(), look(r.odd()))
				if r.Error != "" {
					note("shard %d on peer %d: %s", s.ID, r.Peer, r.Error)
				}
			}
		}
		if skipped > 0 {
			note("… %d healthy shards more (--all)", skipped)
		}
		for _, t := range c.Transfers {
			note("transfer of shard %d, %d → %d%s, %s: %s", t.Shard, t.From, t.To, mark(!t.Sync, " (moves)"), t.Method, cmp.Or(t.Comment, "-"))
		}
		flush()
	}
	return wrong, w.Flush()
}

// odd reports whether somebody should look at a replica.
func (r replicaView) odd() bool {
	return r.State != "Active" && r.State != "Listener" || !r.InSync || r.Error != "" || r.Alarms != nil && *r.Alarms > 0
}

func orDash(n *uint64) string {
	if n == nil {
		return "-"
	}
	return strconv.FormatUint(*n, 10)
}

func (r replicaView) lag(primary bool) string {
	switch {
	case primary:
		return "0"
	case r.Lag == nil:
		return "-"
	case *r.Lag == 0 || r.Behind == nil:
		return orDash(r.Lag)
	}
	return fmt.Sprintf("%d (%.1fs)", *r.Lag, *r.Behind)
}

func (r replicaView) verified() string {
	if r.Verified == nil {
		return "not yet"
	}
	return (time.Duration(*r.Verified) * time.Second).String() + " ago"
}

package rest

import (
	"net/http"
	"strconv"

	"github.com/sextantdb/sextant/internal/auth"
	"github.com/sextantdb/sextant/internal/telemetry"
)

// state is the node as the caller may see it.
func (c *call) state(a auth.Access) telemetry.State {
	n := c.h.node
	version, commit := n.Version()
	s := telemetry.State{
		ID: n.ID(), Peer: n.PeerID(), Version: version, Commit: commit, Started: n.Started(), Recovery: n.Recovery() != "",
		Settings: n.Settings(), Collections: n.Collections(a), Global: a.IsGlobal(),
	}
	if info, err := n.Cluster(a); err == nil && info.Enabled { // who may not see it is not told
		s.Cluster = &info
	}
	return s
}

// metrics answers Prometheus text to those who may read everything.
func (c *call) metrics() error {
	if err := c.access.GlobalRead(); err != nil {
		return err
	}
	return c.printMetrics(c.access)
}

// openMetrics is for the port that only has metrics.
func (c *call) openMetrics() error { return c.printMetrics(auth.All()) }

func (c *call) printMetrics(a auth.Access) error {
	if _, err := c.readOptions(); err != nil { // for its timeout
		return err
	}
	var o telemetry.MetricsOptions
	var err error
	if o.Anonymize, err = c.flag("anonymize", false); err != nil {
		return err
	}
	if o.PerCollection, err = c.flag("per_collection", false); err != nil {
		return err
	}
	c.send(http.StatusOK, "text/plain", []byte(telemetry.Metrics(c.state(a), c.h.recorder, o)))
	return nil
}

func (c *call) telemetry() error {
	if _, err := c.readOptions(); err != nil {
		return err
	}
	var o telemetry.ReportOptions
	var err error
	if o.Anonymize, err = c.flag("anonymize", false); err != nil {
		return err
	}
	if o.PerCollection, err = c.flag("per_collection", false); err != nil {
		return err
	}
	if level := c.query().Get("details_level"); level != "" {
		n, err := strconv.ParseUint(level, 10, 31)
		if err != nil {
			return badQuery("details_level: invalid digit found in string")
		}
		o.Level = int(n)
	}
	return c.value(telemetry.Report(c.state(c.access), c.h.recorder, o))
}

package rest

import (
	"context"
	"net/http"
	"time"

	"github.com/sextantdb/sextant"
)

// routes lists every operation of the API.
func routes() []*route {
	const (
		collection = "/collections/{collection_name}"
		points     = collection + "/points"
		shard      = collection + "/shards/{shard_id}"
	)
	list := []*route{
		{method: "GET", pattern: "/", do: (*call).root, open: true, quiet: true},
		{method: "GET", pattern: "/healthz", do: (*call).healthy, open: true, quiet: true, plain: true},
		{method: "GET", pattern: "/livez", do: (*call).healthy, open: true, quiet: true, plain: true},
		{method: "GET", pattern: "/readyz", do: (*call).ready, open: true, quiet: true, plain: true},
		{method: "GET", pattern: "/metrics", do: (*call).metrics, quiet: true, plain: true},
		{method: "GET", pattern: "/telemetry", do: (*call).telemetry, quiet: true},
		{method: "GET", pattern: "/issues", do: (*call).issues},
		{method: "DELETE", pattern: "/issues", do: (*call).clearIssues},

		{method: "GET", pattern: "/cluster", do: (*call).cluster},
		{method: "DELETE", pattern: "/cluster/peer/{peer_id}", do: (*call).removePeer},
		{method: "POST", pattern: "/cluster/recover", do: (*call).recoverConsensus},
		{method: "GET", pattern: "/cluster/metadata/keys", do: (*call).metadataKeys},
		{method: "GET", pattern: "/cluster/metadata/keys/{key}", do: (*call).metadata},
		{method: "PUT", pattern: "/cluster/metadata/keys/{key}", do: (*call).setMetadata},
		{method: "DELETE", pattern: "/cluster/metadata/keys/{key}", do: (*call).setMetadata},
		{method: "GET", pattern: "/cluster/telemetry", do: (*call).clusterTelemetry},
		{method: "POST", pattern: collection + "/cluster", do: (*call).changeCluster},
		{method: "PUT", pattern: collection + "/shards", do: (*call).createShardKey},
		{method: "POST", pattern: collection + "/shards/delete", do: (*call).dropShardKey},
		{method: "POST", pattern: shard + "/verify", do: (*call).verifyShard}, // our own

		{method: "GET", pattern: "/collections", do: (*call).listCollections},
		{method: "GET", pattern: collection, do: (*call).collectionInfo},
		{method: "PUT", pattern: collection, do: (*call).createCollection},
		{method: "PATCH", pattern: collection, do: (*call).patchCollection},
		{method: "DELETE", pattern: collection, do: (*call).deleteCollection},
		{method: "GET", pattern: collection + "/exists", do: (*call).collectionExists},
		{method: "GET", pattern: collection + "/aliases", do: (*call).collectionAliases},
		{method: "GET", pattern: collection + "/cluster", do: (*call).collectionCluster},
		{method: "GET", pattern: collection + "/shards", do: (*call).shardKeys},
		{method: "GET", pattern: collection + "/optimizations", do: (*call).optimizations},
		{method: "GET", pattern: collection + "/memory", do: (*call).memory},
		{method: "GET", pattern: "/aliases", do: (*call).aliases},
		{method: "POST", pattern: "/collections/aliases", do: (*call).updateAliases},
		{method: "PUT", pattern: collection + "/index", do: (*call).createIndex, measured: true},
		{method: "DELETE", pattern: collection + "/index/{field_name}", do: (*call).dropIndex, measured: true},
		{method: "PUT", pattern: collection + "/vectors/{vector_name}", do: (*call).createVector, measured: true},
		{method: "DELETE", pattern: collection + "/vectors/{vector_name}", do: (*call).dropVector, measured: true},

		{method: "PUT", pattern: points, do: update((*scanner).upsert)},
		{method: "POST", pattern: points, do: (*call).retrieve},
		{method: "GET", pattern: points + "/{id}", do: (*call).point},
		{method: "POST", pattern: points + "/delete", do: update((*scanner).deletePoints)},
		{method: "PUT", pattern: points + "/vectors", do: update((*scanner).updateVectors)},
		{method: "POST", pattern: points + "/vectors/delete", do: update((*scanner).deleteVectors)},
		{method: "POST", pattern: points + "/payload", do: update((*scanner).setPayload)},
		{method: "PUT", pattern: points + "/payload", do: update((*scanner).overwritePayload)},
		{method: "POST", pattern: points + "/payload/delete", do: update((*scanner).deletePayload)},
		{method: "POST", pattern: points + "/payload/clear", do: update((*scanner).clearPayload)},
		{method: "POST", pattern: points + "/batch", do: (*call).updateBatch},
		{method: "POST", pattern: points + "/scroll", do: (*call).scroll},
		{method: "POST", pattern: points + "/count", do: (*call).count},
		{method: "POST", pattern: points + "/query", do: (*call).runQuery},
		{method: "POST", pattern: points + "/query/batch", do: (*call).runQueryBatch},
		{method: "POST", pattern: points + "/search", do: (*call).runSearch},
		{method: "POST", pattern: points + "/search/batch", do: (*call).runSearchBatch},

		// One local shard, for tests and tools.
		{method: "POST", pattern: shard + "/points", do: (*call).retrieve},
		{method: "POST", pattern: shard + "/points/scroll", do: (*call).scroll},
		{method: "POST", pattern: shard + "/points/count", do: (*call).count},
		{method: "GET", pattern: shard + "/snapshot", do: (*call).streamSnapshot, plain: true},
	}
	for _, scope := range []string{"", collection, shard} { // "" is the whole storage, which is restored at start only
		list = append(list,
			&route{method: "POST", pattern: scope + "/snapshots", do: (*call).createSnapshot},
			&route{method: "GET", pattern: scope + "/snapshots", do: (*call).listSnapshots},
			&route{method: "GET", pattern: scope + "/snapshots/{snapshot_name}", do: (*call).downloadSnapshot, plain: true},
			&route{method: "DELETE", pattern: scope + "/snapshots/{snapshot_name}", do: (*call).deleteSnapshot},
		)
		if scope != "" {
			list = append(list,
				&route{method: "PUT", pattern: scope + "/snapshots/recover", do: (*call).recoverSnapshot},
				&route{method: "POST", pattern: scope + "/snapshots/upload", do: (*call).uploadSnapshot},
			)
		}
	}
	for _, missing := range [][2]string{
		{"POST", points + "/query/groups"},
		{"POST", points + "/search/groups"},
		{"POST", points + "/search/matrix/pairs"},
		{"POST", points + "/search/matrix/offsets"},
		{"POST", points + "/recommend"},
		{"POST", points + "/recommend/batch"},
		{"POST", points + "/recommend/groups"},
		{"POST", points + "/discover"},
		{"POST", points + "/discover/batch"},
		{"POST", collection + "/facet"},
		{"POST", shard + "/cleanup"},
		{"POST", shard + "/snapshot/partial/create"},
		{"GET", shard + "/snapshot/partial/manifest"},
		{"POST", shard + "/snapshot/partial/recover"},
		{"POST", shard + "/snapshot/partial/recover_from"},
		{"GET", "/quotas"},
		{"PUT", "/quotas"},
	} {
		list = append(list, &route{method: missing[0], pattern: missing[1], do: (*call).absent})
	}
	for _, r := range list {
		r.segments = split(r.pattern)
		r.measured = r.measured || len(r.segments) > 2 && r.segments[2] == "points"
	}
	return list
}

// absent answers for operations that are documented but not there yet.
func (c *call) absent() error {
	return sextant.Errorf(sextant.NotImplemented, "%s %s is not supported by this version", c.route.method, c.route.pattern)
}

func (c *call) root() error {
	version, commit := c.h.node.Version()
	b := appendString([]byte(`{"title":"sextant - vector search engine","version":`), version)
	if commit != "" {
		b = appendString(append(b, `,"commit":`...), commit)
	}
	c.send(http.StatusOK, jsonText, append(b, '}'))
	return nil
}

func (c *call) healthy() error { return c.text(http.StatusOK, "healthz check passed") }

// readyTime is how long a probe waits for the verdict.
const readyTime = 500 * time.Millisecond

func (c *call) ready() error {
	ctx, cancel := context.WithTimeout(c.r.Context(), readyTime)
	defer cancel()
	if c.h.node.AwaitReady(ctx) {
		return c.text(http.StatusOK, "all shards are ready")
	}
	return c.text(http.StatusServiceUnavailable, "some shards are not ready")
}

// issues lists what an operator should change; nothing is detected yet, which the API allows.
func (c *call) issues() error { return c.raw(`{"issues":[]}`) }

func (c *call) clearIssues() error {
	if err := c.access.GlobalManage(); err != nil {
		return err
	}
	return c.raw("true")
}

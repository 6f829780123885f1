package cluster

import (
	"testing"

	"github.com/sextantdb/sextant/test/process"
)

// Peers talk TLS with certificates of one authority. All files are replaced by those of another one while they run, as often as they
// are read: one that starts anew gets in.
func TestTLSBetweenPeers(t *testing.T) {
	dir := t.TempDir()
	cert, key, ca := process.NewAuthority(t).Issue(dir)
	c := &process.Cluster{Env: []string{"QDRANT__CLUSTER__P2P__ENABLE_TLS=true", "QDRANT__CLUSTER__P2P__CONNECTION_POOL_SIZE=3",
		"QDRANT__TLS__CERT=" + cert, "QDRANT__TLS__KEY=" + key, "QDRANT__TLS__CA_CERT=" + ca, "QDRANT__TLS__CERT_TTL=1"}}
	c.Form(t, 3)
	c.Create(t, "c", 2, 3)
	well(t, c, "c", 10)

	port := process.FreePort(t)
	join := []string{"--uri", at(port), "--bootstrap", c.URI(0)}
	startFails(t, process.Options{Args: join, Env: []string{on(port)}}, "join the cluster at "+c.URI(0)) // in clear text
	other := t.TempDir()
	foreign, foreignKey, foreignCA := process.NewAuthority(t).Issue(other)
	startFails(t, process.Options{Args: join, Env: []string{on(port), "QDRANT__CLUSTER__P2P__ENABLE_TLS=true", "QDRANT__TLS__CERT=" + foreign,
		"QDRANT__TLS__KEY=" + foreignKey, "QDRANT__TLS__CA_CERT=" + foreignCA}}, "join the cluster at "+c.URI(0), "certificate")
	startFails(t, process.Options{Args: join, Env: []string{on(port), "QDRANT__CLUSTER__P2P__ENABLE_TLS=true"}}, "cluster.p2p.enable_tls needs tls.cert and tls.key")

	process.NewAuthority(t).Issue(dir)
	for i := range 3 {
		c.Peer(i).Kill()
		c.Restart(t, i, false)
		process.Until(t, "the peer is back", func() bool { return c.Leader(i) != 0 })
	}
	well(t, c, "c", 12)
}

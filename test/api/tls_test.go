package api

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/sextantdb/sextant/test/process"
)

// HTTPS, with certificates of clients if that is asked for, and with certificate files that change (5.3).
func TestTLS(t *testing.T) {
	dir := t.TempDir()
	a := process.NewAuthority(t)
	cert, key, ca := a.Issue(dir)
	roots := x509.NewCertPool()
	roots.AddCert(a.Cert)

	get := func(s *process.Server, certs ...tls.Certificate) (*http.Response, error) {
		client := http.Client{Transport: &http.Transport{ForceAttemptHTTP2: true, DisableKeepAlives: true,
			TLSClientConfig: &tls.Config{RootCAs: roots, Certificates: certs}}, Timeout: 5 * time.Second}
		resp, err := client.Get(strings.Replace(s.URL, "http:", "https:", 1) + "/readyz")
		if err == nil {
			_, _ = io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
		}
		return resp, err
	}
	start := func(env ...string) *process.Server {
		s := process.Spawn(t, process.Options{Env: append(env, "QDRANT__SERVICE__ENABLE_TLS=true", "QDRANT__TLS__CERT="+cert,
			"QDRANT__TLS__KEY="+key, "QDRANT__TLS__CA_CERT="+ca, "QDRANT__TLS__CERT_TTL=1")})
		poll(t, "the server listens", func() bool { return strings.Contains(s.Log(), "msg=serving") })
		return s
	}
	server := start()
	resp, err := get(server)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != 200 || resp.ProtoMajor != 2 {
		t.Errorf("%s over %s", resp.Status, resp.Proto)
	}
	if resp, err := http.Get(server.URL + "/readyz"); err == nil && resp.StatusCode == 200 {
		t.Error("clear text is answered on the port for TLS")
	}

	serial := resp.TLS.PeerCertificates[0].SerialNumber
	a.Issue(dir)
	poll(t, "the new certificate is used", func() bool {
		resp, err := get(server)
		return err == nil && resp.TLS.PeerCertificates[0].SerialNumber.Cmp(serial) != 0
	})

	mutual := start("QDRANT__SERVICE__VERIFY_HTTPS_CLIENT_CERTIFICATE=true")
	if _, err := get(mutual); err == nil {
		t.Error("a client without a certificate came in")
	}
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := get(mutual, pair); err != nil {
		t.Error(err)
	}
}

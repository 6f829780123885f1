package api

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sextantdb/sextant/test/process"
)

// authority signs certificates for 127.0.0.1.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	a := &authority{t: t}
	var der []byte
	der, a.key = a.make(&x509.Certificate{IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign})
	a.cert, _ = x509.ParseCertificate(der)
	return a
}

func (a *authority) make(template *x509.Certificate) ([]byte, *ecdsa.PrivateKey) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	template.SerialNumber = big.NewInt(time.Now().UnixNano())
	template.Subject = pkix.Name{CommonName: "test"}
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	template.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1)}
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		a.t.Fatal(err)
	}
	return der, key
}

// issue writes a certificate and its key as PEM files.
func (a *authority) issue(dir string) (cert, key string) {
	der, private := a.make(&x509.Certificate{ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}})
	raw, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		a.t.Fatal(err)
	}
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	a.write(cert, "CERTIFICATE", der)
	a.write(key, "PRIVATE KEY", raw)
	return cert, key
}

func (a *authority) write(file, kind string, der []byte) {
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		a.t.Fatal(err)
	}
}

// HTTPS, with certificates of clients if that is asked for, and with certificate files that change (5.3).
func TestTLS(t *testing.T) {
	dir := t.TempDir()
	a := newAuthority(t)
	cert, key := a.issue(dir)
	ca := filepath.Join(dir, "ca.pem")
	a.write(ca, "CERTIFICATE", a.cert.Raw)
	roots := x509.NewCertPool()
	roots.AddCert(a.cert)

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
	a.issue(dir)
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

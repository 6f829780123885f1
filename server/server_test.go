package server

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func ptr[T any](v T) *T { return &v }

func testConfig(t *testing.T) Config {
	t.Helper()
	cfg := DefaultConfig()
	dir := t.TempDir()
	cfg.Storage.StoragePath, cfg.Storage.SnapshotsPath = filepath.Join(dir, "storage"), filepath.Join(dir, "snapshots")
	cfg.Service.Host, cfg.Service.HTTPPort = "127.0.0.1", 0
	return cfg
}

func start(t *testing.T, cfg Config) *Server {
	t.Helper()
	s, err := Start(context.Background(), cfg, Parts{Log: slog.New(slog.DiscardHandler), Commit: strings.Repeat("a", 40)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return s
}

func get(t *testing.T, client *http.Client, address string) (int, string) {
	t.Helper()
	answer, err := client.Get(address)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(body)
}

func TestServeAndStop(t *testing.T) {
	cfg := testConfig(t)
	s := start(t, cfg)
	base := "http://" + s.Addr().String()
	if status, body := get(t, http.DefaultClient, base+"/"); status != 200 || !strings.Contains(body, APIVersion) || !strings.Contains(body, "aaaa") {
		t.Error(status, body)
	}
	if _, err := Start(t.Context(), cfg, Parts{Log: slog.New(slog.DiscardHandler)}); err == nil || !strings.Contains(err.Error(), "in use by another process") {
		t.Error("a second server on the same directory:", err)
	}
	// A request whose body never ends does not hold the stop.
	conn, err := net.Dial("tcp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "PUT /collections/c HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{"); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	if err := s.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if took := time.Since(begin); took > stopTime {
		t.Errorf("the stop took %v", took)
	}
	if _, err := http.Get(base + "/"); err == nil {
		t.Error("still serving")
	}
	start(t, cfg) // the directory is free again
}

func TestPortInUse(t *testing.T) {
	cfg := testConfig(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	cfg.Service.HTTPPort = uint16(l.Addr().(*net.TCPAddr).Port)
	if _, err := Start(t.Context(), cfg, Parts{Log: slog.New(slog.DiscardHandler)}); err == nil {
		t.Error("two servers on one port")
	}
}

// authority signs certificates for tests.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  []byte
}

func newAuthority(t *testing.T) authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return authority{cert, key, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})}
}

func (a authority) issue(t *testing.T, serial int64) (cert, key []byte) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(serial), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &k.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalECPrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: raw})
}

// HTTPS with client certificates; new files are taken up without a restart.
func TestTLS(t *testing.T) {
	cfg := testConfig(t)
	dir := t.TempDir()
	file := func(name string, data []byte) *string {
		full := filepath.Join(dir, name)
		if err := os.WriteFile(full, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return &full
	}
	ca := newAuthority(t)
	cert, key := ca.issue(t, 2)
	cfg.TLS.Cert, cfg.TLS.Key, cfg.TLS.CACert = file("cert.pem", cert), file("key.pem", key), file("ca.pem", ca.pem)
	cfg.Service.EnableTLS, cfg.Service.VerifyHTTPSClientCertificate = true, true
	cfg.TLS.CertTTL = ptr(uint64(1))
	s := start(t, cfg)
	roots := x509.NewCertPool()
	roots.AddCert(ca.cert)
	client := func(by *authority) *http.Client {
		conf := &tls.Config{RootCAs: roots}
		if by != nil {
			c, k := by.issue(t, 9)
			pair, err := tls.X509KeyPair(c, k)
			if err != nil {
				t.Fatal(err)
			}
			conf.Certificates = []tls.Certificate{pair}
		}
		return &http.Client{Transport: &http.Transport{TLSClientConfig: conf, ForceAttemptHTTP2: true, DisableKeepAlives: true}}
	}
	address := "https://" + s.Addr().String() + "/"
	serial := func() int64 {
		answer, err := client(&ca).Get(address)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if answer.ProtoMajor != 2 {
			t.Error("not HTTP/2 but", answer.Proto)
		}
		return answer.TLS.PeerCertificates[0].SerialNumber.Int64()
	}
	if serial() != 2 {
		t.Error("another certificate")
	}
	stranger := newAuthority(t)
	for _, c := range []*http.Client{client(nil), client(&stranger)} {
		if _, err := c.Get(address); err == nil {
			t.Error("a client without a good certificate was served")
		}
	}
	cert, key = ca.issue(t, 3)
	file("cert.pem", cert)
	file("key.pem", key)
	for deadline := time.Now().Add(10 * time.Second); serial() != 3; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("new files are not taken up")
		}
	}
}

func TestMetricsPort(t *testing.T) {
	cfg := testConfig(t)
	cfg.Service.APIKey = ptr("secret")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	cfg.Service.MetricsPort = ptr(uint16(l.Addr().(*net.TCPAddr).Port))
	l.Close()
	s := start(t, cfg)
	if status, _ := get(t, http.DefaultClient, "http://"+s.Addr().String()+"/metrics"); status != http.StatusUnauthorized {
		t.Error("metrics without a key:", status)
	}
	if status, body := get(t, http.DefaultClient, "http://"+l.Addr().String()+"/metrics"); status != 200 || !strings.Contains(body, "app_info") {
		t.Error(status, body)
	}
	if status, _ := get(t, http.DefaultClient, "http://"+l.Addr().String()+"/collections"); status < 400 {
		t.Error("the metrics port answers more than metrics:", status)
	}
}

// What was asked for and is not there is told, the defaults are not.
func TestUnservedSettings(t *testing.T) {
	cfg := DefaultConfig()
	if got := unserved(cfg); len(got) > 0 {
		t.Error(got)
	}
	cfg.Audit.Enabled, cfg.Service.GRPCPort = true, ptr(uint16(1))
	if got := unserved(cfg); len(got) != 2 || got[0] != "audit.enabled" {
		t.Error(got)
	}
}

func TestLogLevels(t *testing.T) {
	f := func(s string, want slog.Level, known bool) {
		t.Helper()
		if got, ok := parseLevel(s); got != want || ok != known {
			t.Errorf("%q: %v %v", s, got, ok)
		}
	}
	f("INFO", slog.LevelInfo, true)
	f("TRACE,raft::raft=info,hyper=warn", slog.LevelDebug, true)
	f("raft=debug", slog.LevelInfo, true)
	f("warn", slog.LevelWarn, true)
	f("off", levelOff, true)
	f("loud", slog.LevelInfo, false)
	var out bytes.Buffer
	cfg := DefaultConfig()
	cfg.Logger.Format = "json"
	own := filepath.Join(t.TempDir(), "log")
	cfg.Logger.OnDisk.Enabled, cfg.Logger.OnDisk.LogFile, cfg.Logger.OnDisk.LogLevel = true, &own, ptr("ERROR")
	log, err := NewLogger(cfg, &out)
	if err != nil {
		t.Fatal(err)
	}
	log.Info("one")
	log.Error("two")
	data, err := os.ReadFile(own)
	if err != nil || strings.Contains(string(data), "one") || !strings.Contains(string(data), "msg=two") || strings.Count(out.String(), "\n") != 2 {
		t.Errorf("%s\n%s %v", out.String(), data, err)
	}
}

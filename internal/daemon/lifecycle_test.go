package daemon_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stenolog/steno/api/wire"
	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/internal/daemon"
	"github.com/stenolog/steno/log/tiles"
	"github.com/stenolog/steno/storage"
)

// Everything that was answered 200 before or during a shutdown is in the log, every request gets an answer, and the log goes
// on afterwards.
func TestACKED_shutdownUnderLoad(t *testing.T) {
	s := start(t)
	var mu sync.Mutex
	acked := make(map[uint64]entry.Hash)
	started := make(chan struct{}, 8)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for n := 0; ; n++ {
				body := fmt.Sprintf(`{"agent":"acme/bot-%d","privilege":"financial"}`, i)
				req := must(http.NewRequest("POST", "http://"+s.addrs.Ingest+"/v1/sessions", strings.NewReader(body)))
				req.Header.Set("Authorization", "Bearer "+s.tokens["gw"])
				req.Header.Set("Content-Type", "application/json")
				resp, err := http.DefaultClient.Do(req)
				if err != nil {
					return // the listener is closed
				}
				b, err := io.ReadAll(resp.Body)
				resp.Body.Close()
				if err != nil {
					t.Errorf("an answer broke off: %v", err)
					return
				}
				if resp.StatusCode != 201 {
					return
				}
				var a wire.Answer
				(&response{resp, b}).json(t, &a)
				mu.Lock()
				acked[a.Receipts[0].Index] = a.Receipts[0].Hash
				mu.Unlock()
				if n == 0 {
					started <- struct{}{}
				}
			}
		})
	}
	for range 8 {
		<-started
	}
	if err := s.stop(); err != nil {
		t.Errorf("shutdown: %v", err)
	}
	wg.Wait()
	again := s.serve()
	size := again.health()
	for index, hash := range acked {
		if got := again.leafAt(index, size).Hash(); got != hash {
			t.Fatalf("ACKED: entry %d has hash %s, acknowledged was %s", index, got, hash)
		}
	}
}

// leafAt reads a leaf out of its bundle, as an auditor does.
func (s *server) leafAt(index, size uint64) *entry.Entry {
	s.t.Helper()
	width := min(256, size-index/256*256) % 256
	b := s.get(s.addrs.Audit, "/"+tiles.BundlePath(index/256, uint8(width)), "examiner").body
	for range index % 256 {
		b = b[2+int(binary.BigEndian.Uint16(b)):]
	}
	return must(entry.Parse(b[2 : 2+int(binary.BigEndian.Uint16(b))]))
}

func TestRun_refusesASecondOne(t *testing.T) {
	s := start(t)
	err := daemon.Run(t.Context(), s.config, daemon.Options{Ready: func(daemon.Addrs) { t.Error("two servers on one log") }})
	if !errors.Is(err, storage.ErrLocked) || !strings.Contains(err.Error(), "way out") {
		t.Errorf("got %v", err)
	}
	if _, err := daemon.Init(t.Context(), s.config); !errors.Is(err, storage.ErrLocked) {
		t.Errorf("init beside a server: %v", err)
	}
}

func TestRun_listenerTaken(t *testing.T) {
	d := deploy(t)
	if _, err := daemon.Init(t.Context(), d.config); err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	d.config.Listen.Audit.Address = ln.Addr().String()
	err = daemon.Run(t.Context(), d.config, daemon.Options{Ready: func(daemon.Addrs) { t.Error("ready without its listener") }})
	if err == nil || !strings.Contains(err.Error(), "listen.audit") {
		t.Errorf("got %v", err)
	}
	d.config.Listen.Audit.Address = "127.0.0.1:0"
	d.serve() // everything was released
}

func TestTLS(t *testing.T) {
	d := deploy(t)
	pool := d.certificate()
	d.config.Listen.Ingest.TLS = daemon.TLS{Certificate: d.path("tls.pem"), Key: d.path("tls.key")}
	if _, err := daemon.Init(t.Context(), d.config); err != nil {
		t.Fatal(err)
	}
	s := d.serve()
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, ForceAttemptHTTP2: true}}
	defer client.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	req := must(http.NewRequestWithContext(ctx, "POST", "https://"+s.addrs.Ingest+"/v1/sessions", strings.NewReader(`{"agent":"acme/bot","privilege":"financial"}`)))
	req.Header.Set("Authorization", "Bearer "+s.tokens["gw"])
	req.Header.Set("Content-Type", "application/json")
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != 201 || resp.ProtoMajor != 2 {
		t.Errorf("%s over %s", resp.Status, resp.Proto)
	}
	plain := s.raw(s.addrs.Ingest, "GET /checkpoint HTTP/1.1\r\nHost: s\r\n\r\n", false)
	if plain.StatusCode != 400 {
		t.Errorf("plain HTTP on a TLS listener: %d", plain.StatusCode)
	}
}

func (d *deployment) certificate() *x509.CertPool {
	d.t.Helper()
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true}
	der := must(x509.CreateCertificate(rand.Reader, template, template, key.Public(), key))
	write(d.t, d.path("tls.pem"), string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), 0o644)
	write(d.t, d.path("tls.key"), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: must(x509.MarshalPKCS8PrivateKey(key))})), 0o600)
	pool := x509.NewCertPool()
	pool.AddCert(must(x509.ParseCertificate(der)))
	return pool
}

//go:build linux

package peers

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"

	"github.com/stenolog/steno/internal/need"
)

// SigstoreVersion is that of sigstore's timestamp-server. The next wants a newer Go.
const SigstoreVersion = "v2.1.3"

// A TimeAuthority is a time-stamp authority (RFC 3161) that runs.
type TimeAuthority struct {
	URL     string
	Anchors []*x509.Certificate // what a verifier pins
	Policy  string              // what its tokens are made under
}

// PEM is its anchors.
func (a TimeAuthority) PEM() []byte {
	var b bytes.Buffer
	for _, c := range a.Anchors {
		b.Write(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}))
	}
	return b.Bytes()
}

// DER is its anchors.
func (a TimeAuthority) DER() (list [][]byte) {
	for _, c := range a.Anchors {
		list = append(list, c.Raw)
	}
	return list
}

// StartSigstoreAuthority runs sigstore's timestamp-server, with keys that it makes for itself. It serves metrics at one port that
// can't be chosen, so that a machine has room for one: tests that want it wait for each other, and one test can have one.
func StartSigstoreAuthority(t testing.TB) TimeAuthority {
	t.Helper()
	bin := program(t, "timestamp-server", SigstoreVersion, install("github.com/sigstore/timestamp-authority/v2/cmd/timestamp-server", SigstoreVersion))
	lock, err := os.OpenFile(bin+".running", os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { lock.Close() }) // after the process has ended, which is cleaned up first
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	p, addr := serve(t, func(addr string) *exec.Cmd {
		host, port := splitAddr(t, addr)
		return exec.Command(bin, "serve", "--host", host, "--port", port, "--timestamp-signer", "memory", "--disable-ntp-monitoring",
			"--include-chain-in-response")
	})
	base := "http://" + addr + "/api/v1/timestamp"
	resp, err := http.Get(base + "/certchain")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("the chain of timestamp-server: %s, %v\n%s", resp.Status, err, p.Output())
	}
	chain := certificates(t, b)
	return TimeAuthority{base, chain[len(chain)-1:], "1.3.6.1.4.1.57264.2"}
}

const opensslPolicy = "1.3.6.1.4.1.32473.1"

// tsaConfig has a directory and a hash to be filled in.
const tsaConfig = `
[req]
distinguished_name = dn
prompt = no
[dn]
CN = OpenSSL test root
[root]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign
[signer]
basicConstraints = CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = critical, timeStamping
[tsa]
default_tsa = ours
[ours]
serial = %[1]s/serial
signer_cert = %[1]s/signer.pem
certs = %[1]s/root.pem
signer_key = %[1]s/signer.key
signer_digest = sha256
default_policy = ` + opensslPolicy + `
digests = sha256
accuracy = secs:1, millisecs:500
ordering = no
tsa_name = yes
ess_cert_id_chain = no
ess_cert_id_alg = %[2]s
`

// StartOpenSSLAuthority runs `openssl ts` behind an HTTP server, with an RSA key, binding its certificate by ESSCertIDv2.
func StartOpenSSLAuthority(t testing.TB) TimeAuthority { return startOpenSSL(t, "sha256") }

// StartOldOpenSSLAuthority binds its certificate by ESSCertID, as authorities before RFC 5816 do.
func StartOldOpenSSLAuthority(t testing.TB) TimeAuthority { return startOpenSSL(t, "sha1") }

func startOpenSSL(t testing.TB, essAlgorithm string) TimeAuthority {
	t.Helper()
	openssl, dir := need.Program(t, "openssl"), t.TempDir()
	run := func(args ...string) {
		t.Helper()
		cmd := exec.Command(openssl, args...)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("openssl %v: %v\n%s", args, err, out)
		}
	}
	write(t, filepath.Join(dir, "tsa.cnf"), fmt.Sprintf(tsaConfig, dir, essAlgorithm))
	write(t, filepath.Join(dir, "serial"), "01\n")
	run("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "root.key", "-out", "root.pem", "-days", "3650", "-config", "tsa.cnf", "-extensions", "root")
	run("req", "-newkey", "rsa:2048", "-nodes", "-keyout", "signer.key", "-out", "signer.csr", "-subj", "/O=OpenSSL/CN=OpenSSL test authority", "-config", "tsa.cnf")
	run("x509", "-req", "-in", "signer.csr", "-CA", "root.pem", "-CAkey", "root.key", "-CAcreateserial", "-out", "signer.pem", "-days", "3650",
		"-extfile", "tsa.cnf", "-extensions", "signer")
	var mu sync.Mutex // openssl counts in a file
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		query, err := io.ReadAll(r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		cmd := exec.Command(openssl, "ts", "-reply", "-config", "tsa.cnf", "-section", "ours", "-queryfile", "/dev/stdin")
		cmd.Dir, cmd.Stdin = dir, bytes.NewReader(query)
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		reply, err := cmd.Output()
		if err != nil {
			http.Error(w, fmt.Sprintf("openssl ts -reply: %v\n%s", err, stderr.String()), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/timestamp-reply")
		w.Write(reply) //nolint:errcheck // the client may be gone
	}))
	t.Cleanup(server.Close)
	root, err := os.ReadFile(filepath.Join(dir, "root.pem"))
	if err != nil {
		t.Fatal(err)
	}
	return TimeAuthority{server.URL, certificates(t, root), opensslPolicy}
}

func certificates(t testing.TB, text []byte) (list []*x509.Certificate) {
	t.Helper()
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, c)
	}
	if len(list) == 0 {
		t.Fatalf("no certificate in PEM:\n%s", text)
	}
	return list
}

func splitAddr(t testing.TB, addr string) (host, port string) {
	t.Helper()
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	return host, port
}

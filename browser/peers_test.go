package browser_test

import (
	"bytes"
	crand "crypto/rand"
	"crypto/sha256"
	"encoding/pem"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stenolog/steno/internal/need"
	"github.com/stenolog/steno/timestamp"
)

// opensslConfig has the hash of the signature and that of the ESSCertID to be filled in.
const opensslConfig = `
[req]
distinguished_name = dn
prompt = no
[dn]
CN = OpenSSL test root
[root]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign
[between]
basicConstraints = critical, CA:TRUE, pathlen:0
keyUsage = critical, keyCertSign
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid, issuer
certificatePolicies = 1.2.3, @policy
crlDistributionPoints = URI:http://example.com/root.crl
authorityInfoAccess = OCSP;URI:http://example.com/ocsp
[policy]
policyIdentifier = 1.2.4
CPS.1 = http://example.com/cps
[signer]
basicConstraints = CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = critical, timeStamping
subjectAltName = URI:https://example.com/tsa, DNS:tsa.example.com, otherName:1.2.3;UTF8:x
[tsa]
default_tsa = ours
[ours]
serial = serial
signer_cert = signer.pem
certs = between.pem
signer_key = signer.key
signer_digest = %s
default_policy = 1.3.6.1.4.1.32473.1
digests = sha256
accuracy = secs:1, millisecs:500, microsecs:100
clock_precision_digits = 6
ordering = yes
tsa_name = yes
ess_cert_id_chain = no
ess_cert_id_alg = %s
`

// opensslStamp is a token that openssl makes with a fresh key, with the root pinned.
func opensslStamp(t *testing.T, digest, ess string, newkey ...string) stamp {
	t.Helper()
	openssl, dir := need.Program(t, "openssl"), t.TempDir()
	run := func(args string) {
		t.Helper()
		cmd := exec.Command(openssl, strings.Fields(strings.Replace(args, "NEWKEY", strings.Join(newkey, " "), 1))...)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("openssl %v: %v\n%s", args, err, out)
		}
	}
	write := func(name string, b []byte) {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	read := func(name string) []byte {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	write("tsa.cnf", fmt.Appendf(nil, opensslConfig, digest, ess))
	write("serial", []byte("01\n"))
	run("req -x509 NEWKEY -nodes -keyout root.key -out root.pem -days 3650 -config tsa.cnf -extensions root")
	for _, c := range [][2]string{{"between", "root"}, {"signer", "between"}} {
		run("req NEWKEY -nodes -keyout " + c[0] + ".key -out csr -config tsa.cnf -subj /O=OpenSSL/CN=" + c[0])
		run("x509 -req -in csr -CA " + c[1] + ".pem -CAkey " + c[1] + ".key -CAcreateserial -out " + c[0] + ".pem -days 3650 -extfile tsa.cnf -extensions " + c[0])
	}
	of := sha256.Sum256([]byte("a note"))
	request, err := timestamp.NewRequest(of, crand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	write("query", request.DER)
	run("ts -reply -config tsa.cnf -queryfile query -out response")
	token, err := request.Token(read("response"))
	if err != nil {
		t.Fatal(err)
	}
	root, _ := pem.Decode(read("root.pem"))
	return stamp{strings.Join(newkey, " ") + " " + digest + " " + ess, token, of, timestamp.Authority{
		Name: "openssl", Anchors: [][]byte{root.Bytes}, From: time.Now().AddDate(-1, 0, 0), Until: time.Now().AddDate(1, 0, 0), Accuracy: 2 * time.Second,
	}}
}

// TestPINNED_opensslsTokensSayTheSame, also with some bits flipped.
func TestPINNED_opensslsTokensSayTheSame(t *testing.T) {
	rsa, ec := []string{"-newkey", "rsa:2048"}, []string{"-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-384"}
	good := []stamp{opensslStamp(t, "sha256", "sha256", rsa...), opensslStamp(t, "sha512", "sha1", rsa...), opensslStamp(t, "sha384", "sha384", ec...)}
	stamps := good
	for _, s := range good {
		for i := 0; i < len(s.token); i += 3 {
			flipped := s
			flipped.name, flipped.token = fmt.Sprintf("%s, byte %d", s.name, i), bytes.Clone(s.token)
			flipped.token[i] ^= 1 << (i % 8)
			stamps = append(stamps, flipped)
		}
	}
	if seen := sameJudgements(t, stamps); seen[""] != len(good) || seen[notChecked] > 0 {
		t.Errorf("they say %v, want %d to count", seen, len(good))
	}
}

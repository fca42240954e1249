//go:build linux

package peers

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"filippo.io/torchwood"
	f_note "github.com/transparency-dev/formats/note"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
	"golang.org/x/mod/sumdb/note"
	_ "modernc.org/sqlite" // the driver
)

// Versions of the witnesses.
const (
	LitewitnessVersion = "v0.9.0"
	OmniwitnessVersion = "v0.0.0-20260720115447-2e1c6971d19e"
)

// A Witness runs.
type Witness struct {
	*process
	URL   string
	VKeys []string
}

// StartLitewitness runs torchwood's witness for logs with these verifier keys. Keys with one name are keys of one log.
func StartLitewitness(t testing.TB, name string, logs ...string) *Witness {
	t.Helper()
	bin := program(t, "litewitness", LitewitnessVersion, install("filippo.io/torchwood/cmd/litewitness", LitewitnessVersion))
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	cosigner, err := torchwood.NewCosignatureSigner(name, key)
	if err != nil {
		t.Fatal(err)
	}
	db := filepath.Join(t.TempDir(), "litewitness.db")
	if err := litewitnessDB(db, logs); err != nil {
		t.Fatal(err)
	}
	socket, fingerprint := sshAgent(t, key)
	p, addr := serve(t, func(addr string) *exec.Cmd {
		return exec.Command(bin, "-name", name, "-db", db, "-ssh-agent", socket, "-key", fingerprint, "-listen", addr)
	})
	return &Witness{p, "http://" + addr, []string{cosigner.Verifier().String()}}
}

// litewitnessDB tells litewitness about logs. Its own way is witnessctl, of the same module, which needs one more (sigsum-go) that
// the module proxy does not have.
func litewitnessDB(path string, logs []string) (err error) {
	db, err := sql.Open("sqlite", path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if _, err := db.Exec(`
		CREATE TABLE log (origin TEXT PRIMARY KEY, tree_size INTEGER NOT NULL, tree_hash TEXT NOT NULL);
		CREATE TABLE key (origin TEXT NOT NULL, key TEXT NOT NULL, FOREIGN KEY(origin) REFERENCES log(origin));`); err != nil {
		return err
	}
	empty := sha256.Sum256(nil)
	for _, vkey := range logs {
		origin, _, _ := strings.Cut(vkey, "+")
		if _, err := db.Exec("INSERT OR IGNORE INTO log VALUES (?, 0, ?)", origin, base64.StdEncoding.EncodeToString(empty[:])); err != nil {
			return err
		}
		if _, err := db.Exec("INSERT INTO key VALUES (?, ?)", origin, vkey); err != nil {
			return err
		}
	}
	return nil
}

// sshAgent serves a key over the ssh-agent protocol, as the program of that name would.
func sshAgent(t testing.TB, key ed25519.PrivateKey) (socket, fingerprint string) {
	t.Helper()
	ring := agent.NewKeyring()
	if err := ring.Add(agent.AddedKey{PrivateKey: &key}); err != nil {
		t.Fatal(err)
	}
	public, err := ssh.NewPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "agent-") // t.TempDir may be too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	socket = filepath.Join(dir, "s")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				agent.ServeAgent(ring, conn) //nolint:errcheck // it ends with the peer
			}()
		}
	}()
	return socket, ssh.FingerprintSHA256(public)
}

// StartOmniwitness runs transparency-dev's witness, with an Ed25519 and an ML-DSA-44 key. It knows one key a log: of keys with one
// name it is told the first.
func StartOmniwitness(t testing.TB, name string, logs ...string) *Witness {
	t.Helper()
	bin := program(t, "omniwitness", OmniwitnessVersion, install("github.com/transparency-dev/witness/cmd/omniwitness", OmniwitnessVersion))
	dir := t.TempDir()
	vkeys, args := omniwitnessKeys(t, dir, name)
	var yaml strings.Builder
	yaml.WriteString("Logs:\n")
	var told []string
	for _, vkey := range logs {
		origin, _, _ := strings.Cut(vkey, "+")
		if slices.Contains(told, origin) {
			continue
		}
		told = append(told, origin)
		fmt.Fprintf(&yaml, "  - Origin: %s\n    PublicKey: %s\n    URL: http://log.invalid/\n", origin, vkey)
	}
	file := filepath.Join(dir, "logs.yaml")
	write(t, file, yaml.String())
	p, addr := serve(t, func(addr string) *exec.Cmd {
		return exec.Command(bin, append(args, "--db_file", filepath.Join(dir, "omniwitness.db"), "--additional_logs", file,
			"--metrics_listen", "", "--listen", addr, "--logtostderr")...)
	})
	return &Witness{p, "http://" + addr, vkeys}
}

func omniwitnessKeys(t testing.TB, dir, name string) (vkeys, args []string) {
	t.Helper()
	skey, vkey, err := note.GenerateKey(rand.Reader, name)
	if err != nil {
		t.Fatal(err)
	}
	if vkey, err = f_note.VKeyToCosignatureV1(vkey); err != nil {
		t.Fatal(err)
	}
	pqSkey, pqVkey, err := f_note.GenerateMLDSAKey(name)
	if err != nil {
		t.Fatal(err)
	}
	for i, k := range []string{skey, pqSkey} {
		file := filepath.Join(dir, fmt.Sprintf("key%d", i))
		write(t, file, k)
		args = append(args, "--private_key_path", file)
	}
	return []string{vkey, pqVkey}, args
}

func write(t testing.TB, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

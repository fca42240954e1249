package evidence_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/binary"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"hash/crc32"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stenolog/steno/evidence"
	. "github.com/stenolog/steno/evidence/evidencetest"
	"github.com/stenolog/steno/internal/need"
	"github.com/stenolog/steno/timestamp/authority"
)

func TestWitnessesAreASecondBracket(t *testing.T) {
	w := newTimed(t, Options{Witnesses: 3, Quorum: 2})
	r := verify(t, w.bundle(), w.Trust)
	want(t, r, evidence.ExitVerified, "", "")
	got := r.Sessions[0].Time.Witnessed
	second := func(at time.Time) string { return at.UTC().Format(time.RFC3339) }
	if got == nil || got.NotBefore == nil || got.NotAfter == nil || got.NotBefore.Size != 1 || got.NotBefore.Time != second(rounds[0]) || got.NotAfter.Size != w.last+1 {
		t.Fatalf("%+v", got)
	}
	if got.NotAfter.Time != second(rounds[1]) || r.Sessions[0].Time.Contradiction != nil {
		t.Errorf("not after: %+v", got.NotAfter)
	}
	alone := verify(t, w.without(slices.Concat(w.rounds[0], w.rounds[1], w.rounds[2])...), w.TrustPinning(0))
	want(t, alone, evidence.ExitVerified, "", "")
	if got := alone.Sessions[0].Time.Witnessed; got == nil || got.NotBefore != nil || got.NotAfter == nil || got.NotAfter.Size != uint64(len(w.Leaves)) {
		t.Errorf("by the file's checkpoint alone: %+v", got)
	}
}

// TestOneKeyHasOneVoice: an authority is pinned twice, by certificates of two roots over the key with which it signs; or by a root,
// and by an authority two steps below it.
func TestOneKeyHasOneVoice(t *testing.T) {
	l, r := newLog(t)
	from, until := day("2006-01-01"), day("2010-01-01")
	one := NewAuthority(t, "one.example", from, until)
	serial := int64(0)
	issue := func(ca bool, parent *x509.Certificate, public, by any) *x509.Certificate {
		serial++
		c := &x509.Certificate{SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: fmt.Sprint("c", serial)}, NotBefore: from, NotAfter: until,
			BasicConstraintsValid: true, IsCA: ca, KeyUsage: x509.KeyUsageDigitalSignature}
		if ca {
			c.KeyUsage = x509.KeyUsageCertSign
		} else {
			c.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 37}, Critical: true,
				Value: Must(asn1.Marshal([]asn1.ObjectIdentifier{{1, 3, 6, 1, 5, 5, 7, 3, 8}}))(t)}}
		}
		if parent == nil {
			parent = c
		}
		return Must(x509.ParseCertificate(Must(x509.CreateCertificate(rand.Reader, c, parent, public, by))(t)))(t)
	}
	key := func() *ecdsa.PrivateKey { return Must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(t) }
	rootKey, middleKey, lowKey, signerKey := key(), key(), key(), key()
	root := issue(true, nil, rootKey.Public(), rootKey)
	pinned := func(name string, by crypto.Signer, chain ...*x509.Certificate) *Authority {
		a := NewAuthority(t, name, from, until)
		a.Material, a.Anchors = authority.Material{Key: by, Chain: chain}, [][]byte{chain[len(chain)-1].Raw}
		return a
	}
	again := pinned("two.example", one.Material.Key, issue(false, root, one.Material.Key.Public(), rootKey), root)
	middle := issue(true, root, middleKey.Public(), rootKey)
	low := issue(true, middle, lowKey.Public(), middleKey)
	high := pinned("high.example", signerKey, issue(false, low, signerKey.Public(), lowKey), low, middle, root)
	other := key()
	below := pinned("low.example", other, issue(false, low, other.Public(), lowKey), low)
	for _, two := range [][]*Authority{{one, again}, {high, below}} {
		main := l.Open(SessionID(int(serial)+len(l.Leaves)), "bot", r)
		main.CloseOnly()
		l.Anchor(rounds[1], two...)
		slices.SortFunc(two, func(a, b *Authority) int { return strings.Compare(a.Name, b.Name) })
		report := verify(t, l.Evidence(main.ID), l.TrustPinning(2, two...))
		want(t, report, evidence.ExitPolicy, evidence.CheckTime, "")
		if got := report.Sessions[0].Time; len(got.Authorities) != 1 || got.NotAfter != nil {
			t.Errorf("one key is %q, and bounds by %+v", got.Authorities, got.NotAfter)
		}
	}
}

// TestTheReadmesCommands runs what README.txt says, with openssl and the tools of any Unix.
func TestTheReadmesCommands(t *testing.T) {
	openssl, python := need.Program(t, "openssl"), need.Program(t, "python3")
	w := newTimed(t, Options{})
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "e.zip"), write(t, w.HandOver(w.bundle(), Custody())), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "AUTHORITY.pem"), w.one.Material.PEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	run := func(name string, args ...string) string {
		cmd := exec.Command(name, args...)
		cmd.Dir, cmd.Env = dir, append(os.Environ(), "PATH="+filepath.Dir(openssl)+":"+os.Getenv("PATH"), "TZ=UTC")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%s %s: %v\n%s", name, args, err, out)
		}
		return string(out)
	}
	run(python, "-m", "zipfile", "-e", "e.zip", ".")
	n := fmt.Sprintf("%020d", w.rounds[1][0])
	var outs []string
	for line := range strings.Lines(evidence.ReadmeText) {
		command, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "    ")
		if !ok || strings.HasPrefix(command, "steno-verify") {
			continue
		}
		command = strings.NewReplacer("/N", "/"+n, "SECONDS", fmt.Sprint(rounds[1].Unix())).Replace(command)
		outs = append(outs, run("sh", "-c", command))
	}
	if len(outs) != 7 {
		t.Fatalf("%d commands", len(outs))
	}
	for i, of := range map[int]string{0: "custody record", 2: "note"} {
		if sum := outs[i][:64]; sum != strings.NewReplacer(" ", "", "\n", "").Replace(outs[i+1]) {
			t.Errorf("the %s's hash is %s, the leaf's %s", of, sum, outs[i+1])
		}
	}
	if !strings.Contains(outs[5], "Mar  2 00:00:00 2008") || !strings.Contains(outs[6], "Verification: OK") {
		t.Errorf("%s\n%s", outs[5], outs[6])
	}
}

func TestEverySingleBitOfABundleWithAnchorsCounts(t *testing.T) {
	l, r := newLog(t)
	one, two := NewAuthority(t, "one.example", day("2006-01-01"), day("2010-01-01")), NewAuthority(t, "two.example", day("2006-01-01"), day("2010-01-01"))
	l.Pin(2, one, two)
	l.Open(SessionID(1), "bot", r).CloseOnly()
	l.Anchor(rounds[0], one)
	l.TokensAside = true
	l.Anchor(rounds[1], two)
	keep := l.Evidence(SessionID(1))
	keep.Trust, keep.Readme = nil, []byte("x")
	file := write(t, keep)
	want(t, verifyBytes(t, file, l.Trust), evidence.ExitVerified, "", "")
	for i := range file {
		for bit := range 8 {
			file[i] ^= 1 << bit
			if _, err := evidence.Read(bytes.NewReader(file), int64(len(file))); err == nil {
				t.Fatalf("byte %d bit %d: read", i, bit)
			}
			file[i] ^= 1 << bit
		}
	}
	// And by a forger who repairs the checksums.
	for n := range keep.Anchors {
		note := keep.Anchors[n].Note
		for i := range note {
			keep.Anchors[n].Note = bytes.Clone(note)
			keep.Anchors[n].Note[i] ^= 1
			if r := evidence.Verify(keep, l.Trust, evidence.Options{}); r.Exit != evidence.ExitFailed {
				t.Fatalf("note %d byte %d: exit %d", n, i, r.Exit)
			}
		}
		keep.Anchors[n].Note = note
	}
	for i := range keep.Tree {
		keep.Tree[i][i%32] ^= 0x80
		if r := evidence.Verify(keep, l.Trust, evidence.Options{}); r.Exit != evidence.ExitFailed {
			t.Fatalf("hash %d of the tree: exit %d", i, r.Exit)
		}
		keep.Tree[i][i%32] ^= 0x80
	}
}

func TestBundlesOfEarlierVersionsAreRefusedByName(t *testing.T) {
	l, r := newLog(t)
	session(l, 1, r)
	file := write(t, l.Evidence(SessionID(1)))
	manifest := func(f []byte) []byte {
		return f[30+len("steno-evidence"):][:len("steno/evidence/v1\n"+origin+"\nsession "+SessionID(1)+"\n")]
	}
	for version, words := range map[string]string{"1": "before the first release; export it again", "2": "before the first release", "4": "does not know"} {
		// Of one length: the checksum is all that changes besides.
		old := bytes.Replace(file, []byte("steno/evidence/v3\n"), []byte("steno/evidence/v"+version+"\n"), 1)
		old = bytes.ReplaceAll(old, sum(manifest(file)), sum(manifest(old)))
		want(t, verifyBytes(t, old, l.Trust), evidence.ExitFailed, evidence.CheckBundle, words)
	}
}

func TestNoAnchorIsWrittenThatIsNotRead(t *testing.T) {
	w := newTimed(t, Options{})
	w.TokensAside = true
	w.Anchor(day("2008-03-04"), w.one, w.two)
	for name, spoil := range map[string]func(b *evidence.Bundle){
		"order":             func(b *evidence.Bundle) { b.Anchors[0], b.Anchors[1] = b.Anchors[1], b.Anchors[0] },
		"twice":             func(b *evidence.Bundle) { b.Anchors[1] = b.Anchors[0] },
		"a long note":       func(b *evidence.Bundle) { b.Anchors[0].Note = make([]byte, 64<<10+1) },
		"many hashes":       func(b *evidence.Bundle) { b.Tree = make([][32]byte, 1<<22+1) },
		"too many":          func(b *evidence.Bundle) { b.Anchors = make([]evidence.Anchor, evidence.MaxAnchors+1) },
		"order of public":   func(b *evidence.Bundle) { b.Public[0], b.Public[1] = b.Public[1], b.Public[0] },
		"too large a blob":  func(b *evidence.Bundle) { b.Public[0].Content = evidence.ContentsIn(nil).At(0, 1<<30) },
		"too many of these": func(b *evidence.Bundle) { b.Public = make([]evidence.Blob, evidence.MaxPublic+1) },
	} {
		b := w.bundle()
		spoil(b)
		if err := evidence.Write(new(bytes.Buffer), b); err == nil {
			t.Errorf("%s: written", name)
		}
	}
	file := write(t, w.bundle())
	for name, c := range map[string][2]string{
		"a name with a dot": {"anchor/00", "anchor/.0"},
		"a letter":          {"anchor/0", "anchor/x"},
		"a sign":            {"anchor/0", "anchor/+"},
		"public elsewhere":  {"public/", "publix/"},
	} {
		bad := bytes.ReplaceAll(file, []byte(c[0]), []byte(c[1]))
		if r := verifyBytes(t, bad, w.Trust); r.Exit != evidence.ExitFailed || r.Checks[0].Outcome != evidence.Failed {
			t.Errorf("%s: exit %d", name, r.Exit)
		}
	}
}

// TestPINNED_nothingThatJudgesAsksAClock looks for it in what the verdicts are made of.
func TestPINNED_nothingThatJudgesAsksAClock(t *testing.T) {
	asks := []string{"Now", "Since", "Until", "After", "AfterFunc", "NewTimer", "NewTicker", "Tick", "Sleep"}
	files := 0
	for _, dir := range []string{".", "../trust", "../timestamp", "../entry", "../payload"} {
		for _, path := range Must(filepath.Glob(dir + "/*.go"))(t) {
			if strings.HasSuffix(path, "_test.go") {
				continue
			}
			files++
			f := Must(parser.ParseFile(token.NewFileSet(), path, nil, 0))(t)
			ast.Inspect(f, func(n ast.Node) bool {
				if s, ok := n.(*ast.SelectorExpr); ok {
					if x, ok := s.X.(*ast.Ident); ok && x.Name == "time" && slices.Contains(asks, s.Sel.Name) {
						t.Errorf("%s: time.%s", path, s.Sel.Name)
					}
				}
				return true
			})
			// With this unset, x509 asks the clock.
			if b := Must(os.ReadFile(path))(t); bytes.Contains(b, []byte("x509.VerifyOptions{")) && !bytes.Contains(b, []byte("CurrentTime:")) {
				t.Errorf("%s: a chain that is verified at no time", path)
			}
		}
	}
	if files < 20 {
		t.Fatalf("%d files were read", files)
	}
}

func sum(b []byte) []byte { return binary.LittleEndian.AppendUint32(nil, crc32.ChecksumIEEE(b)) }

package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/stenolog/steno/access"
	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/internal/daemon"
	"github.com/stenolog/steno/internal/durable"
	"github.com/stenolog/steno/timestamp"
	"github.com/stenolog/steno/trust"
)

// Where things lie in a deployment's directory. Each subdirectory is somebody's, who in earnest has it elsewhere.
const (
	serverFile      = "stenod.yaml"
	trustFile       = "trust"
	enrollerKey     = "enroller/enroller.key"
	vaultKey        = "vault/vault.key"
	recoveryKey     = "recovery/recovery.key"
	gatewayKey      = "recorder/gateway.key"
	gatewayEnrol    = "recorder/gateway.enrolment"
	recorderToken   = "recorder/token"
	recorderSpool   = "recorder/spool"
	auditorToken    = "auditor/token"
	operatorToken   = "operator/token"
	managedKey      = "stenod/managed.key"
	managedEnrol    = "stenod/managed.enrolment"
	complianceKey   = "compliance/compliance.key"
	enrolmentYears  = 5
	localEnroller   = "local/enroller"
	localCompliance = "local/compliance"
	privateDirMode  = 0o700
	privateFileMode = 0o600
)

const deploymentReadme = `A complete steno deployment on one machine, made by "steno up". What it holds, and where that belongs in earnest:

stenod.yaml, stenod/   the server's configuration and keys       with the server, readable by it alone
log/, guard/           the log, and the guard against restoring   on disks of their own; the guard never beside the log
                       an old copy of it
trust                  the keys that verifiers pin                public: hand it out, and compare its digest
witness-1/ to -3/      cosign checkpoints; two of three must      NOT on this machine: each with another organisation
local-tsa/             stamps checkpoints with the time: for          NOT yours: two or more authorities that others run
                       development, no external authority
compliance/            signs updates of the trust file            NOT on this machine: with compliance
enroller/              signs enrolments of recorders              NOT on this machine: with compliance or the identity team
vault/                 opens what is sealed                       NOT on this machine: with the auditors
recovery/              opens it when the vault is lost            offline, split among several people
recorder/              key, token and spool of recorders          with the gateway or agent
auditor/, operator/    tokens                                     with the people

Whoever has all of it, as you do now, can read and could have written everything. Keep the parts apart before it matters.
`

const enrollerReadme = `Whoever has this key says whose a recorder's key is. In earnest it is not on this machine: who keeps the log must not be
able to enrol recorders. Move it to the compliance or identity team, and sign there: steno enrol --help
`

const complianceReadme = `Whoever has this key can change whom verifiers believe, one version of the trust file after the other. In earnest it is not on
this machine, and there are several, of which some must agree. Sign there: steno trust --help
`

const witnessReadme = `A witness sees every checkpoint of the log and cosigns it if it extends the one before. It is worth something where somebody
else runs it, on another machine: docs/witness.md. Never restore this directory from a copy: the witness would refuse to start,
and rightly.
`

// makeDeployment makes all of a deployment but a running server. It appears under its name in one piece or not at all.
func makeDeployment(ctx context.Context, dir, origin string, port int, now time.Time) (err error) {
	dir, err = filepath.Abs(dir)
	if err != nil {
		return err
	}
	if err := durable.MkdirAll(filepath.Dir(dir), privateDirMode); err != nil {
		return fmt.Errorf("making %s: %w", filepath.Dir(dir), err)
	}
	making, err := os.MkdirTemp(filepath.Dir(dir), "."+filepath.Base(dir)+".making-")
	if err != nil {
		return fmt.Errorf("making %s: %w", dir, err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(making)) // nothing was ever recorded in it
		}
	}()
	if origin == "" {
		var random [4]byte
		if _, err := rand.Read(random[:]); err != nil {
			return err
		}
		origin = "localhost/steno-" + hex.EncodeToString(random[:])
	}
	d := &deployment{dir: making, origin: origin, port: port, now: now}
	if err := d.write(); err != nil {
		return fmt.Errorf("making %s: %w", dir, err)
	}
	cfg, err := daemon.Load(filepath.Join(making, serverFile))
	if err != nil {
		return fmt.Errorf("making %s: %w", dir, err)
	}
	if _, err := daemon.Init(ctx, cfg); err != nil {
		return fmt.Errorf("creating the log: %w", err)
	}
	if err := os.Rename(making, dir); err != nil { // onto nothing, or an empty directory
		return fmt.Errorf("making %s: %w", dir, err)
	}
	return durable.SyncDir(filepath.Dir(dir))
}

// deploymentIn tells whether there is a deployment in a directory, and refuses one that holds something else.
func deploymentIn(dir string) (bool, error) {
	_, err := os.Stat(filepath.Join(dir, serverFile))
	if err == nil {
		return true, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	names, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	if len(names) > 0 {
		return false, hint(fmt.Errorf("%s is not empty, and has no %s", dir, serverFile),
			"choose another directory with --dir; if it was a deployment, restore %s from its backup: a new one would not fit its log", serverFile)
	}
	return false, nil
}

// A deployment is one in the making.
type deployment struct {
	dir, origin string
	port        int
	now         time.Time
	err         error // of the first step that went wrong
}

func (d *deployment) path(name string) string { return filepath.Join(d.dir, name) }

// put writes a file of its own, unless an earlier step went wrong.
func (d *deployment) put(name, content string) {
	if d.err != nil {
		return
	}
	if d.err = durable.MkdirAll(filepath.Dir(d.path(name)), privateDirMode); d.err == nil {
		d.err = durable.CreateFile(d.path(name), []byte(content), privateFileMode)
	}
}

func (d *deployment) key(name string, k keyPair, err error) (public string) {
	if d.err == nil {
		d.err = err
	}
	d.put(name, k.secret+"\n")
	return k.public
}

func (d *deployment) serverKey(kind string) (public string) {
	if d.err == nil {
		d.err = durable.MkdirAll(d.path("stenod"), privateDirMode)
	}
	if d.err == nil {
		public, d.err = daemon.GenerateKey(kind, d.origin, d.path("stenod/"+kind+".key"))
	}
	return public
}

func (d *deployment) ageKey(name string) string {
	k, err := newAgeKey()
	return d.key(name, k, err)
}

func (d *deployment) noteKey(file, name string) string {
	k, err := newNoteKey(name)
	return d.key(file, k, err)
}

func (d *deployment) token(file string, role access.Role) (digest string) {
	if d.err != nil {
		return ""
	}
	token, err := access.NewToken(rand.Reader, role)
	d.err = err
	d.put(file, token+"\n")
	sum := access.TokenDigest(token)
	return hex.EncodeToString(sum[:])
}

// enrol signs, with the enroller's key that was just made, that key's holder may record any agent here.
func (d *deployment) enrol(file, key string, holder entry.Holder) {
	if d.err != nil {
		return
	}
	var enroller note.Signer
	if enroller, d.err = readSigner(d.path(enrollerKey)); d.err != nil {
		return
	}
	from := d.now.Add(-time.Hour) // clocks differ
	signed, err := entry.SignEnrolment(entry.Enrolment{
		Origin: d.origin, RecorderKey: key, Holder: holder, Agents: []string{"*"},
		From: entry.TimeOf(from), Until: entry.TimeOf(from.AddDate(enrolmentYears, 0, 0)),
	}, enroller)
	d.err = err
	d.put(file, string(signed))
}

func (d *deployment) write() error {
	d.put("README.txt", deploymentReadme)
	d.put("enroller/README.txt", enrollerReadme)
	logKey, received := d.serverKey(daemon.KeyLog), d.serverKey(daemon.KeyReceived)
	system, managed := d.serverKey(daemon.KeySystem), d.serverKey(daemon.KeyManaged)
	enroller := d.noteKey(enrollerKey, localEnroller)
	gateway := d.noteKey(gatewayKey, "local/gateway")
	recipients := []string{d.ageKey(vaultKey), d.ageKey(recoveryKey)}
	d.enrol(managedEnrol, managed, entry.HolderOperator)
	d.enrol(gatewayEnrol, gateway, entry.HolderGateway)
	d.put("compliance/README.txt", complianceReadme)
	compliance := d.noteKey(complianceKey, localCompliance)
	names, vkeys := d.witnesses(logKey)
	tsa := d.authority()
	d.trust(trust.Config{
		Version: 1, Threshold: 1, Signers: []string{compliance}, Received: []string{received}, System: []string{system},
		Enrollers: []string{enroller}, Operators: operatorsOf(names), Authorities: []timestamp.Authority{tsa}, Policy: policyOf(logKey, names, vkeys),
	})
	principals := []daemon.Principal{
		{Name: "local/recorder", Roles: []string{"recorder"}, TokenSHA256: []string{d.token(recorderToken, access.Recorder)}},
		{Name: "local/auditor", Roles: []string{"auditor"}, TokenSHA256: []string{d.token(auditorToken, access.Auditor)}},
		{Name: "local/operator", Roles: []string{"operator"}, TokenSHA256: []string{d.token(operatorToken, access.Operator)}},
	}
	d.server(principals, recipients)
	if d.err != nil {
		return d.err
	}
	return (&clientConfig{
		Trust: trustFile, Auditor: auditorConfig{Token: auditorToken}, dir: d.dir,
		Recorder: recorderConfig{Token: recorderToken, Key: gatewayKey, Enrolment: gatewayEnrol, Recipients: recipients, Spool: recorderSpool},
	}).write()
}

func (d *deployment) trust(c trust.Config) {
	if d.err != nil {
		return
	}
	t, err := trust.Make(c)
	if d.err = err; err == nil {
		d.put(trustFile, string(t.Marshal()))
	}
}

// serverPorts is how many ports the server takes: ingest, public, audit, ops. The witnesses' follow, and that of the development
// authority is the last.
const (
	serverPorts = 4
	tsaPort     = serverPorts + localWitnesses // in addresses
)

// addresses are consecutive ports, or any that are free for port 0: those of the listeners, then those of the witnesses, then that of
// the development authority.
func addresses(port int) (a [serverPorts + localWitnesses + 1]string) {
	for i := range a {
		p := port
		if port != 0 {
			p += i
		}
		a[i] = net.JoinHostPort("127.0.0.1", strconv.Itoa(p))
	}
	return a
}

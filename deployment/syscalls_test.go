package deployment_test

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stenolog/steno/internal/need"
)

// patience bounds everything that a test waits for.
const patience = 30 * time.Second

// TestUnits_allowWhatTheProgramsDo runs each program at its work under strace, and holds the system calls, sockets, files
// and memory maps that it asked for against what its unit allows.
func TestUnits_allowWhatTheProgramsDo(t *testing.T) {
	strace, analyze := need.Program(t, "strace"), need.Program(t, "systemd-analyze")
	bin := t.TempDir()
	build := exec.Command("go", "build", "-o", bin, "../cmd/stenod", "../cmd/steno-witness")
	build.Env = append(os.Environ(), "CGO_ENABLED=0") // as make build does
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, s := range []struct {
		name string
		make func(t *testing.T, program, dir string)
		work func(t *testing.T, addrs map[string]string)
	}{
		{"stenod", makeLog, func(t *testing.T, addrs map[string]string) {
			get(t, addrs["public"], "/checkpoint", 200)
			get(t, addrs["ops"], "/metrics", 200)
			get(t, addrs["audit"], "/v1/sessions", 401)
		}},
		{"steno-witness", makeWitness, func(t *testing.T, addrs map[string]string) {
			get(t, addrs["witness"], "/0000/checkpoint", 404)
			get(t, addrs["ops"], "/healthz", 200)
			get(t, addrs["ops"], "/metrics", 200)
		}},
	} {
		t.Run(s.name, func(t *testing.T) {
			dir, program := t.TempDir(), filepath.Join(bin, s.name)
			s.make(t, program, dir)
			trace := traced(t, strace, dir, []string{program, "serve", "--config", filepath.Join(dir, s.name+".yaml")}, s.work)
			text := unit(t, s.name)
			holdCalls(t, trace, allowed(t, analyze, settings(text, "SystemCallFilter")))
			holdSockets(t, trace, strings.Fields(strings.Join(settings(text, "RestrictAddressFamilies"), " ")))
			holdFiles(t, trace, filepath.Join(dir, "var"))
			for _, line := range trace {
				if writableCode.MatchString(line) {
					t.Errorf("MemoryDenyWriteExecute: %s", line)
				}
			}
		})
	}
}

var writableCode = regexp.MustCompile(`mmap\([^)]*(PROT_WRITE\|PROT_EXEC|PROT_EXEC\|PROT_WRITE)|mprotect\([^)]*PROT_EXEC`)

func TestWritableCode(t *testing.T) {
	for line, want := range map[string]bool{
		"7 mmap(NULL, 4096, PROT_READ|PROT_WRITE|PROT_EXEC, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0) = 0x7f": true,
		"7 mprotect(0xc000, 4096, PROT_READ|PROT_EXEC) = 0":                                           true,
		"7 mmap(NULL, 4096, PROT_READ|PROT_WRITE, MAP_SHARED, 8, 0) = 0x7f":                           false,
		"7 mprotect(0xc000, 4096, PROT_NONE) = 0":                                                     false,
	} {
		if got := writableCode.MatchString(line); got != want {
			t.Errorf("%s: %t", line, got)
		}
	}
}

// makeLog makes a log as docs/configuration.md says.
func makeLog(t *testing.T, program, dir string) {
	lines := command(t, dir, program, "key", "generate", "--origin", "log.test.example", "--dir", "keys")
	_, enroller, _ := strings.Cut(command(t, dir, program, "key", "generate", "--origin", "acme/enroller", "--kind", "log", "--dir", "enroller"), " ")
	write(t, filepath.Join(dir, "trust"), "steno/trust/v1\n"+lines+"enroller "+enroller)
	write(t, filepath.Join(dir, "stenod.yaml"), `origin: log.test.example
dir: var/log
guard: var/guard/guard.db
trust: trust
keys: {log: keys/log.key, received: keys/received.key, system: keys/system.key}
listen: {public: {address: "127.0.0.1:0"}, audit: {address: "127.0.0.1:0"}, ops: {address: "127.0.0.1:0", anonymous: true}}
log: {checkpoint_interval: 100ms}
disk: {floor_bytes: 1MiB}
`)
	command(t, dir, program, "log", "init", "--config", "stenod.yaml")
}

// makeWitness makes a witness as docs/witness.md says.
func makeWitness(t *testing.T, program, dir string) {
	command(t, dir, program, "key", "generate", "--name", "witness.test.example/w1")
	write(t, filepath.Join(dir, "steno-witness.yaml"), `name: witness.test.example/w1
dir: var/state
published: var/published
keys: {ed25519: keys/ed25519.key, ml_dsa_44: keys/ml-dsa-44.key}
logs: logs
listen: {address: "127.0.0.1:0"}
ops: {address: "127.0.0.1:0"}
`)
	command(t, dir, program, "init")
}

func command(t *testing.T, dir, program string, args ...string) string {
	t.Helper()
	cmd := exec.Command(program, args...)
	cmd.Dir = dir
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %q: %v\n%s", filepath.Base(program), args, err, &stderr)
	}
	return string(out)
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func get(t *testing.T, addr, path string, status int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, "GET", "http://"+addr+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != status {
		t.Errorf("GET %s: %d, want %d", path, resp.StatusCode, status)
	}
}

// traced runs a server until it is ready, has it work, ends it, and returns the lines of its trace.
func traced(t *testing.T, strace, dir string, args []string, work func(*testing.T, map[string]string)) (trace []string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	file := filepath.Join(dir, "trace")
	// The shell says which process the program becomes.
	cmd := exec.CommandContext(ctx, strace, append([]string{"-f", "-qq", "-s", "300", "-o", file, "sh", "-c", `echo $$; exec "$0" "$@"`}, args...)...)
	var stderr strings.Builder
	cmd.Dir, cmd.Stderr = "/", &stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines, addrs := bufio.NewScanner(out), make(map[string]string)
	lines.Scan()
	pid, err := strconv.Atoi(lines.Text())
	for lines.Scan() && lines.Text() != "ready" {
		name, addr, _ := strings.Cut(lines.Text(), " ")
		addrs[name] = addr
	}
	if err != nil || lines.Text() != "ready" {
		t.Fatalf("it was not ready: %v %v\n%s", err, cmd.Wait(), &stderr)
	}
	work(t, addrs)
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
		t.Error(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("%v\n%s", err, &stderr)
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	_, after, ok := strings.Cut(string(b), fmt.Sprintf("execve(%q", args[0]))
	if !ok {
		t.Fatalf("the trace does not begin with %s", args[0])
	}
	return strings.Split(after, "\n")[1:]
}

// allowed are the system calls of filters: those of the first, without those of the ones that begin with a tilde.
func allowed(t *testing.T, analyze string, filters []string) map[string]bool {
	t.Helper()
	calls := make(map[string]bool)
	for _, f := range filters {
		list, deny := strings.CutPrefix(f, "~")
		for _, name := range strings.Fields(list) {
			for _, call := range members(t, analyze, name) {
				calls[call] = !deny
			}
		}
	}
	return calls
}

// members are the system calls of a set, or of one that is none.
func members(t *testing.T, analyze, name string) (calls []string) {
	t.Helper()
	if !strings.HasPrefix(name, "@") {
		return []string{name}
	}
	out, err := exec.Command(analyze, "syscall-filter", name).Output()
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	for line := range strings.Lines(string(out)) {
		member := strings.TrimSpace(line)
		if line[0] == ' ' && !strings.HasPrefix(member, "#") {
			calls = append(calls, members(t, analyze, member)...)
		}
	}
	return calls
}

var calling = regexp.MustCompile(`^\d+ +(\w+)\(`)

func holdCalls(t *testing.T, trace []string, may map[string]bool) {
	t.Helper()
	seen := make(map[string]bool)
	if os.Geteuid() == 0 {
		seen["fchown"] = true // by root alone SQLite gives its files to their directory's owner
	}
	for _, line := range trace {
		if m := calling.FindStringSubmatch(line); m != nil && !seen[m[1]] {
			seen[m[1]] = true
			if !may[m[1]] {
				t.Errorf("SystemCallFilter: %s", line)
			}
		}
	}
	if len(seen) < 30 || !seen["fsync"] && !seen["fdatasync"] || !seen["accept4"] {
		t.Errorf("the trace has %d system calls, too few to say anything", len(seen))
	}
}

func holdSockets(t *testing.T, trace, families []string) {
	t.Helper()
	n := 0
	for _, line := range trace {
		if _, rest, ok := strings.Cut(line, " socket("); ok {
			n++
			if family, _, _ := strings.Cut(rest, ","); !slices.Contains(families, family) {
				t.Errorf("RestrictAddressFamilies: %s", line)
			}
		}
	}
	if n == 0 {
		t.Error("the trace has no socket")
	}
}

var opening = regexp.MustCompile(`open(?:at\([^,]+, |\()"([^"]*)", [A-Z_|]*(O_WRONLY|O_RDWR|O_CREAT)`)

// holdFiles: what is opened to be written lies in the state.
func holdFiles(t *testing.T, trace []string, state string) {
	t.Helper()
	n := 0
	for _, line := range trace {
		m := opening.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		n++
		if !strings.HasPrefix(m[1], state+"/") && m[1] != "/dev/null" {
			t.Errorf("ProtectSystem: %s", line)
		}
	}
	if n == 0 {
		t.Error("the trace writes no file")
	}
}

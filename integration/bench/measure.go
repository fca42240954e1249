package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// auditRate runs steno audit on a deployment's directory, as an auditor would, and returns events a second. It fails if the
// audit finds anything.
func (b *bench) auditRate(dir string, quick bool) (perSecond float64, memory int64, err error) {
	args := []string{"audit", dir, "--json", "--trust", filepath.Join(dir, "trust")}
	if quick {
		args = append(args, "--quick")
	}
	cmd := exec.CommandContext(b.ctx, b.steno, args...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, os.Stderr
	start := time.Now()
	if err := cmd.Run(); err != nil {
		return 0, 0, fmt.Errorf("auditing: %w: %.400s", err, out.String())
	}
	took := time.Since(start)
	var report struct {
		Counts struct {
			Events uint64 `json:"events"`
		} `json:"counts"`
	}
	if err := json.Unmarshal(out.Bytes(), &report); err != nil {
		return 0, 0, fmt.Errorf("reading the audit's report: %w", err)
	}
	return float64(report.Counts.Events) / took.Seconds(), peak(cmd.ProcessState), nil
}

// indexLag asks the server how many entries its index is behind.
func indexLag(ctx context.Context, dir string) (int, error) {
	b, err := os.ReadFile(filepath.Join(dir, "client.yaml"))
	if err != nil {
		return 0, err
	}
	var c struct {
		Ops string `yaml:"ops"`
	}
	if err := yaml.Unmarshal(b, &c); err != nil {
		return 0, err
	}
	token, err := os.ReadFile(filepath.Join(dir, "operator", "token"))
	if err != nil {
		return 0, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.Ops+"/metrics", nil)
	if err != nil {
		return 0, err
	}
	req.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(body)) {
		if v, ok := strings.CutPrefix(line, "steno_recording_index_behind "); ok {
			f, err := strconv.ParseFloat(strings.TrimSpace(v), 64)
			return int(f), err
		}
	}
	return 0, fmt.Errorf("status %d, and no metric of the index", resp.StatusCode)
}

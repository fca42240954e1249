package witness

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// maxLogList bounds a list file: some ten thousand ML-DSA keys.
const maxLogList = 32 << 20

// A ListedLog is a log of a list file.
type ListedLog struct {
	Origin string
	Vkeys  []string // one or more
	URL    string   // of the first line that has one; the witness does not use it
}

// ReadLogs reads a list of logs: the lines of a policy (https://c2sp.org/tlog-policy) that define logs, and comments.
//
//	# sensors, plant 2
//	log log.acme.example/prod+2d1c09ab+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k https://log.acme.example/
//
// Lines of one origin are keys of one log. Give each to AddLog: a list only adds.
func ReadLogs(path string) ([]ListedLog, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("reading a list of logs: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxLogList+1))
	if err == nil && len(b) > maxLogList {
		err = fmt.Errorf("more than %d bytes", maxLogList)
	}
	if err != nil {
		return nil, fmt.Errorf("reading a list of logs: %s: %w", path, err)
	}
	logs, err := parseLogs(b)
	if err != nil {
		return nil, fmt.Errorf("reading a list of logs: %s: %w", path, err)
	}
	return logs, nil
}

func parseLogs(b []byte) ([]ListedLog, error) {
	// SPEC: tlog-policy: the file is line based, where each line is terminated by ASCII newline.
	if len(b) > 0 && !bytes.HasSuffix(b, []byte("\n")) {
		return nil, errors.New("the last line is not ended by a line feed: the file may have been cut")
	}
	var logs []ListedLog
	at := make(map[string]int)
	seen := make(map[string]int) // public key → line
	for i, line := range strings.Split(strings.TrimSuffix(string(b), "\n"), "\n") {
		fields, err := listFields(line)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", i+1, err)
		}
		if len(fields) == 0 {
			continue
		}
		if fields[0] != "log" || len(fields) < 2 || len(fields) > 3 {
			return nil, fmt.Errorf("line %d: not \"log <vkey> [<url>]\"", i+1)
		}
		keys, err := logVerifiers(fields[1:2])
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", i+1, err)
		}
		// SPEC: tlog-policy: duplicate logs, i.e., multiple log lines with the same public key, are not allowed.
		if other, ok := seen[string(keys[0].PublicKey())]; ok {
			return nil, fmt.Errorf("line %d: the public key stands in line %d already", i+1, other)
		}
		seen[string(keys[0].PublicKey())] = i + 1
		origin := keys[0].Name()
		n, ok := at[origin]
		if !ok {
			n = len(logs)
			at[origin] = n
			logs = append(logs, ListedLog{Origin: origin})
		}
		logs[n].Vkeys = append(logs[n].Vkeys, fields[1])
		if len(fields) == 3 && logs[n].URL == "" {
			logs[n].URL = fields[2]
		}
	}
	return logs, nil
}

// listFields splits a line into its items; a comment has none.
func listFields(line string) ([]string, error) {
	for i := range len(line) {
		// SPEC: tlog-policy: the allowed octet values are 0x09 (tab), 0x0A (newline), 0x20-0x7E, and 0x80-0xFF.
		if c := line[i]; c < 0x20 && c != '\t' || c == 0x7f {
			return nil, fmt.Errorf("octet 0x%02x is not allowed", c)
		}
	}
	// SPEC: tlog-policy: the items on each line are separated by sequences of ASCII space and tab characters only.
	fields := strings.FieldsFunc(line, func(r rune) bool { return r == ' ' || r == '\t' })
	if len(fields) > 0 && strings.HasPrefix(fields[0], "#") {
		return nil, nil
	}
	return fields, nil
}

package client

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"strings"

	"github.com/stenolog/steno/api/wire"
	"github.com/stenolog/steno/entry"
)

// The spool's format is docs/spec/spool.md.
const (
	spoolMagic  = "steno/spool/v1\n"
	spoolSuffix = ".spool"
	recordHead  = 1 + 8 + 4
	recordTail  = 4
	maxRecord   = 64 << 20 // what servers take in one request, unless configured otherwise
	maxMeta     = 64 << 10 // of a record that holds JSON
)

// A kind says what a record holds.
type kind byte

const (
	kindTrack     kind = 'T' // trackState: first record of every segment, and nowhere else
	kindEntry     kind = 'E' // a submission (api/wire) of exactly one entry
	kindReceipt   kind = 'R' // receiptNote
	kindVerified  kind = 'V' // verifiedNote
	kindWithdrawn kind = 'X' // withdrawnNote
	kindLeft      kind = 'L' // {}: the recorder is done with the track
)

func (k kind) limit() int {
	if k == kindEntry {
		return maxRecord
	}
	return maxMeta
}

// A record is one append to a segment.
type record struct {
	kind kind
	time entry.Time
	data []byte
}

// trackState is where a track stands before the first entry of a segment.
type trackState struct {
	Origin     string     `json:"origin"`
	Session    string     `json:"session"`
	Track      string     `json:"track"`
	Recorder   string     `json:"recorder"` // name of the key
	Next       uint64     `json:"next"`
	Head       entry.Hash `json:"head"`
	First      entry.Hash `json:"first"`       // hash of the track's first entry, zero while there is none
	Acked      uint64     `json:"acked"`       // events below it have verified receipts
	AckedHead  entry.Hash `json:"acked_head"`  // head at acked
	HeartbeatS uint64     `json:"heartbeat_s"` // of the session, for track main
}

// receiptNote is a verified receipt of an entry.
type receiptNote struct {
	Seq      uint64 `json:"seq"`
	Index    uint64 `json:"index"`
	Received string `json:"received"`
}

// verifiedNote says that all events below Next were proven to be in the tree.
type verifiedNote struct {
	Next uint64 `json:"next"`
	Size uint64 `json:"size"` // of the checkpoint
}

// withdrawnNote says that the server refused the last entry, and that another takes its place. Only session.close is
// withdrawn, when it names heads that other tracks have left behind.
type withdrawnNote struct {
	Seq     uint64       `json:"seq"`
	Hash    entry.Hash   `json:"hash"`
	Problem wire.Problem `json:"problem"`
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func appendRecord(b []byte, r record) []byte {
	start := len(b)
	b = append(b, byte(r.kind))
	b = binary.BigEndian.AppendUint64(b, uint64(r.time))
	b = binary.BigEndian.AppendUint32(b, uint32(len(r.data)))
	b = append(b, r.data...)
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b[start:], castagnoli))
}

func jsonRecord(k kind, at entry.Time, v any) (record, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return record{}, fmt.Errorf("writing a spool record: %w", err)
	}
	return record{k, at, b}, nil
}

// errTorn means that a segment ends inside a record, or in one that was not written whole.
var errTorn = errors.New("record is not whole")

// nextRecord reads the record at the beginning of b and returns its length with head and tail.
func nextRecord(b []byte) (record, int, error) {
	if len(b) < recordHead {
		return record{}, 0, errTorn
	}
	r := record{kind: kind(b[0]), time: entry.Time(binary.BigEndian.Uint64(b[1:]))}
	n := int(binary.BigEndian.Uint32(b[9:]))
	if n > r.kind.limit() || n > len(b)-recordHead-recordTail {
		return record{}, 0, errTorn
	}
	end := recordHead + n
	if crc32.Checksum(b[:end], castagnoli) != binary.BigEndian.Uint32(b[end:]) {
		return record{}, 0, errTorn
	}
	r.data = b[recordHead:end:end]
	return r, end + recordTail, nil
}

// decode reads the JSON of a record strictly.
func (r record) decode(v any) error {
	d := json.NewDecoder(bytes.NewReader(r.data))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return fmt.Errorf("record %c: %w", r.kind, err)
	}
	if d.InputOffset() != int64(len(r.data)) {
		return fmt.Errorf("record %c: bytes after its JSON", r.kind)
	}
	return nil
}

// A spooledEntry is what record E holds.
type spooledEntry struct {
	wire.Submitted
	entry *entry.Entry
}

func parseEntryRecord(data []byte) (spooledEntry, error) {
	subs, err := wire.Parse(data)
	if err != nil {
		return spooledEntry{}, fmt.Errorf("record E: %w", err)
	}
	if len(subs) != 1 {
		return spooledEntry{}, fmt.Errorf("record E: %d entries, it holds one", len(subs))
	}
	e, err := entry.ParseSubmission(subs[0].Entry)
	if err != nil {
		return spooledEntry{}, fmt.Errorf("record E: %w", err)
	}
	return spooledEntry{subs[0], e}, nil
}

// segmentName is SESSION.TRACK.NNNNNNNN.spool: neither session nor track can hold a full stop.
func segmentName(session, track string, n int) string {
	return fmt.Sprintf("%s.%s.%08d%s", session, track, n, spoolSuffix)
}

func parseSegmentName(name string) (session, track string, n int, ok bool) {
	f := strings.Split(name, ".")
	if len(f) != 4 || "."+f[3] != spoolSuffix || len(f[2]) != 8 {
		return "", "", 0, false
	}
	if _, err := fmt.Sscanf(f[2], "%08d", &n); err != nil || n < 1 || segmentName(f[0], f[1], n) != name {
		return "", "", 0, false
	}
	return f[0], f[1], n, entry.CheckSession(f[0]) == nil && entry.CheckTrack(f[1]) == nil
}

package checkpoint

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
)

// timeSize is the length of a cosignature's time, which stands before the signature.
const timeSize = 8

// Time is that of a cosignature, without its key ID: seconds since 1970 in UTC; 0 if the bytes are none.
func Time(sig []byte) uint64 {
	if len(sig) <= timeSize {
		return 0
	}
	return binary.BigEndian.Uint64(sig)
}

// cosigned is the message that a cosigner signs over the text of a checkpoint.
func cosigned(a Algorithm, cosigner string, t uint64, text []byte) ([]byte, error) {
	c, err := Parse(string(text))
	if err != nil {
		return nil, err
	}
	if a == CosignatureMLDSA44 {
		return subtree(cosigner, t, c)
	}
	// SPEC: tlog-cosignature: the signed message MUST be two newline terminated lines (one header line and one timestamp
	// line) followed by the whole note body, in which extension lines MUST be included.
	msg := append([]byte("cosignature/v1\ntime "), strconv.FormatUint(t, 10)...)
	return append(append(msg, '\n'), text...), nil
}

// subtree is the structure that ML-DSA-44 cosigners sign, for a whole tree.
// SPEC: tlog-cosignature: struct { uint8 label[12] = "subtree/v1\n\0"; opaque cosigner_name<1..2^8-1>; uint64 timestamp;
// opaque log_origin<1..2^8-1>; uint64 start; uint64 end; uint8 hash[32]; } cosigned_message; for a checkpoint start MUST be 0.
func subtree(cosigner string, t uint64, c Checkpoint) ([]byte, error) {
	if len(c.Extensions) > 0 {
		return nil, errors.New("the checkpoint has extension lines, which an ML-DSA-44 cosignature would not cover")
	}
	if len(c.Origin) > maxName {
		return nil, fmt.Errorf("origin of %d bytes, an ML-DSA-44 cosignature covers at most %d", len(c.Origin), maxName)
	}
	msg := append([]byte("subtree/v1\n\x00"), byte(len(cosigner)))
	msg = append(msg, cosigner...)
	msg = binary.BigEndian.AppendUint64(msg, t)
	msg = append(append(msg, byte(len(c.Origin))), c.Origin...)
	msg = binary.BigEndian.AppendUint64(msg, 0)
	msg = binary.BigEndian.AppendUint64(msg, c.Size)
	return append(msg, c.Root[:]...), nil
}

// SignatureLine is the line of a signed note that holds a signature.
// SPEC: signed-note: — <key name> base64(32-bit key ID || signature).
func SignatureLine(name string, keyID uint32, sig []byte) []byte {
	raw := append(binary.BigEndian.AppendUint32(nil, keyID), sig...)
	line := append([]byte("— "+name+" "), base64.StdEncoding.EncodeToString(raw)...)
	return append(line, '\n')
}

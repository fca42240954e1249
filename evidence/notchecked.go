package evidence

import (
	"crypto/sha256"
	"fmt"
	"slices"
)

// UnwitnessedText is what a report says where the trust file demands no witnesses.
const UnwitnessedText = "cosignatures on the checkpoint: the trust file demands none, and whether others saw the same log rests on the log's key alone"

// notChecked says what a reader may take for granted and must not.
func (v *verification) notChecked(r *Report) []NotChecked {
	out := []NotChecked{
		{"outside", "whether anything was done outside this record: no log can know"},
		{"uniqueness", "whether the log holds other entries of these sessions than those here, or has said more of them: a full audit or an auditing cosigner tells"},
		{"numbering", "the numbers and predecessors of the agents' sessions, and the chain of the log's own sessions: a full audit tells"},
	}
	if !v.t.NeedsWitnesses() {
		out = slices.Insert(out, 2, NotChecked{"witnesses", UnwitnessedText})
	}
	out = append(out, v.timeNotChecked(r)...)
	out = append(out, v.custodyNotChecked()...)
	sealed, absent := 0, 0
	for _, s := range r.Sessions {
		sealed += s.Payloads.Blobs
		absent += s.Payloads.Blobs - s.Payloads.Included
	}
	if sealed > 0 {
		out = append(out, NotChecked{"sealed-content", fmt.Sprintf("what is sealed in %d pieces of content, beyond %d disclosures: it is committed to, and takes a key to read",
			sealed, v.passed[CheckDisclosures])})
	}
	if absent > 0 {
		out = append(out, NotChecked{"absent-content", fmt.Sprintf("%d pieces of sealed content are not in the file", absent)})
	}
	if v.b.Trust != nil {
		why := "the trust file in the bundle: it is the one that was pinned, and was not used"
		if sha256.Sum256(v.b.Trust) != v.t.Digest() {
			why = "the trust file in the bundle: it is another one than was pinned, and was not used"
		}
		out = append(out, NotChecked{"trust-file", why})
	}
	if v.b.Report != nil {
		out = append(out, NotChecked{"report", "report.html in the bundle: it is for reading, and whoever made the file can write into it what they like"})
	}
	return append(out, NotChecked{"readme", "README.txt in the bundle: it is for reading, and whoever made the file can write into it what they like"})
}

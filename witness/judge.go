package witness

import "github.com/stenolog/steno/checkpoint"

// A verdict is what becomes of a signed request, given what state knows of the log.
type verdict struct {
	problem  *problem // nil: cosign
	evidence Kind     // "": nothing to keep
}

// judge compares a request with the latest checkpoint that was promised. It must see that checkpoint, and what it allows must
// replace it, in one transaction.
// SPEC: tlog-witness: checking the old size against the latest checkpoint and persisting the new checkpoint must be performed
// atomically.
func judge(known logRow, old uint64, hashes [][32]byte, c signed) verdict {
	// One size with two roots convicts the log whatever else the request says.
	if known.cosigned() && c.Size == known.size && c.Root != known.root {
		v := verdict{newProblem(codeInconsistent, "at this size another root was cosigned"), KindFork}
		if old != known.size {
			v.problem = conflict(known.size)
		}
		// SPEC: tlog-witness: if the old size matches the checkpoint size, the witness MUST check that the root hashes are
		// also identical. If they don't match, 422.
		return v
	}
	// SPEC: tlog-witness: the witness MUST check that the old size matches the size of the latest checkpoint it cosigned for
	// the checkpoint's origin (or zero if it never cosigned a checkpoint for that origin).
	if old != known.size {
		return verdict{problem: conflict(known.size)}
	}
	// SPEC: tlog-witness: a checkpoint of size zero MUST have the root hash of the empty tree. Otherwise, 422.
	if c.Size == 0 && c.Root != checkpoint.EmptyRoot() {
		return verdict{newProblem(codeInconsistent, "the empty tree has another root"), KindUnproven}
	}
	if (old == 0 || old == c.Size) && len(hashes) > 0 {
		// SPEC: tlog-witness: if the old size is zero, the consistency proof MUST be empty. Otherwise, 422.
		return verdict{problem: newProblem(codeInconsistent, "the proof must be empty from size 0 and between equal sizes")}
	}
	// SPEC: tlog-witness: the consistency proof lines MUST encode a Merkle Consistency Proof from the old size to the
	// checkpoint size according to RFC 6962, Section 2.1.2. If it doesn't verify, 422.
	if err := checkpoint.VerifyConsistency(old, c.Size, hashes, known.root, c.Root); err != nil {
		v := verdict{newProblem(codeInconsistent, "the consistency proof does not verify"), KindUnproven}
		if prefix, ok := checkpoint.PrefixRoot(old, c.Size, hashes, c.Root); ok && prefix != known.root {
			v.evidence = KindFork
		}
		return v
	}
	return verdict{}
}

func conflict(size uint64) *problem {
	return &problem{code: codeConflict, detail: "the latest cosigned checkpoint has another size", size: size}
}

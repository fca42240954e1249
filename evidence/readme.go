package evidence

// ReadmeText is what README.txt says unless the exporter says otherwise. A test runs its commands.
const ReadmeText = `This file is evidence of sessions of a steno log. It is a zip archive without compression.

To verify it you need a trust file that you got from somebody you trust, not from whoever gave you this file (a file
"trust" in here is for information only). No network is needed:

    steno-verify --trust TRUSTFILE THISFILE

By hand: leaf/N is an entry. Its first lines are text; after an empty line stand two signatures, the recorder's and the
log's, as https://c2sp.org/signed-note describes. proof/N.tlog-proof (https://c2sp.org/tlog-proof) leads from the SHA-256
of a zero byte and the leaf to the root in the checkpoint, which the log has signed, and which witnesses have cosigned
(https://c2sp.org/tlog-cosignature) if there are more signatures under it. Every entry's fifth line is the SHA-256
of the text of the entry before it. blob/ holds sealed content, which the entries name by SHA-256. disclosed/ shows parts
of it in clear, each with what is needed to check it against the entry.

External time: anchor/N/note is a checkpoint of the log as it was when leaf N had not been written yet. Leaf N names its
SHA-256 and holds an RFC 3161 time-stamp token over it, by the authority that it names; a token too large for a leaf is
public/H, H being the SHA-256 that the leaf names. What stands below the size in anchor/N/note (its second line) was logged
before the token's time; what stands above leaf N, after it. anchor/N/consistency has the hashes that lead from that
checkpoint to the file "checkpoint" (RFC 6962, section 2.1.2). With N as in the names of the files, and the authority's
certificate from somebody you trust in AUTHORITY.pem:

    sha256sum anchor/N/note
    sed -n 's/^{"event":"anchor".*"checkpoint":"\([^"]*\)".*/\1/p' leaf/N | base64 -d | od -A n -t x1
    sed -n 's/^{"event":"anchor".*"token":"\([^"]*\)".*/\1/p' leaf/N | base64 -d > token
    openssl ts -reply -token_in -in token -text
    openssl ts -verify -data anchor/N/note -token_in -in token -CAfile AUTHORITY.pem -attime SECONDS

SECONDS is the time that the fourth command shows, as seconds since 1970 (date -u -d "TIME" +%s): the certificates were valid
then, and may have expired since. If a leaf holds several tokens, each command shows several: take them one by one.
`

package evidence

// ReadmeText is what README.txt says unless the exporter says otherwise. A test runs its commands.
const ReadmeText = `This file is evidence of sessions of a steno log. It is a zip archive without compression.

To verify it you need a trust file that you got from somebody you trust, not from whoever gave you this file (a file
"trust" in here is for information only). No network is needed:

    steno-verify --trust TRUSTFILE THISFILE

By hand: leaf/N is an entry. Its first lines are text; after an empty line stand two signatures, the recorder's and the
log's, as https://c2sp.org/signed-note describes. Every entry's fifth line is the SHA-256 of the text of the entry before it.
blob/ holds sealed content, which the entries name by SHA-256. disclosed/ shows parts of it in clear, each with what is needed to
check it against the entry.

The file "checkpoint" has the root of the log's tree (RFC 6962, section 2.1) in its third line. The log has signed it, and
witnesses have cosigned it (https://c2sp.org/tlog-cosignature) if there are more signatures under it. The root is the hash of
all leaves: of those that are here, and of the hashes in the file "tree" in place of those that are not. From left to right, a
leaf is SHA-256 of a zero byte and the leaf; between leaves, the next hash of "tree" stands for the largest complete subtree that
fits, of 1, 2, 4, 8 leaves and so on, at an index that is a multiple of its width. Two neighbours of one width that belong
together are joined: SHA-256 of a byte of value 1, the left hash, the right hash. What is left over at the end is joined from the
right. To do that for one leaf alone, "steno proof --bundle" makes a tlog-proof (https://c2sp.org/tlog-proof) of it.

The file "custody", if it is here, says in lines of text who made this file for whom, on what ground, and what was withheld: that
is the maker's word. The log has recorded its SHA-256, before the file was made, in an entry of its own:

    sha256sum custody
    sed -n 's/^{"event":"disclosure".*"digest":"\([^"]*\)".*/\1/p' leaf/* | base64 -d | od -A n -t x1

External time: anchor/N is a checkpoint of the log as it was when leaf N had not been written yet. Leaf N names its
SHA-256 and holds an RFC 3161 time-stamp token over it, by the authority that it names; a token too large for a leaf is
public/H, H being the SHA-256 that the leaf names. What stands below the size in anchor/N (its second line) was logged
before the token's time; what stands above leaf N, after it. The root in its third line is that of the tree as "tree" gives it when
so many leaves were passed. With N as in the names of the files, and the authority's certificate from somebody you trust in
AUTHORITY.pem:

    sha256sum anchor/N
    sed -n 's/^{"event":"anchor".*"checkpoint":"\([^"]*\)".*/\1/p' leaf/N | base64 -d | od -A n -t x1
    sed -n 's/^{"event":"anchor".*"token":"\([^"]*\)".*/\1/p' leaf/N | base64 -d > token
    openssl ts -reply -token_in -in token -text
    openssl ts -verify -data anchor/N -token_in -in token -CAfile AUTHORITY.pem -attime SECONDS

SECONDS is the time that the fourth command shows, as seconds since 1970 (date -u -d "TIME" +%s): the certificates were valid
then, and may have expired since. If a leaf holds several tokens, each command shows several: take them one by one.
`

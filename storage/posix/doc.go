// Package posix keeps a log on a local POSIX file system: the tree (Tessera's POSIX driver, unmodified, behind the fences it
// lacks), sealed payloads in segment files, the archive of checkpoints, and the lease. README.md says what lies where on
// disk, what is durable when, and what to back up.
//
// What it trusts: that fsync and fdatasync do what they say, that rename is atomic, and that flock or fcntl locks hold on
// this file system. It does not trust that bytes read are the bytes written: records carry hashes and blobs are checked as
// they are read; tiles are checked by their readers (package log).
package posix

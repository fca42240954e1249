// Package integration_test holds the real server, as a process on real disks, against strangers' programs and against what
// machines die of: kills, power cuts, full disks, disks that lie, old copies, second processes.
package integration_test

// Package peers runs other people's programs for tests: witnesses, time-stamp authorities, and a log that asks witnesses. Each is built
// from its own module at a pinned version, once per machine, into the user's cache directory, and ends with the test that started it.
// steno-witness runs beside them, in the same hands.
package peers

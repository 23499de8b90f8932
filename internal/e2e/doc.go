// Package e2e holds the tests of the whole: the jeton command as people run it, its
// database on a disk, clients that nobody here wrote, and a browser. It has no code of
// its own. Each test starts a process with a directory, a port and a configuration of
// its own, and speaks to it over the network, or as another command.
//
// go test runs what needs Go alone. make test adds the build tag e2e, and with it what
// needs Chromium, strace or Node.
package e2e

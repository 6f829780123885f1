package process

import "syscall"

// dieWithParent ends servers when the tests end without having ended them, as by a time limit.
var dieWithParent = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}

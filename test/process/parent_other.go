//go:build !linux

package process

import "syscall"

var dieWithParent *syscall.SysProcAttr

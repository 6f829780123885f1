package process

import (
	"io"
	"net"
	"strings"
	"testing"
)

func TestProxy(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { _, _ = io.Copy(c, c); _ = c.Close() }()
		}
	}()
	p := NewProxy(t, l.Addr().(*net.TCPAddr).Port)
	talk := func(c net.Conn) error {
		if _, err := c.Write([]byte("x")); err != nil {
			return err
		}
		_, err := io.ReadFull(c, make([]byte, 1))
		return err
	}
	dial := func() net.Conn {
		c, err := net.Dial("tcp", strings.TrimPrefix(p.URI, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		return c
	}
	c := dial()
	if err := talk(c); err != nil {
		t.Fatal(err)
	}
	p.Cut(true)
	if talk(c) == nil || talk(dial()) == nil {
		t.Fatal("a cut link still passes bytes")
	}
	p.Cut(false)
	if err := talk(dial()); err != nil {
		t.Fatal(err)
	}
}

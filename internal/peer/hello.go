package peer

import (
	"encoding/binary"
	"fmt"

	"google.golang.org/grpc/mem"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/internal/network"
	"github.com/sextantdb/sextant/internal/topology"
)

// frame is what gRPC carries: bytes.
type frame struct{ b []byte }

// raw is the codec of frames.
type raw struct{}

func (raw) Name() string { return "sextant" }

func (raw) Marshal(v any) (mem.BufferSlice, error) {
	return mem.BufferSlice{mem.SliceBuffer(v.(*frame).b)}, nil
}

func (raw) Unmarshal(data mem.BufferSlice, v any) error {
	v.(*frame).b = data.Materialize()
	return nil
}

// protocol is the version of what peers tell each other.
const protocol = 1

// hello begins a call or a lane: protocol, the cluster's id, who speaks, in which life, to whom (0: whoever it is), and the
// method or lane.
func (n *Network) hello(to topology.PeerID, method string) []byte {
	n.mu.Lock()
	cluster := n.cluster
	n.mu.Unlock()
	b := binary.AppendUvarint(nil, protocol)
	b = appendText(b, cluster)
	b = binary.AppendUvarint(b, uint64(n.opts.Self.Peer))
	b = binary.AppendUvarint(b, n.opts.Self.Life)
	b = binary.AppendUvarint(b, uint64(to))
	return appendText(b, method)
}

func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

type greeting struct {
	from   network.Identity
	method string
	body   []byte
}

// greet reads a hello and refuses who is wrong here.
func (n *Network) greet(b []byte) (greeting, error) {
	ok := true
	number := func() uint64 {
		v, size := binary.Uvarint(b)
		if size <= 0 {
			ok = false
			return 0
		}
		b = b[size:]
		return v
	}
	text := func() string {
		size := number()
		if size > uint64(len(b)) {
			ok = false
			return ""
		}
		s := string(b[:size])
		b = b[size:]
		return s
	}
	if v := number(); v != protocol {
		return greeting{}, fmt.Errorf("%w: it speaks version %d of the protocol between peers, this one speaks %d", errIdentity, v, protocol)
	}
	cluster := text()
	g := greeting{from: network.Identity{Peer: topology.PeerID(number()), Life: number()}}
	to := topology.PeerID(number())
	g.method, g.body = text(), b
	if !ok {
		return greeting{}, fmt.Errorf("%w: it does not speak the protocol between peers", errIdentity)
	}
	n.mu.Lock()
	own := n.cluster
	n.mu.Unlock()
	self := n.opts.Self
	switch {
	case cluster != "" && own != "" && cluster != own:
		return g, fmt.Errorf("%w: this is peer %d of cluster %s, the caller is peer %d of cluster %s", errIdentity, self.Peer, own, g.from.Peer, cluster)
	case to != 0 && to != self.Peer:
		return g, fmt.Errorf("%w: this is peer %d, not peer %d", errIdentity, self.Peer, to)
	case g.from.Peer == self.Peer && g.from.Life != self.Life:
		return g, fmt.Errorf("%w: two processes have the peer id %d: one of them runs on a copy of the other's storage", errIdentity, self.Peer)
	}
	return g, nil
}

// What the first byte of an answer says.
const (
	answerOK byte = iota
	answerError
	answerIdentity
)

func encodeError(err error) []byte {
	return append([]byte{answerError, byte(sextant.KindOf(err))}, err.Error()...)
}

func parseAnswer(b []byte) ([]byte, error) {
	switch {
	case len(b) > 0 && b[0] == answerOK:
		return b[1:], nil
	case len(b) > 1 && b[0] == answerError:
		return nil, sextant.Errorf(sextant.Kind(min(int(b[1]), len(sextant.Kinds())-1)), "%s", b[2:])
	case len(b) > 0 && b[0] == answerIdentity:
		return nil, fmt.Errorf("%w: %s", network.ErrUnreachable, b[1:])
	}
	return nil, fmt.Errorf("%w: the answer cannot be read", network.ErrLost)
}

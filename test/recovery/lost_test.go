package recovery

import (
	"fmt"
	"testing"
)

// roles are the peers of a transfer.
type roles struct{ primary, sender, receiver int }

func (s *tale) roles() (r roles) {
	s.t.Helper()
	r.primary = s.primary(0)
	rest := s.Others(r.primary)
	r.sender, r.receiver = rest[0], rest[1]
	return r
}

// newcomer are roles of which the receiver has no replica yet: it takes as long as its points do.
func (s *tale) newcomer() (r roles) {
	s.t.Helper()
	r = roles{primary: s.primary(0), sender: -1, receiver: -1}
	for _, i := range s.Others(r.primary) {
		if s.state(0, i) == "" {
			r.receiver = i
		} else if r.sender < 0 {
			r.sender = i
		}
	}
	return r
}

// A peer that takes part in a transfer is killed, before the receiver is admitted or behind that. Without a receiver there is no
// transfer; without a sender there is none before admission; the primary is replaced, and the transfer goes on.
func TestLosingAPeerOfATransfer(t *testing.T) {
	for m, method := range []string{delta, stream, files} {
		for v, victim := range []string{"receiver", "sender", "primary"} {
			for a, admitted := range []bool{false, true} {
				if !*whole && (m+v+a)%2 == 0 {
					continue
				}
				t.Run(fmt.Sprintf("%s_%s_admitted_%t", method, victim, admitted), func(t *testing.T) { t.Parallel(); loseOne(t, method, victim, admitted) })
			}
		}
	}
}

func loseOne(t *testing.T, method, victim string, admitted bool) {
	s := form(t, 3, noIncoming, noOutgoing, slowStream, longProof).begin(t, 1, 3)
	s.upsert(0, 0, 300, 100)
	r := s.roles()
	s.strand(r.sender, r.receiver, 30)
	who := map[string]int{"receiver": r.receiver, "sender": r.sender, "primary": r.primary}[victim]
	rest := s.Others(who)
	u := s.upload(rest[0], 2_000_000)
	if admitted {
		s.replicate(r.sender, r.receiver, method)
		s.admitted(r.sender, r.receiver)
		s.Peer(who).Kill()
	} else {
		s.Peer(r.receiver).Pause(t) // so that it is early
		s.replicate(r.sender, r.receiver, method)
		s.Peer(who).Kill()
		if who != r.receiver {
			s.Peer(r.receiver).Resume(t)
		}
	}
	switch {
	case victim == "receiver":
		s.Restart(t, who, true)
		for i := range s.N() {
			s.count(i, 0)
		}
		// The life that was stopped may not have heard of the transfer: then the next one takes part in it, and is Active.
		if admitted || s.state(0, who) != "Active" {
			s.becomes(who, "Dead", 0, 1, 2)
		}
	case victim == "sender" && !admitted:
		s.count(r.primary, 0)
		s.becomes(r.receiver, "Dead", rest...)
		s.Restart(t, who, true)
	default:
		s.becomes(r.receiver, "Active", rest...)
		s.Restart(t, who, true)
	}
	if victim != "receiver" {
		s.becomes(who, "Dead", 0, 1, 2)
	}
	s.heal()
	u.stop()
	s.end(-1)
}

// All peers end during a transfer and are started again: nobody waits for somebody.
func TestAllRestartDuringATransfer(t *testing.T) {
	for m, method := range []string{delta, stream, files} {
		for _, admitted := range []bool{false, true} {
			if !*whole && (m%2 == 0) == admitted {
				continue
			}
			t.Run(fmt.Sprintf("%s_admitted_%t", method, admitted), func(t *testing.T) {
				t.Parallel()
				s := form(t, 3, noIncoming, noOutgoing, slowStream, longProof).begin(t, 1, 3)
				s.upsert(0, 0, 300, 100)
				r := s.roles()
				s.strand(r.sender, r.receiver, 30)
				if !admitted {
					s.Peer(r.receiver).Pause(t)
				}
				s.replicate(r.sender, r.receiver, method)
				if admitted {
					s.admitted(r.sender, r.receiver)
				}
				for i := range s.N() {
					s.Peer(i).Kill()
				}
				for i := range s.N() {
					s.Restart(t, i, false)
				}
				for i := range s.N() {
					s.count(i, 0)
				}
				s.heal()
				s.end(330)
			})
		}
	}
}

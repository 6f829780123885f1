// Package order names places in a shard's log and finds where two logs part.
//
// Shapes: seqs count 1, 2, 3 … without gaps, 0 is the place before the first entry; terms rise along a log, 0 is the term
// of place 0. A History lists, for each term that has entries, the first seq of that term.
// Errors: none but the one of Check; everything here is arithmetic.
// Concurrency: values; a History is never changed in place, its methods return new ones.
// Sources: Raft's log matching (Ongaro, 2014); leader epochs (Kafka KIP-101, KIP-279).
package order

import "fmt"

// Seq is the number of an entry in one shard's log. Clients see it as operation_id and as a point's version.
type Seq uint64

// Term is the number of a primary's reign over one shard. One term is used by one process life only.
type Term uint64

// Pos is a place in a log: an entry's seq with the term that logged it. The zero Pos is the place before the first entry.
type Pos struct {
	Seq  Seq
	Term Term
}

func (p Pos) String() string { return fmt.Sprintf("%d@%d", p.Seq, p.Term) }

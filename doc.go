// Package sextant is the vocabulary of the vector search engine: points, vectors, payloads, filters, updates, queries,
// schemas and errors as plain values, with their validation.
//
// Everything else speaks in these words: the edges (REST) translate to them and back, the engine stores and
// finds them. The package imports nothing of ours and does no I/O.
//
// Shapes: a dense vector has as many float32 as its VectorSpec.Dim; a multivector is rows×dim, flat; a sparse vector is
// sorted unique uint32 indices with as many values. A payload is a JSON object kept as the bytes the user meant.
// Errors: every user-visible failure is an *Error with a Kind; a plain error is shown as Internal.
// Sources: the public API of the Qdrant 1.19 protocol family.
package sextant

// Package document works on JSON documents as bytes: it validates and compacts them, finds the values of a path, and makes
// changed or narrowed copies. No document is ever turned into maps.
//
// Shapes: Compact is the only way in. Everything else expects what it returns: no white space, no doubled keys, and every
// string in the one spelling of AppendString, so that equal strings are equal bytes. An empty document stands for {}.
// Given other bytes the functions return nonsense but neither panic nor loop.
// Errors: Compact alone fails, with a sextant.Malformed error that names line and column.
// Concurrency: pure functions over slices that they do not keep. Values alias the document they were found in.
// Sources: RFC 8259 (JSON), RFC 3339 (datetimes).
package document

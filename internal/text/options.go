package text

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/sextantdb/sextant"
)

// BM25 says how texts become sparse vectors. It is immutable after ParseBM25.
type BM25 struct {
	K      float64 // saturation of repeated tokens, ≥ 0; default 1.2
	B      float64 // normalisation by length, 0…1; default 0.75
	AvgLen float64 // expected tokens per document, > 0; default 256
	Text   sextant.TextSpec

	analyzer *Analyzer
}

// ParseBM25 reads the options object of a BM25 document; nil or null stands for all defaults. Keys that are not BM25's are
// left alone: the object may carry options of other models.
func ParseBM25(raw json.RawMessage) (*BM25, error) {
	o, err := parseBM25(raw)
	if err != nil {
		return nil, sextant.Errorf(sextant.WrongInput, "Invalid BM25 config: %w", err)
	}
	return o, nil
}

func parseBM25(raw json.RawMessage) (*BM25, error) {
	var in struct {
		K         *float64        `json:"k"`
		B         *float64        `json:"b"`
		AvgLen    *float64        `json:"avg_len"`
		Tokenizer *string         `json:"tokenizer"`
		Language  *string         `json:"language"`
		Lowercase *bool           `json:"lowercase"`
		Folding   *bool           `json:"ascii_folding"`
		Stopwords json.RawMessage `json:"stopwords"`
		Stemmer   json.RawMessage `json:"stemmer"`
		Min       *uint32         `json:"min_token_len"`
		Max       *uint32         `json:"max_token_len"`
	}
	if len(raw) > 0 {
		if err := json.Unmarshal(raw, &in); err != nil {
			return nil, errors.New(strings.TrimPrefix(err.Error(), "json: "))
		}
	}
	o := &BM25{K: or(in.K, 1.2), B: or(in.B, 0.75), AvgLen: or(in.AvgLen, 256)}
	if err := o.check(); err != nil {
		return nil, err
	}
	o.Text = sextant.TextSpec{
		Tokenizer:    or(in.Tokenizer, Word),
		KeepCase:     !or(in.Lowercase, true),
		ASCIIFolding: or(in.Folding, false),
		MinTokenLen:  int(or(in.Min, 0)),
		MaxTokenLen:  int(or(in.Max, 0)),
	}
	// A name that no list knows, like "none", switches the language's defaults off.
	language := strings.ToLower(or(in.Language, "english"))
	var err error
	if isNull(in.Stopwords) {
		if full, ok := StopLanguage(language); ok {
			o.Text.StopLanguages = []string{full}
		}
	} else if o.Text.StopLanguages, o.Text.StopCustom, err = ParseStopwords(in.Stopwords); err != nil {
		return nil, err
	}
	if isNull(in.Stemmer) {
		if full, ok := StemLanguage(language); ok && stemmers[full] != nil {
			o.Text.Stemmer = full
		}
	} else if o.Text.Stemmer, err = ParseStemmer(in.Stemmer); err != nil {
		return nil, err
	}
	o.analyzer, err = New(o.Text)
	return o, err
}

func (o *BM25) check() error {
	switch {
	case !(o.K >= 0) || math.IsInf(o.K, 0):
		return fmt.Errorf("BM25 k1 must be finite and >= 0, got %v", o.K)
	case !(o.B >= 0 && o.B <= 1):
		return fmt.Errorf("BM25 b must be finite and in [0.0, 1.0], got %v", o.B)
	case !(o.AvgLen > 0) || math.IsInf(o.AvgLen, 0):
		return fmt.Errorf("BM25 avg_doc_len must be finite and > 0, got %v", o.AvgLen)
	}
	return nil
}

// ParseStopwords reads a "stopwords" value: a language, or an object with lists of languages and of own words. Languages
// come back by their full names, each once.
func ParseStopwords(raw json.RawMessage) (languages, custom []string, err error) {
	if isNull(raw) {
		return nil, nil, nil
	}
	var in struct {
		Languages []string `json:"languages"`
		Custom    []string `json:"custom"`
	}
	if raw = bytes.TrimSpace(raw); raw[0] == '"' {
		in.Languages = make([]string, 1)
		err = json.Unmarshal(raw, &in.Languages[0])
	} else {
		err = json.Unmarshal(raw, &in)
	}
	if err != nil {
		return nil, nil, sextant.Errorf(sextant.Malformed, "stopwords must be a language, or an object with lists of languages and of custom words")
	}
	for _, name := range in.Languages {
		full, ok := StopLanguage(name)
		if !ok {
			return nil, nil, sextant.Errorf(sextant.Malformed, "unknown stopwords language `%s`, expected one of %s", name, names(stopLanguages))
		}
		if !slices.Contains(languages, full) {
			languages = append(languages, full)
		}
	}
	return languages, in.Custom, nil
}

// ParseStemmer reads a "stemmer" value and returns the language by its full name; "" for none.
func ParseStemmer(raw json.RawMessage) (language string, err error) {
	if isNull(raw) {
		return "", nil
	}
	var in struct {
		Type     string  `json:"type"`
		Language *string `json:"language"`
	}
	if err := json.Unmarshal(raw, &in); err != nil || in.Type != "none" && (in.Type != "snowball" || in.Language == nil) {
		return "", sextant.Errorf(sextant.Malformed, "stemmer must be {\"type\": \"snowball\", \"language\": …} or {\"type\": \"none\"}")
	}
	if in.Type == "none" {
		return "", nil
	}
	full, ok := StemLanguage(*in.Language)
	if !ok {
		return "", sextant.Errorf(sextant.Malformed, "unknown stemmer language `%s`, expected one of %s", *in.Language, names(stemLanguages))
	}
	return full, nil
}

func isNull(raw json.RawMessage) bool {
	raw = bytes.TrimSpace(raw)
	return len(raw) == 0 || string(raw) == "null"
}

func or[T any](p *T, otherwise T) T {
	if p == nil {
		return otherwise
	}
	return *p
}

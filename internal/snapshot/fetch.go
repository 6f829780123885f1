package snapshot

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"path"
	"path/filepath"
	"strings"

	"github.com/sextantdb/sextant"
)

// Location is where the file of a recovery comes from: one member is set.
type Location struct {
	URL  string // to be fetched
	File string // an absolute path
	Name string // a stored snapshot, by its plain name
}

// ParseLocation reads the location of a recover request.
func ParseLocation(s string) (Location, error) {
	u, err := url.Parse(s)
	if err != nil {
		return Location{}, sextant.Errorf(sextant.BadRequest, "Invalid snapshot URI %q: %v", s, err)
	}
	switch u.Scheme {
	case "http", "https":
		return Location{URL: s}, nil
	case "file":
		if u.Host != "" && u.Host != "localhost" || !path.IsAbs(u.Path) {
			return Location{}, sextant.Errorf(sextant.BadRequest, "Invalid snapshot URI, file path must be absolute or on localhost")
		}
		return Location{File: path.Clean(u.Path)}, nil
	case "":
		return Location{Name: s}, nil
	}
	return Location{}, sextant.Errorf(sextant.BadRequest, "URL %s with scheme %s is not supported", s, u.Scheme)
}

// Fetch copies what an address answers to w.
func Fetch(ctx context.Context, client *http.Client, address, apiKey string, w io.Writer) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return sextant.Errorf(sextant.BadRequest, "Invalid snapshot URI %q: %v", address, err)
	}
	if apiKey != "" {
		req.Header.Set("Api-Key", apiKey)
	}
	answer, err := client.Do(req)
	if err != nil {
		return sextant.Errorf(sextant.BadRequest, "Failed to download snapshot from %s: %w", address, err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return sextant.Errorf(sextant.BadRequest, "Failed to download snapshot from %s: status - %s", address, answer.Status)
	}
	if _, err := io.Copy(w, answer.Body); err != nil {
		return sextant.Errorf(sextant.BadRequest, "Failed to download snapshot from %s: %w", address, err)
	}
	return nil
}

// Inside reports whether a file lies below a directory, also after symbolic links are followed.
func Inside(dir, file string) bool {
	below := func(dir, file string) bool {
		rel, err := filepath.Rel(dir, file)
		return err == nil && rel != ".." && !strings.HasPrefix(rel, ".."+string(filepath.Separator))
	}
	if !below(dir, file) {
		return false
	}
	real, err := filepath.EvalSymlinks(file)
	if err != nil {
		return true // it does not exist, which is told elsewhere
	}
	realDir, err := filepath.EvalSymlinks(dir)
	return err != nil || below(realDir, real)
}

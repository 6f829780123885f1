package api

import (
	"fmt"
	"strings"
	"testing"

	"github.com/sextantdb/sextant/test/process"
)

// Limits of sizes work on estimates, but a writer that is fast is stopped soon after the limit, and let in again when there
// is room.
func TestSizesStopFastWriters(t *testing.T) {
	c := of(t, process.Start(t, process.Options{}))
	for limit, text := range map[string]string{
		`"max_collection_vector_size_bytes":40000`:  "Max vector storage size limit of 0.0381…MB reached!…",
		`"max_collection_payload_size_bytes":10000`: "Max payload storage size limit of 0.0095…MB reached!…",
		`"max_points_count":10`:                     "Max points count limit of 10 reached!…",
	} {
		c.expect("200 true", "PUT", "/collections/c", `{"vectors":{"size":1000,"distance":"Dot"},"strict_mode_config":{"enabled":true,`+limit+`}}`)
		vector := "[" + strings.Repeat("1,", 999) + "1]"
		write := func(i int) string {
			resp, b := c.send("PUT", "/collections/c/points?wait=true",
				strings.NewReader(fmt.Sprintf(`{"points":[{"id":%d,"vector":%s,"payload":{"x":"%1000d"}}]}`, i, vector, i)))
			return fmt.Sprintf("%d %s", resp.StatusCode, digest(resp, b))
		}
		for i := 0; ; i++ {
			got := write(i)
			if matches("400 Bad request: "+text, got) {
				break
			}
			if i == 32 || !strings.HasPrefix(got, "200") {
				t.Fatalf("%s: write %d: %s", limit, i, got)
			}
		}
		c.expect("200 …", "POST", "/collections/c/points/delete?wait=true", `{"filter":{}}`)
		poll(t, "room after a delete", func() bool { return strings.HasPrefix(write(1), "200") })
		c.expect("200 true", "DELETE", "/collections/c", "")
	}
}

package peer

import (
	"context"
	"crypto/tls"
	"net"

	"google.golang.org/grpc/credentials"
)

// renewing is TLS with the certificates that are there at the moment of each handshake: files are replaced while a process runs.
type renewing struct {
	credentials.TransportCredentials // of the first configuration, for what no handshake changes
	config                           func() *tls.Config
}

func newRenewing(config func() *tls.Config) credentials.TransportCredentials {
	return renewing{credentials.NewTLS(config()), config}
}

// ClientHandshake implements credentials.TransportCredentials, as do the following.
func (r renewing) ClientHandshake(ctx context.Context, authority string, conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return credentials.NewTLS(r.config()).ClientHandshake(ctx, authority, conn)
}

func (r renewing) ServerHandshake(conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return credentials.NewTLS(r.config()).ServerHandshake(conn)
}

func (r renewing) Clone() credentials.TransportCredentials {
	return renewing{r.TransportCredentials.Clone(), r.config}
}

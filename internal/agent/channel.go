package agent

import (
	"net/http"
	"strconv"
	"strings"
)

// controlChannel begins the paths of the service by which AWS opens sessions to nodes.
const controlChannel = "/v1/control-channel/"

// channelRefused is what has an agent leave the channel alone for longer and longer, and poll for messages.
const channelRefused = "<AccessDeniedException><Message>There is no control channel here.</Message></AccessDeniedException>"

// WithoutChannel refuses the control channel, which agents try to open, to everyone alike, and passes on all else.
func WithoutChannel(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.URL.Path, controlChannel) {
			next.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Content-Type", "application/xml")
		w.Header().Set("Content-Length", strconv.Itoa(len(channelRefused)))
		w.WriteHeader(http.StatusForbidden)
		_, _ = w.Write([]byte(channelRefused)) // a peer that is gone cannot be told
	})
}

"""The local server: scans, sessions and clicks over HTTP and WebSocket, on one engine thread."""

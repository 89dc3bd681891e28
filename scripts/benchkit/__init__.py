"""What `scripts/bench` and `scripts/growth` share: servers, daemons, loads, and pictures of what came out."""

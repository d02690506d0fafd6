"""Static files, over real sockets and beside the real kubectl."""

"""What every notebook stands on: the cache, the run and its pages, this machine."""

"""One driver for each queue that benchmarks.queues measures: a process that does as it is told, see `serve`."""

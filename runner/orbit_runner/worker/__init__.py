"""The worker: the loop between the queue and the executors."""

from orbit_runner.worker.executor import Executor, ExecutorFactory
from orbit_runner.worker.loop import Worker
from orbit_runner.worker.run_state import RunState

__all__ = ["Executor", "ExecutorFactory", "RunState", "Worker"]

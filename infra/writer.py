"""One thread that commits, so that the database works while the next batch is folded."""

from __future__ import annotations

import queue
import threading

from infra.database import Commit, Database


class CommitFailedError(Exception):
    """A batch was not written; every cache built on it is worth nothing. The cause is chained."""


class Writer:
    """Commits batches in the order given. After a failure nothing more is written until `reset`."""

    def __init__(self, database: Database, *, depth: int = 1) -> None:
        self._database = database
        self._queue: queue.Queue[tuple[int, Commit] | None] = queue.Queue(depth)
        self._failure: BaseException | None = None
        self.committed = 0
        self._thread = threading.Thread(target=self._run, name="writer", daemon=True)
        self._thread.start()

    def submit(self, sequence: int, commit: Commit) -> None:
        """Hand over the batch that ends at a sequence; waits while `depth` batches are under way."""
        self._raise()
        self._queue.put((sequence, commit))

    def drain(self) -> None:
        """Wait until all is written. Raises CommitFailedError."""
        self._queue.join()
        self._raise()

    def reset(self) -> None:
        """Forget a failure: the caller has dropped its caches and read the positions anew."""
        self._queue.join()
        self._failure = None
        self.committed = 0  # of what is folded from now on nothing is written yet, wherever that begins

    def close(self) -> None:
        self._queue.join()
        self._queue.put(None)
        self._thread.join()

    def _raise(self) -> None:
        if self._failure is not None:
            raise CommitFailedError("a batch was not written") from self._failure

    def _run(self) -> None:
        while (job := self._queue.get()) is not None:
            try:
                if self._failure is None:
                    self._database.commit(job[1])
                    self.committed = job[0]
            except Exception as failure:  # handed to the folding thread, which drops its caches
                self._failure = failure
            finally:
                self._queue.task_done()
        self._queue.task_done()

"""Numerical libraries on one thread: our matrices are small, and waiting threads cost more than they give."""

import contextlib
from collections.abc import Iterator


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Let the linear algebra of this process use one thread inside the block."""
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1, user_api="blas"):
        yield

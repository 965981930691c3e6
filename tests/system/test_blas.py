"""Threads of NumPy's and SciPy's linear algebra."""

from concurrent.futures import ThreadPoolExecutor

import torch
from threadpoolctl import threadpool_info, threadpool_limits

from triptych.similarity import fit_logistic_regression
from triptych.system.blas import one_blas_thread


def blas_threads() -> set[int]:
    return {one["num_threads"] for one in threadpool_info() if one["user_api"] == "blas"}


def test_blocks_in_several_threads_leave_the_number_as_it_was() -> None:
    def within(_: int) -> None:
        with one_blas_thread():
            torch.eye(3).numpy() @ torch.eye(3).numpy()

    with threadpool_limits(2, user_api="blas"):
        before = blas_threads()
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(within, range(16)))
        assert blas_threads() == before == {2}
        with one_blas_thread():
            assert blas_threads() == {1}
        assert blas_threads() == {2}


def test_logistic_regression_is_fitted_on_one_thread(monkeypatch) -> None:
    from sklearn.linear_model import LogisticRegression

    found = []
    fit = LogisticRegression.fit

    def watched(self: LogisticRegression, *photos: object) -> LogisticRegression:
        found.append(blas_threads())
        return fit(self, *photos)

    monkeypatch.setattr(LogisticRegression, "fit", watched)
    with threadpool_limits(2, user_api="blas"):
        fit_logistic_regression(torch.eye(3), torch.arange(3))
    assert found == [{1}]

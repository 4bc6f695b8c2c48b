import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polygrain.errors import ConfigError
from polygrain.training.folds import walk_forward


def test_spans_by_hand() -> None:
    # 40 days from 10; purge 6 = lag 1 + H 5. Ten training dates 10..19, the next part starts after 19 + 6: 26.
    # Validation 26..30; test starts after 30 + 6: 37. Blocks of 6 to 49: 37..42, 43..48, and the tail 49 joins.
    folds = walk_forward(range(10, 50), train=12, train_min=10, valid=5, refit=6, purge=6)
    assert [(f.number, f.train[0], f.train[-1], f.valid[0], f.valid[-1], f.test[0], f.test[-1]) for f in folds] == [
        (0, 10, 19, 26, 30, 37, 42),
        (1, 14, 25, 32, 36, 43, 49),
    ]


@settings(deadline=None, max_examples=150)
@given(
    st.integers(1, 40),
    st.integers(1, 20),
    st.integers(1, 10),
    st.integers(1, 15),
    st.integers(1, 11),
    st.integers(0, 9),
)
def test_purge_and_tiling(train: int, train_min: int, valid: int, refit: int, purge: int, gap: int) -> None:
    train_min = min(train, train_min)
    days = [day for day in range(5, 120) if not 50 <= day < 50 + gap]  # day numbers may have holes
    folds = walk_forward(days, train=train, train_min=train_min, valid=valid, refit=refit, purge=purge)
    tiled = [day for fold in folds for day in fold.test]
    assert tiled == days[days.index(tiled[0]) :]
    for fold in folds:
        assert fold.train[-1] + purge < fold.valid[0]
        assert fold.valid[-1] + purge < fold.test[0]
        assert train_min <= len(fold.train) <= train
        assert len(fold.valid) == valid
    assert len(folds) == 1 or all(len(fold.test) >= min(5, refit) for fold in folds)


def test_labels_of_two_horizons_share_test_dates() -> None:
    longer = walk_forward(range(100), train=50, train_min=20, valid=10, refit=20, purge=11)
    first = longer[0].test[0]
    shorter = walk_forward(range(100), train=50, train_min=20, valid=10, refit=20, purge=6, first_test=first)
    assert [fold.test for fold in shorter] == [fold.test for fold in longer]


def test_too_few_dates_are_refused_with_their_number() -> None:
    with pytest.raises(ConfigError, match="600 training dates are wanted, and 400 days leave 267 before the last day"):
        walk_forward(range(400), train=1200, train_min=600, valid=120, refit=120, purge=6)
    with pytest.raises(ConfigError, match="fold 0 has 3 training and 5 validation dates; 10 and 5"):
        walk_forward(range(50), train=12, train_min=10, valid=5, refit=6, purge=6, first_test=20)
    with pytest.raises(ConfigError, match="0 days leave 0"):
        walk_forward([], train=12, train_min=10, valid=5, refit=6, purge=6)

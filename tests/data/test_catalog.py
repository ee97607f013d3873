import pytest

from lt_core import data
from lt_core.errors import ConfigError


def test_names_are_those_promised():
    assert set(data.names()) == {
        "digits",
        "cifar10",
        "cifar100",
        "tinyimagenet",
        "tinyimagenet32",
        "imagenet_lt",
        "places_lt",
        "inaturalist2017",
        "inaturalist2018",
    }


@pytest.mark.parametrize("name", data.names())
def test_facts_fit_together(name):
    info = data.info(name)
    channels, height, width = info.image_shape
    assert len(info.mean) == len(info.std) == channels
    assert height == width
    assert info.class_names is None or len(info.class_names) == info.num_classes
    assert (info.head_count is None) == (info.test_count is None)
    if info.head_count is not None:
        assert 0 < info.holdout < info.head_count


def test_heads_of_the_two_tiny_imagenets_differ():
    assert data.info("tinyimagenet").head_count == 500
    assert data.info("tinyimagenet32").head_count == 450


def test_unknown_name_gets_the_nearest():
    with pytest.raises(ConfigError, match="did you mean 'cifar10'"):
        data.info("cifar-10")
    with pytest.raises(ConfigError, match="unknown split 'training'"):
        data.load("digits", "training")

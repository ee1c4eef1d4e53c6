"""The corpus: its words, its catalogue, its embedders, its index, its search.

What flows through, in order: a `Query` of a `Principal` is embedded (`embedding`), asked of the index in two arms
(`index`), fused (`fusion`), checked against the catalogue (`catalogue`) and leaves as `Hit`s (`search`). What other
packages put in: `Document` versions into the catalogue, `EmbeddedChunk`s into the index.

Engines enter by one door each: SQL by `sql_catalogue`, Qdrant's engine by `edge_index` and `edge_bm25`, the model by
`openvino_embedder` and `torch_embedder`.
"""

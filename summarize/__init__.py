"""From hits to cited answers and summaries.

What flows through, in order: `Hit`s are packed as numbered passages within a token budget (`packing`), a `Generator`
writes a text with `[n]` markers (`generation`), the markers are resolved and their quotes verified (`citations`), and
what cannot be verified is dropped and said so (`answers`, `summaries`).

Engines enter by one door: LangChain by `langchain_generator`.
"""

"""From hits to cited answers and summaries.

What flows through, in order: found chunks come as `Material` (`material`) and are packed as numbered passages within a
token budget (`packing`), a `Generator` writes a text with `[n]` markers (`generation`), the markers are resolved and
their quotes verified while the text streams (`citations`, `transcript`), after links and images were taken out
(`output_policy`). `answers` and `summaries` are the two ways in. What cannot be verified is dropped and said so.

The default generator chooses sentences: `sentences` → `units` → `evidence` (is there an answer?) → `selection` →
`extractive_generator`. Texts are compared as `terms`. Engines enter by one door: LangChain by `langchain_generator`,
which is told what to do by `prompts`.
"""

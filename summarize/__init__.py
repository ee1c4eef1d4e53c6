"""From hits to cited answers and summaries.

What flows through, in order: found chunks come as `Material` (`material`) and are packed as numbered passages within a
token budget (`packing`), a `Generator` writes a text with `[n]` markers (`generation`). While it streams
(`transcript`) it is cut into statements (`statements`), links and images are taken out (`output_policy`), what each
statement cites must prove it (`proof`), and what is proved is numbered and quoted (`citations`). `answers` and
`summaries` are the two ways in. What cannot be verified is dropped and said so.

The default generator chooses sentences: `sentences` → `units` → `evidence` (is there an answer?) → `selection` →
`extractive_generator`. Texts are compared as `terms`. Engines enter by one door: LangChain by `langchain_generator`,
which is told what to do by `prompts`.
"""

"""From a file to chunks in the index.

What flows through, in order: `drop_folder` or an upload → `intake` (blob, version, task) → `dispatcher` → queue →
`parse_stage` (sandboxed child → `Element`s → `chunking` → chunk file) → queue → `embed_stage` (vectors) →
`publication` (upsert, count, probe, switch). Beside it `upkeep` keeps the index to the catalogue, and the `janitor`
looks for what slipped. `page_pictures` draws pages of a PDF for whoever reads one, in children like the parsers'.

Engines enter by one door each: PDFium by `pdfium_parser` and `pdfium_pictures`, unstructured by `unstructured_parser`,
calamine by `table_parser`, langdetect by `language_detection`.
"""

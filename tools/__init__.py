"""Programs for the people who work on ragstone; no process of the product imports them.

`make_samples` writes the documents under samples/ from the words in sample_sources/:
`sample_markup` reads a source into blocks, and `sample_pdf`, `sample_office` and `sample_text` set blocks in a format.
"""

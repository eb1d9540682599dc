"""How the book is made: execute the chapters, build the pages, publish them in one step.

`layout`   where everything lies
`inputs`   what each chapter depends on, so that only what changed runs again
`execute`  one chapter through papermill, and a short report when a cell fails
`site`     the pages: staging, Jupyter Book
`publish`  the exchange of the published pages by rename
`build`    the whole build: lock, Snakemake (`book/Snakefile`), the table at the end

Run as `python -m book.pipeline` in the folder of the repository.
"""

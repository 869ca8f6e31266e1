"""Reports: one page about a run, with its figures.

`r2b_keras.report` is the command. `page` and `figures` know how a page and a picture
are made; `summary`, `evidence`, `costs` and `origin` write the sections, which
`compose` puts together; every other module works out one kind of numbers and draws
them.
"""
